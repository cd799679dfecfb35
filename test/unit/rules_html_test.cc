// SPDX-License-Identifier: Apache-2.0
// HTML as readers see it: character references, blocks, what is hidden and where that ends, where tags end; edits of
// text and values; and linear time whatever is sent.
#include "rules/html_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>

#include "rules/html_text.h"

namespace postern::rules::test {
namespace {

std::string shown(std::string_view html) { return html_shown(html, {}); }

TEST(HtmlReader, ShowsWhatAReaderSees) {
  struct {
    const char* html;
    const char* text;
  } const cases[] = {
      {"EVIL<b></b>WORD", "EVILWORD"},
      {"a&#69;&#x76;il &amp; co &lt;b&gt;", "aEvil & co <b>"},
      {"caf&eacute; &copy 2030 &notin; &notit; &bogus; &",
       "caf\xC3\xA9 \xC2\xA9 2030 \xE2\x88\x89 \xC2\xACit; &bogus; &"},
      {"&#0;&#128;&#xD800;&#x110000;&#99999999999;", "\xEF\xBF\xBD\xE2\x82\xAC\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"<p>one</p><p>two<br>three", "one\ntwo\nthree"},
      {"a\n  b\t c", "a b c"},
      {"<pre>a\n  b</pre>", "a\n  b\n"},
      {"<script>var x='hidden'</script>a<style>b{}</style>c<title>t</title>", "ac"},
      {"a<!-- b -->c<!doctype x>d<?php e ?>f", "acdf"},
      {"a<!-->b<!--->c<!-- x --!>d", "abcd"},
      {"x<img alt=\"a > b\">y<a href='>'>z</a>", "xyz"},
      {"1 < 2 and 3 <4", "1 < 2 and 3 <4"},
      {"<table><tr><td>a<td>b<tr><td>c</table>", "a\tb\nc\n"},
      {"a<span style=\"display: none\">x<span>y</span>z</span>b", "ab"},
      {"a<div hidden>x</div>b<i style='font-size:0px'>y</i>c<i style='font-size:0.8em'>d</i>", "abcd"},
      {"<a href=x", ""},
      {"<a b=\">x</a> <a b=c\">y</a>", "y"},
      {"<a b=\">x<i>y</i>", "xy"},
      {"<a b=\"><a b='>x<a c='>\">y", "y"},
      {"<textarea>a<b>c</textarea>", "a<b>c\n"},
      {"<ul><li>a<li>b</ul>", "a\nb\n"},
  };
  for (const auto& each : cases) EXPECT_EQ(shown(each.html), each.text) << each.html;
  EXPECT_EQ(html_shown("a<b hidden>x</b><!--[if mso]>EV<b></b>IL<![endif]-->c", {.everything = true}), "axEVILc");
  EXPECT_EQ(html_shown("<p>see <a href='http://x.test/?a=1&amp;b'>here</a><ul><li>one", {.links = true}),
            "see here <http://x.test/?a=1&b>\n- one");
}

// "@" stands for the style that hides.
std::string with_styles(std::string_view html) {
  std::string out;
  for (const char c : html) {
    if (c == '@') {
      out += " style=\"display:none\"";
    } else {
      out += c;
    }
  }
  return out;
}

TEST(HtmlReader, HiddenElementsEndWhereBrowsersEndThem) {
  struct {
    const char* html;
    const char* text;
  } const cases[] = {
      {"<div@>x<p></div>y", "y"},
      {"<span@>x<div></span>x</div>x</span>y", "y"},
      {"<span@>x<img></span>y", "y"},
      {"<p>a<span@>x</p>b", "a\nb"},
      {"<p@>x<p>y", "y"},
      {"<p@>x<div>y", "y"},
      {"<ul><li@>x<li>y", "y"},
      {"<dl><dt@>x<dd>y", "y"},
      {"<h1@>x<h2>y", "y"},
      {"<select><option@>x<option>y</select>", "y"},
      {"<form@>x<form>x</form>y", "y"},
      {"<button@>x<button>y", "y"},
      {"<b@>x<p>x</b>y", "y"},
      {"<p><b@>x<p>x</b>y", "y"},
      {"<p><b><span@>x</b>y", "y"},
      {"<i><div@></i>x</div>y", "y"},
      {"<a@>x<a>y", "y"},
      {"<table@>y<tr><td>x</table>", "y\n"},
      {"<table><tr@><td>x<tr><td>y</table>", "y\n"},
      {"<table><tr><td@>x</div><td>y</table>", "y\n"},
      {"<table><td@><table><td>x</table>x</table>y", "y"},
      {"<object><div@></object>y", "y"},
      {"<x-a@>x</x-a>y", "y"},
      {"<div@>x</x-a></b></td></li>x</div>y", "y"},
      {"<template>x<div></template>y", "y"},
      {"<dialog>x</dialog><datalist>x</datalist>y", "y"},
      {"<dialog open>x</dialog>y", "x\ny"},
      {"<div@><b style='visibility:visible;font-size:9px'>x</b></div>y", "y"},
      {"<div style='visibility:hidden'>x<b style='visibility:visible'>y</b></div>", "y"},
      {"<div style='font-size:0'>x<b style='font-size:13px'>y<u style='font-size:50%'>z</u></b></div>", "yz"},
      {"<div style='font-size:0'>x<font size=2>y</font><u style='font-size:2em'>x</u></div>", "y"},
      {"<svg><style>x<b></style>y", "y"},
      {"<svg><desc>x</desc><text>a<![CDATA[<b>]]></text></svg>y", "a<b>y"},
      {"a<![CDATA[x]]>y", "ay"},
      {"<noscript>y</noscript>", "y"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(shown(with_styles(each.html)), each.text) << each.html;
    EXPECT_FALSE(html_readings(with_styles(each.html)).unsure) << each.html;
  }
}

TEST(HtmlReader, StylesThatHide) {
  for (const char* style :
       {"DISPLAY : None", "display:none !important;display:block", "display:none;display:bogus", "dis\\70lay:none",
        "color:red;/* ; */display/**/:/**/none", "background:url(;display:block);display:none", "visibility:collapse",
        "opacity:0.0", "opacity:0%", "font-size:0PX", "font-size:.01em", "font:0/0 a", "font:italic 700 0px Arial",
        "mso-hide:all", "max-height:0;overflow:hidden"}) {
    EXPECT_EQ(shown("a<i style='" + std::string(style) + "'>x</i>b"), "ab") << style;
  }
  for (const char* style :
       {"display:none;display:block", "display:none;display:block!important", "x-display:none", "--display:none",
        "background:url(;display:none)", "content:';display:none'", "visibility:hidden;visibility:visible",
        "opacity:0.5", "opacity:0;opacity:1", "font-size:0.8em", "font:700 12px Arial", "font-size:10px",
        "max-height:0", "overflow:hidden", "display:none;display:inline-block"}) {
    EXPECT_EQ(shown("a<i style='" + std::string(style) + "'>x</i>b"), "axb") << style;
  }
  EXPECT_EQ(shown("a<i style='color:red' style='display:none'>x</i>b"), "axb");
  EXPECT_EQ(shown("a<i hidden style='display:inline'>x</i>b"), "axb");
}

TEST(HtmlReader, TagsEndWhereBrowsersEndThem) {
  struct {
    const char* html;
    const char* text;
  } const cases[] = {
      {"<a b==\">x<i c=\">y", "xy"},
      {"<a =\">x<i c=\">y", "xy"},
      {"<a b\"=\">x\">y", "y"},
      {"<a b = \">x\">y", "y"},
      {"<a b=c\">x<i d=\">y", "xy"},
      {"<a b=>x", "x"},
      {"<a/b=\">x\"/>y", "y"},
      {"<a b=\"c\"d='>x'>y", "y"},
      {"a<style></stylex>x</style>y", "ay"},
      {"a<script><!--<script></script>x</script>y", "ay"},
      {"a<script><!--></script>y", "ay"},
      {"a<iframe><p>x</iframe>y", "ay"},
      {"<xmp>&lt;<b></xmp>", "&lt;<b>"},
      {"<plaintext>a</plaintext>b", "a</plaintext>b"},
  };
  for (const auto& each : cases) EXPECT_EQ(shown(each.html), each.text) << each.html;
}

TEST(HtmlReader, DoubtIsTold) {
  std::string deep;
  for (int i = 0; i < 600; ++i) deep += "<div>";
  for (const std::string& html :
       {std::string("<body@>x"), std::string("<select><div@>x</div></select>y"), deep + "<p@>x</p>",
        std::string("<p@>x<table>y</table>"), std::string("<svg@></p>x"), std::string("<u><span@><dt>x</u>y")}) {
    EXPECT_TRUE(html_readings(with_styles(html)).unsure) << html;
    EXPECT_NE(shown(with_styles(html)).find('x'), std::string::npos) << html;
  }
  EXPECT_FALSE(html_readings(deep + "x").unsure) << "nothing is hidden";
  // What only some readers hide is there with it and without.
  const std::vector<std::string> texts =
      html_readings("<p hidden>EV<i style='display:none'>x</i>IL</p>A<template>x</template>B").texts;
  EXPECT_NE(std::ranges::find_if(texts, [](const std::string& text) { return text.starts_with("EVIL"); }), texts.end());
  EXPECT_NE(std::ranges::find_if(texts, [](const std::string& text) { return text.ends_with("AB"); }), texts.end());
}

TEST(HtmlReader, IsLinear) {
  for (const std::string_view piece :
       {"<", "<!--", "<a b=\"", "<a b='\">", "&", "<!-- --><", "<script>", "</", "<!---->", "<b hidden>",
        "<![endif]-->", "<!--[if x]>", "&#", "<p style='", "<a href=", "<a b=\">c=\"", "<a b=\">'c='", "<!--x--!>",
        "<!--x-->--", "<![CDATA[", "<svg><![CDATA[", "<svg><a>", "<script><!--", "<style></x>", "<html b=\">c=\"",
        "<div@>", "<b@>", "<b id=1><b id=2>", "<p><b>x", "<b><p></b>", "<i><b><p></i>x", "<table><tr><td>",
        "<table>x<b>", "<li>", "<li></b><x-y>", "<a>x", "<span><div></span>", "<span></x-y>", "<form></form>",
        "<button>", "<object>", "</object><object><td>", "<option>", "<nobr>", "<select><b>", "<template><td>",
        "<p style='/*/*'>", "<p style='((((;;;;'>", "<p style='\\\\\\6'>", "<ruby><rt>", "<dd></x><dt>",
        // One half of the first, one of the second.
        "<object>|<b>", "<object>|</b>", "<object>|<a>", "<table><td><object>|<b></b>"}) {
    std::string html;
    const size_t bar = piece.find('|');
    while (html.size() < (1u << (bar == std::string_view::npos ? 20 : 19))) html += piece.substr(0, bar);
    while (html.size() < (1u << 20)) html += piece.substr(bar + 1);
    html = with_styles(html);
    const std::clock_t before = std::clock();
    html_readings(html);
    html_shown(html, {.links = true});
    html_edit(html, [](std::string&) { return false; });
    html_with_texts(html, "x", "y");
    EXPECT_LT(std::clock() - before, std::clock_t{10} * CLOCKS_PER_SEC) << piece;
  }
}

TEST(HtmlReader, EditsTextAndValuesOnly) {
  const auto edit = [](std::string_view html, std::string_view from, std::string_view to) {
    return html_edit(html, [&](std::string& text) {
      const size_t at = text.find(from);
      if (at == std::string::npos) return false;
      text.replace(at, from.size(), to);
      return true;
    });
  };
  EXPECT_EQ(edit("<b class=a>a b</b><!-- a b -->", "a b", "<x>"), "<b class=a>&lt;x&gt;</b><!-- a b -->");
  EXPECT_EQ(edit("<a href=\"http://t.test/x?a&amp;b\">c</a>", "http://t.test/x?a&b", "\""), "<a href=\"&quot;\">c</a>");
  EXPECT_EQ(edit("<a href=http://t.test/ id=i>c</a>", "http://t.test/", "no link"), "<a href=\"no link\" id=i>c</a>");
  EXPECT_EQ(edit("&amp; <p>keep &eacute;</p>", "zzz", ""), "&amp; <p>keep &eacute;</p>");
  EXPECT_EQ(edit("<script>a b</script>", "a b", "c"), "<script>a b</script>");
}

}  // namespace
}  // namespace postern::rules::test

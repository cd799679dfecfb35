// SPDX-License-Identifier: Apache-2.0
// What is made of the pieces of a document.
#include "rules/html_reader.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "engine/base/text.h"
#include "engine/mime/html_tag.h"
#include "rules/html_nesting.h"
#include "rules/html_text.h"

namespace postern::rules {
namespace {

using mime::attribute_of;
using mime::attributes_begin;
using mime::HtmlAttribute;
using mime::is_end_tag;
using mime::is_html_space;
using mime::is_one_of;
using mime::next_attribute;
using mime::tag_name;

constexpr std::string_view kCdata = "<![CDATA[";
constexpr std::array<std::string_view, 45> kBlocks = {
    "address", "article", "aside",   "blockquote", "body",  "br",    "caption",  "center",   "dd",
    "details", "dialog",  "dir",     "div",        "dl",    "dt",    "fieldset", "figure",   "footer",
    "form",    "h1",      "h2",      "h3",         "h4",    "h5",    "h6",       "head",     "header",
    "hr",      "html",    "legend",  "li",         "main",  "menu",  "nav",      "ol",       "option",
    "p",       "pre",     "section", "summary",    "table", "tbody", "tr",       "textarea", "ul"};
// Writer draws white space together as a reader does.
class Writer {
 public:
  explicit Writer(size_t size) { out_.reserve(size); }

  void text(std::string_view decoded, bool keep_blanks) {
    for (const char c : decoded) {
      if (!keep_blanks && is_html_space(c)) {
        blank_ = !out_.empty() && out_.back() != '\n';
      } else {
        flush();
        if (c != '\r') out_ += c;
      }
    }
  }
  void line() {
    blank_ = false;
    if (!out_.empty() && out_.back() != '\n') out_ += '\n';
  }
  void empty_line() {
    line();
    if (!out_.empty() && !out_.ends_with("\n\n")) out_ += '\n';
  }
  void cell() {
    if (!out_.empty() && out_.back() != '\n' && out_.back() != '\t') out_ += '\t';
    blank_ = false;
  }
  std::string take() { return std::move(out_); }

 private:
  void flush() {
    if (blank_) out_ += ' ';
    blank_ = false;
  }
  std::string out_;
  bool blank_ = false;
};

// Reader turns pieces into the texts shown, one for each view.
class Reader {
 public:
  Reader(std::string_view html, std::span<const HtmlView> views) : html_(html), nesting_(html.size()) {
    for (const HtmlView& view : views) outs_.push_back({view, Writer(html.size() / 2)});
  }

  std::vector<std::string> run() {
    HtmlScanner scanner(html_);
    HtmlPiece piece;
    while (scanner.next(piece)) {
      switch (piece.kind) {
        case HtmlPiece::Kind::text:
          nesting_.text();
          text(html_text(piece.source, false), pre_ > 0);
          break;
        case HtmlPiece::Kind::tag:
          tag(piece.source);
          scanner.set_foreign(nesting_.foreign());
          break;
        case HtmlPiece::Kind::comment:
          comment(piece.source);
          break;
        case HtmlPiece::Kind::raw:
          raw(piece.source);
          break;
        case HtmlPiece::Kind::cdata:
          nesting_.text();
          cdata(piece.source.substr(kCdata.size()));
          break;
      }
    }
    std::vector<std::string> out;
    for (Out& each : outs_) out.push_back(each.writer.take());
    return out;
  }

  const HtmlNesting& nesting() const { return nesting_; }
  bool conditional() const { return conditional_; }

 private:
  struct Out {
    HtmlView view;
    Writer writer;
  };

  static bool hides(const HtmlView& view, const HtmlShows& shows) {
    if (view.everything) return false;
    return shows.gone || shows.invisible || shows.tiny || (!view.for_most && shows.gone_for_some);
  }

  void text(std::string_view decoded, bool keep_blanks) {
    const HtmlShows here = nesting_.here();
    for (Out& each : outs_) {
      if (!hides(each.view, here)) each.writer.text(decoded, keep_blanks);
    }
  }

  void tag(std::string_view source) {
    const std::string_view name = tag_name(source);
    const bool end = is_end_tag(source);
    last_ = name;
    const HtmlShows where = nesting_.tag(source);
    if (base::iequals(name, "pre")) pre_ = end ? std::max(pre_ - 1, 0) : pre_ + 1;
    const bool block = is_one_of(name, kBlocks);
    const bool cell = !end && (base::iequals(name, "td") || base::iequals(name, "th"));
    const bool link = base::iequals(name, "a");
    if (!block && !cell && !link) return;
    for (Out& each : outs_) {
      if (hides(each.view, where)) continue;
      if (block) {
        break_line(name, end, each);
      } else if (cell) {
        each.writer.cell();
      } else if (each.view.links) {
        write_link(source, end, each.writer);
      }
    }
  }

  static void break_line(std::string_view name, bool end, Out& out) {
    if (out.view.links && base::iequals(name, "p")) {
      out.writer.empty_line();
    } else if (base::iequals(name, "br")) {
      out.writer.text("\n", true);
    } else {
      out.writer.line();
    }
    if (out.view.links && !end && base::iequals(name, "li")) out.writer.text("- ", true);
  }

  void write_link(std::string_view source, bool end, Writer& writer) {
    if (!end) {
      address_ = attribute_of(source, "href");
    } else if (!address_.empty()) {
      if (address_[0] != '#') writer.text(" <" + base::one_line(address_) + ">", true);
      address_.clear();
    }
  }

  void cdata(std::string_view source) {
    if (source.ends_with("]]>")) source.remove_suffix(3);
    text(source, pre_ > 0);
  }

  void raw(std::string_view source) {
    const auto is = [&](std::string_view name) { return base::iequals(last_, name); };
    // What stands in a text box is shown.
    if (is("textarea")) {
      text(html_text(source, false), true);
    } else if (is("xmp") || is("plaintext")) {
      text(source, true);
    } else if (is("noembed") || is("noframes") || is("iframe")) {
      for (Out& each : outs_) {
        if (each.view.everything) inner(source, each.writer);
      }
    }
  }

  // "<!--[if …]>text<![endif]-->": text that some readers show.
  void comment(std::string_view source) {
    if (!source.starts_with("<!--[if")) return;
    const size_t begin = source.find('>');
    const size_t end = source.rfind("<![endif]");
    if (begin == std::string_view::npos || end == std::string_view::npos || end <= begin) return;
    conditional_ = true;
    const HtmlShows here = nesting_.here();
    for (Out& each : outs_) {
      if (!each.view.everything && (!each.view.conditional || hides(each.view, here))) continue;
      inner(source.substr(begin + 1, end - begin - 1), each.writer);
    }
  }

  // What is in it is read once, not deeper.
  void inner(std::string_view source, Writer& writer) {
    HtmlScanner scanner(source);
    HtmlPiece piece;
    while (scanner.next(piece)) {
      if (piece.kind == HtmlPiece::Kind::text) writer.text(html_text(piece.source, false), pre_ > 0);
      if (piece.kind == HtmlPiece::Kind::tag && is_one_of(tag_name(piece.source), kBlocks)) writer.line();
    }
  }

  std::string_view html_;
  HtmlNesting nesting_;
  std::vector<Out> outs_;
  int pre_ = 0;
  bool conditional_ = false;
  std::string_view last_;
  std::string address_;
};

}  // namespace

std::string html_shown(std::string_view html, HtmlView view) {
  Reader reader(html, {&view, 1});
  std::vector<std::string> texts = reader.run();
  if (!reader.nesting().unsure() || view.everything) return std::move(texts.front());
  view.everything = true;
  return Reader(html, {&view, 1}).run().front();
}

HtmlReadings html_readings(std::string_view html) {
  constexpr std::array<HtmlView, 2> kFirst = {{{}, {.everything = true}}};
  Reader first(html, kFirst);
  HtmlReadings out{first.run(), first.nesting().unsure()};
  // Readers that know only some of what hides, and those that show conditional comments.
  std::vector<HtmlView> more;
  if (first.nesting().hides_for_some()) more.push_back({.for_most = true});
  if (first.nesting().hides() && first.conditional()) more.push_back({.for_most = true, .conditional = true});
  if (more.empty()) return out;
  std::ranges::move(Reader(html, more).run(), std::back_inserter(out.texts));
  return out;
}

std::string html_edit(std::string_view html, const std::function<bool(std::string& text)>& edit) {
  std::string out;
  out.reserve(html.size());
  HtmlScanner scanner(html);
  HtmlPiece piece;
  while (scanner.next(piece)) {
    if (piece.kind == HtmlPiece::Kind::text) {
      std::string text = html_text(piece.source, false);
      if (edit(text)) {
        for (const char c : text) html_escape(c, out);
      } else {
        out += piece.source;
      }
      continue;
    }
    if (piece.kind != HtmlPiece::Kind::tag) {
      out += piece.source;
      continue;
    }
    const std::string_view tag = piece.source;
    size_t at = attributes_begin(tag);
    size_t written = 0;
    HtmlAttribute each;
    while (next_attribute(tag, at, each)) {
      std::string value = html_text(each.value, true);
      if (each.value.empty() || !edit(value)) continue;
      const auto begin = static_cast<size_t>(each.value.data() - tag.data());
      out += tag.substr(written, begin - written);
      const char before = tag[begin - 1];
      const bool bare = before != '"' && before != '\'';
      if (bare) out += '"';
      for (const char c : value) html_escape(c, out);
      if (bare) out += '"';
      written = begin + each.value.size();
    }
    out += tag.substr(written);
  }
  return out;
}

}  // namespace postern::rules

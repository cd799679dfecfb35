// SPDX-License-Identifier: Apache-2.0
// The names of HTML that mean something for where elements end (WHATWG HTML 13.2.4.2 and 13.2.6), and what they mean.
// #pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "engine/base/text.h"

namespace postern::mime::html {

enum Trait : uint16_t {
  special = 1,    // end tags of inline elements do not reach across it
  scope = 2,      // no end tag inside it reaches what is outside
  ends_p = 4,     // closes an open paragraph
  formats = 8,    // goes on behind the end of its parent
  empty = 16,     // has no content
  implied = 32,   // needs no end tag
  marks = 64,     // formats stop at it
  own_end = 128,  // its end tag closes what is open inside it
  table_part = 256,
  raw = 512,  // its content is no markup
  heading = 1024,
  outside = 2048,  // html, head, body, frames
};
inline constexpr uint16_t kBlock = special | ends_p | own_end;

// Row is one name with its traits.
struct Row {
  std::string_view name;
  uint16_t traits;
};
inline constexpr auto kRows = std::to_array<Row>({
    {"", 0},
    {"a", formats},
    {"address", kBlock},
    {"applet", special | scope | marks},
    {"area", special | empty},
    {"article", kBlock},
    {"aside", kBlock},
    {"b", formats},
    {"base", special | empty},
    {"basefont", special | empty},
    {"bgsound", special | empty},
    {"big", formats},
    {"blockquote", kBlock},
    {"body", special | outside},
    {"br", special | empty},
    {"button", special | own_end},
    {"caption", special | scope | marks | table_part},
    {"center", kBlock},
    {"code", formats},
    {"col", special | empty | table_part},
    {"colgroup", special | table_part},
    {"dd", special | implied},
    {"details", kBlock},
    {"dialog", ends_p | own_end},
    {"dir", kBlock},
    {"div", kBlock},
    {"dl", kBlock},
    {"dt", special | implied},
    {"em", formats},
    {"embed", special | empty},
    {"fieldset", kBlock},
    {"figcaption", kBlock},
    {"figure", kBlock},
    {"font", formats},
    {"footer", kBlock},
    {"form", special | ends_p},
    {"frame", special | empty | outside},
    {"frameset", special | outside},
    {"h1", special | ends_p | heading},
    {"h2", special | ends_p | heading},
    {"h3", special | ends_p | heading},
    {"h4", special | ends_p | heading},
    {"h5", special | ends_p | heading},
    {"h6", special | ends_p | heading},
    {"head", special | outside},
    {"header", kBlock},
    {"hgroup", kBlock},
    {"hr", special | empty | ends_p},
    {"html", special | scope | outside},
    {"i", formats},
    {"iframe", special | raw},
    {"image", special | empty},
    {"img", special | empty},
    {"input", special | empty},
    {"keygen", special | empty},
    {"li", special | implied},
    {"link", special | empty},
    {"listing", kBlock},
    {"main", kBlock},
    {"marquee", special | scope | marks},
    {"math", 0},
    {"menu", kBlock},
    {"meta", special | empty},
    {"nav", kBlock},
    {"nobr", formats},
    {"noembed", special | raw},
    {"noframes", special | raw},
    {"noscript", special},
    {"object", special | scope | marks},
    {"ol", kBlock},
    {"optgroup", implied},
    {"option", implied},
    {"p", special | ends_p | implied},
    {"param", special | empty},
    {"plaintext", special | ends_p | raw},
    {"pre", kBlock},
    {"rb", implied},
    {"rp", implied},
    {"rt", implied},
    {"rtc", implied},
    {"ruby", 0},
    {"s", formats},
    {"script", special | raw},
    {"search", kBlock},
    {"section", kBlock},
    {"select", special | own_end},
    {"small", formats},
    {"source", special | empty},
    {"strike", formats},
    {"strong", formats},
    {"style", special | raw},
    {"summary", kBlock},
    {"svg", 0},
    {"table", special | scope},
    {"tbody", special | table_part},
    {"td", special | scope | marks | table_part},
    {"template", special | scope | marks},
    {"textarea", special | raw},
    {"tfoot", special | table_part},
    {"th", special | scope | marks | table_part},
    {"thead", special | table_part},
    {"title", special | raw},
    {"tr", special | table_part},
    {"track", special | empty},
    {"tt", formats},
    {"u", formats},
    {"ul", kBlock},
    {"wbr", special | empty},
    {"xmp", special | ends_p | raw},
});
static_assert(std::ranges::is_sorted(kRows, {}, &Row::name) && kRows.size() < 256);

// The row of a name, 0 for names that mean nothing here.
constexpr uint8_t id_of(std::string_view lower) {
  const auto at = std::ranges::lower_bound(kRows, lower, {}, &Row::name);
  return at != kRows.end() && at->name == lower ? static_cast<uint8_t>(at - kRows.begin()) : uint8_t{0};
}

inline uint8_t id_of_tag(std::string_view name) {
  std::array<char, 12> lower{};
  if (name.size() > lower.size()) return 0;
  std::ranges::transform(name, lower.begin(), base::ascii_lower);
  return id_of(std::string_view(lower.data(), name.size()));
}

inline bool has(uint8_t id, unsigned traits) { return (kRows[id].traits & traits) != 0; }

inline constexpr uint8_t kA = id_of("a"), kBody = id_of("body"), kBr = id_of("br"), kButton = id_of("button"),
                         kCaption = id_of("caption"), kCol = id_of("col"), kColgroup = id_of("colgroup"),
                         kDd = id_of("dd"), kDiv = id_of("div"), kAddress = id_of("address"), kDt = id_of("dt"),
                         kForm = id_of("form"), kHead = id_of("head"), kHr = id_of("hr"), kHtml = id_of("html"),
                         kInput = id_of("input"), kLi = id_of("li"), kMath = id_of("math"), kNobr = id_of("nobr"),
                         kOl = id_of("ol"), kOptgroup = id_of("optgroup"), kOption = id_of("option"), kP = id_of("p"),
                         kRuby = id_of("ruby"), kRb = id_of("rb"), kRt = id_of("rt"), kRp = id_of("rp"),
                         kRtc = id_of("rtc"), kSelect = id_of("select"), kSvg = id_of("svg"), kTable = id_of("table"),
                         kTbody = id_of("tbody"), kTd = id_of("td"), kTemplate = id_of("template"),
                         kTextarea = id_of("textarea"), kTfoot = id_of("tfoot"), kTh = id_of("th"),
                         kThead = id_of("thead"), kTr = id_of("tr"), kUl = id_of("ul"), kFont = id_of("font"),
                         kXmp = id_of("xmp"), kScript = id_of("script"), kPlaintext = id_of("plaintext");

}  // namespace postern::mime::html

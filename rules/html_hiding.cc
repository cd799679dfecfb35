// SPDX-License-Identifier: Apache-2.0
// The few properties of CSS that take text away. Of several declarations the last valid one holds, and one that is
// important over those that are not, as browsers have it: else a text that is shown could be made to seem hidden.
#include "rules/html_hiding.h"

#include <algorithm>
#include <array>
#include <string>

#include "engine/base/text.h"
#include "engine/mime/html_tag.h"
#include "rules/html_reader.h"

namespace postern::rules {
namespace {

using mime::attributes_begin;
using mime::HtmlAttribute;
using mime::is_html_space;
using mime::next_attribute;
using mime::tag_name;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The style without comments and escapes, in lower case.
std::string plain_style(std::string_view style) {
  std::string out;
  for (size_t i = 0; i < style.size(); ++i) {
    if (style.substr(i, 2) == "/*") {
      const size_t close = style.find("*/", i + 2);
      if (close == std::string_view::npos) break;
      i = close + 1;
      continue;
    }
    if (style[i] != '\\') {
      out += base::ascii_lower(style[i]);
      continue;
    }
    unsigned code = 0;
    size_t digits = 0;
    for (; digits < 6 && i + 1 < style.size(); ++digits, ++i) {
      const char c = base::ascii_lower(style[i + 1]);
      if (!is_digit(c) && (c < 'a' || c > 'f')) break;
      code = code * 16 + static_cast<unsigned>(is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    if (digits == 0 && i + 1 < style.size()) out += base::ascii_lower(style[++i]);
    if (digits == 0) continue;
    out += code > 0 && code < 0x80 ? base::ascii_lower(static_cast<char>(code)) : '?';
    if (i + 1 < style.size() && is_html_space(style[i + 1])) ++i;
  }
  return out;
}

// Number is a number with its unit; `valid` false when the text is none.
struct Number {
  bool valid = false;
  double value = 0;
  std::string_view unit;
};

Number read_number(std::string_view text) {
  Number out;
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  double scale = 1;
  bool point = false;
  while (!text.empty() && (is_digit(text[0]) || (text[0] == '.' && !point))) {
    if (text[0] == '.') {
      point = true;
    } else {
      out.valid = true;
      if (point) scale /= 10;
      out.value = point ? out.value + scale * (text[0] - '0') : out.value * 10 + (text[0] - '0');
    }
    text.remove_prefix(1);
  }
  if (negative) out.value = -out.value;
  out.unit = text;
  return out;
}

// Whether text of that size does not show. nullopt: it has the size of what is round it, or more or less of it.
std::optional<bool> is_tiny(std::string_view size) {
  constexpr std::array<std::string_view, 8> kNames = {"xx-small", "x-small", "small",    "medium",
                                                      "large",    "x-large", "xx-large", "initial"};
  if (std::ranges::find(kNames, size) != kNames.end()) return false;
  const Number number = read_number(size);
  if (!number.valid || number.value < 0) return std::nullopt;
  if (number.value == 0) return true;
  if (number.unit == "%") return number.value < 5 ? std::optional(true) : std::nullopt;
  if (number.unit == "em" || number.unit == "ex" || number.unit == "ch") {
    return number.value < 0.05 ? std::optional(true) : std::nullopt;
  }
  if (number.unit == "px" || number.unit == "pt") return number.value < 0.5;
  if (number.unit.empty()) return std::nullopt;  // no size without a unit but 0
  return number.value < 0.05;
}

// The size in the shorthand "font": the first number that is 0 or has a unit.
std::string_view size_of_font(std::string_view font) {
  for (size_t at = 0; at < font.size();) {
    const size_t end = std::min(font.find_first_of(" \t\r\n\f/,", at), font.size());
    const std::string_view word = font.substr(at, end - at);
    const Number number = read_number(word);
    if (number.valid && (number.value == 0 || !number.unit.empty())) return word;
    at = end + 1;
  }
  return {};
}

bool is_shown_display(std::string_view value) {
  constexpr std::array<std::string_view, 13> kStarts = {"block",   "inline",   "table", "flex", "grid",
                                                        "list-",   "contents", "flow",  "ruby", "initial",
                                                        "inherit", "unset",    "revert"};
  return std::ranges::any_of(kStarts, [&](std::string_view start) { return value.starts_with(start); }) ||
         value.starts_with("-webkit-") || value.starts_with("-ms-") || value.starts_with("-moz-");
}

// Setting is the value of one property, so far.
template <class Value>
struct Setting {
  std::optional<Value> value;
  bool important = false;
  void set(Value given, bool is_important) {
    if (important && !is_important) return;
    value = given;
    important = is_important;
  }
};

// Style is what the declarations of one style attribute come to.
struct Style {
  Setting<bool> none;       // display
  Setting<bool> clear;      // opacity: 0
  Setting<bool> invisible;  // visibility
  Setting<bool> tiny;       // font-size
  bool no_room = false;     // a width or height of 0
  bool cut = false;         // what has no room is not shown
  bool mso = false;

  void declare(std::string_view name, std::string_view value, bool important) {
    if (name == "display") {
      if (value == "none" || is_shown_display(value)) none.set(value == "none", important);
    } else if (name == "visibility") {
      if (value == "hidden" || value == "collapse") invisible.set(true, important);
      if (value == "visible" || value == "initial") invisible.set(false, important);
    } else if (name == "opacity") {
      const Number number = read_number(value);
      if (number.valid) clear.set(number.value < (number.unit == "%" ? 5 : 0.05), important);
    } else if (name == "font-size" || name == "font") {
      const std::string_view size = name == "font" ? size_of_font(value) : value;
      if (const std::optional<bool> says = is_tiny(size)) tiny.set(*says, important);
    } else if (name == "height" || name == "max-height" || name == "width" || name == "max-width") {
      const Number number = read_number(value);
      no_room = no_room || (number.valid && number.value == 0);
    } else if (name == "overflow") {
      cut = value.starts_with("hidden") || value.starts_with("clip");
    } else if (name == "mso-hide") {
      mso = value == "all";
    }
  }
};

Style read_style(std::string_view text) {
  Style out;
  size_t begin = 0;
  char quote = 0;
  int depth = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ';';
    if (i < text.size() && quote != 0) {
      if (c == quote) quote = 0;
      continue;
    }
    if (c == '"' || c == '\'') quote = c;
    if (c == '(') ++depth;
    if (c == ')') depth = std::max(depth - 1, 0);
    if (c != ';' || (depth > 0 && i < text.size())) continue;
    const std::string_view declaration = text.substr(begin, i - begin);
    begin = i + 1;
    const size_t colon = declaration.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view value = base::trim(declaration.substr(colon + 1));
    const size_t mark = value.rfind('!');
    const bool important = mark != std::string_view::npos && base::trim(value.substr(mark + 1)) == "important";
    if (important) value = base::trim(value.substr(0, mark));
    out.declare(base::trim(declaration.substr(0, colon)), value, important);
  }
  return out;
}

}  // namespace

HtmlHiding hiding_of(std::string_view tag, bool& closes_itself) {
  HtmlHiding out;
  constexpr std::array<std::string_view, 6> kNotShown = {"template", "datalist", "rp", "audio", "video", "canvas"};
  const std::string_view name = tag_name(tag);
  const auto is = [&](std::string_view each) { return base::iequals(name, each); };
  bool hidden = false;
  bool open = false;
  bool styled = false;
  Style style;
  size_t at = attributes_begin(tag);
  HtmlAttribute each;
  size_t used = at;
  while (next_attribute(tag, at, each)) {
    used = at;
    if (base::iequals(each.name, "hidden")) {
      hidden = true;
    } else if (base::iequals(each.name, "open")) {
      open = true;
    } else if (base::iequals(each.name, "size") && is("font")) {
      out.tiny = false;
    } else if (base::iequals(each.name, "style") && !styled) {
      styled = true;
      style = read_style(plain_style(html_text(each.value, true)));
    }
  }
  closes_itself = tag.ends_with("/>") && used + 2 <= tag.size();
  const bool unshown = std::ranges::any_of(kNotShown, is) || (is("dialog") && !open);
  out.gone = style.none.value.value_or(false) || style.clear.value.value_or(false);
  out.gone_for_some =
      (style.cut && style.no_room) || style.mso || is("template") || (!style.none.value && (hidden || unshown));
  out.invisible = style.invisible.value;
  if (style.tiny.value) out.tiny = style.tiny.value;
  return out;
}

}  // namespace postern::rules

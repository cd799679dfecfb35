// SPDX-License-Identifier: Apache-2.0
// Reading tags: a quote opens a value only right behind '=', and what ends nowhere ends with the tag.
#include "engine/mime/html_tag.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/html_scanner.h"

namespace postern::mime {

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view each) { return base::iequals(each, name); });
}

std::string_view tag_name(std::string_view tag) {
  const size_t begin = tag.size() > 1 && tag[1] == '/' ? 2 : 1;
  size_t end = begin;
  while (end < tag.size() && !ends_tag_name(tag[end])) ++end;
  return tag.substr(std::min(begin, tag.size()), end - begin);
}

bool is_end_tag(std::string_view tag) { return tag.size() > 1 && tag[1] == '/'; }

size_t attributes_begin(std::string_view tag) {
  const std::string_view name = tag_name(tag);
  return static_cast<size_t>(name.data() - tag.data()) + name.size();
}

bool next_attribute(std::string_view tag, size_t& at, HtmlAttribute& out) {
  while (at < tag.size() && (is_html_space(tag[at]) || tag[at] == '/')) ++at;
  if (at >= tag.size() || tag[at] == '>') return false;
  const size_t begin = at++;
  while (at < tag.size() && !ends_tag_name(tag[at]) && tag[at] != '=') ++at;
  out.name = tag.substr(begin, at - begin);
  out.value = tag.substr(at, 0);
  size_t sign = at;
  while (sign < tag.size() && is_html_space(tag[sign])) ++sign;
  if (sign >= tag.size() || tag[sign] != '=') return true;
  at = sign + 1;
  while (at < tag.size() && is_html_space(tag[at])) ++at;
  if (at >= tag.size()) return true;
  const char quote = tag[at];
  if (quote == '"' || quote == '\'') {
    const size_t close = std::min(tag.find(quote, at + 1), tag.size());
    out.value = tag.substr(at + 1, close - at - 1);
    at = std::min(close + 1, tag.size());
  } else {
    const size_t from = at;
    while (at < tag.size() && !is_html_space(tag[at]) && tag[at] != '>') ++at;
    out.value = tag.substr(from, at - from);
  }
  return true;
}

std::string attribute_of(std::string_view tag, std::string_view name) {
  size_t at = attributes_begin(tag);
  HtmlAttribute each;
  while (next_attribute(tag, at, each)) {
    if (base::iequals(each.name, name)) return html_text(each.value, true);
  }
  return {};
}

}  // namespace postern::mime

// SPDX-License-Identifier: Apache-2.0
// The source of one HTML tag: its name and attributes as browsers read them (WHATWG HTML 13.2.5). Linear.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace postern::mime {

// is_html_space tells whether `c` is white space between attributes; ends_tag_name whether it ends the name of a tag.
constexpr bool is_html_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; }
constexpr bool ends_tag_name(char c) { return is_html_space(c) || c == '>' || c == '/'; }

// is_one_of compares without case.
bool is_one_of(std::string_view name, std::span<const std::string_view> names);

// tag_name returns the name in the tag `tag`, without '/'.
std::string_view tag_name(std::string_view tag);
// is_end_tag tells whether `tag` is "</…>".
bool is_end_tag(std::string_view tag);

// HtmlAttribute is one name and value of a tag, as they stand there.
struct HtmlAttribute {
  std::string_view name;
  std::string_view value;
};

// attributes_begin returns where in `tag` attributes may begin; next_attribute reads the one at or behind `at`, which
// moves past it, and returns false where there is none.
size_t attributes_begin(std::string_view tag);
bool next_attribute(std::string_view tag, size_t& at, HtmlAttribute& out);

// attribute_of returns the decoded value of attribute `name`: the first of that name, as browsers do; else "".
std::string attribute_of(std::string_view tag, std::string_view name);

}  // namespace postern::mime

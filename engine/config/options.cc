// SPDX-License-Identifier: Apache-2.0
// Look-ups in an option table. Tables have some tens of rows and are read at load only, so a walk is enough.
#include "engine/config/options.h"

#include <algorithm>

namespace postern::config {
namespace {

// Cuts the first segment off `path`; "flows[]" and "*" are segments like others.
std::string_view take_segment(std::string_view& path) {
  const size_t dot = path.find('.');
  const std::string_view segment = path.substr(0, dot);
  path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  return segment;
}

bool matches(std::string_view row, std::string_view path) {
  while (!row.empty() && !path.empty()) {
    const std::string_view wanted = take_segment(row);
    const std::string_view given = take_segment(path);
    if (wanted != given && wanted != "*") return false;
  }
  return row.empty() && path.empty();
}

}  // namespace

const OptionRow* find_option(std::span<const OptionRow> table, std::string_view path) {
  if (path.empty()) return nullptr;
  // An exact row wins over one that has "*" in that place.
  for (const OptionRow& row : table) {
    if (row.path == path) return &row;
  }
  for (const OptionRow& row : table) {
    if (matches(row.path, path)) return &row;
  }
  return nullptr;
}

std::vector<std::string_view> option_children(std::span<const OptionRow> table, std::string_view path) {
  std::vector<std::string_view> names;
  for (const OptionRow& row : table) {
    std::string_view rest = row.path;
    std::string_view prefix = path;
    bool under = true;
    while (!prefix.empty() && under) {
      const std::string_view given = take_segment(prefix);
      const std::string_view wanted = take_segment(rest);
      under = !rest.empty() && (wanted == given || wanted == "*");
    }
    if (!under) continue;
    std::string_view name = take_segment(rest);
    if (name.ends_with("[]")) name.remove_suffix(2);
    if (name != "*" && std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

}  // namespace postern::config

// SPDX-License-Identifier: Apache-2.0
// Options: one constexpr table row per key of a configuration file; the same rows check a file, give defaults, print
// `--dump`, make the JSON Schema and are compared with the man page by a test.
#pragma once
#include <span>
#include <string_view>

namespace postern::config {

enum class OptionType { text, boolean, integer, size, duration, list, map, choice };

// OptionRow is one key. `path` is dotted ("limits.message-size"; "*" for a name the administrator chooses:
// "flows[].when.client", "quarantines.*.retention").
struct OptionRow {
  std::string_view path;
  OptionType type;
  std::string_view default_value;  // as it would be written; empty: none
  std::string_view choices;        // for choice: "a|b|c"
  std::string_view doc;            // one sentence, also the schema's description
};

// find_option returns the row for `path`, or nullptr.
const OptionRow* find_option(std::span<const OptionRow> table, std::string_view path);

}  // namespace postern::config

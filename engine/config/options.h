// SPDX-License-Identifier: Apache-2.0
// Options: one constexpr table row per key of a configuration file; the same rows check a file, give defaults, print
// `--dump`, make the JSON Schema and are compared with the man page by a test.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace postern::config {

enum class OptionType { text, boolean, integer, size, duration, list, map, choice };

// kOrText as the `choices` of a list of maps: a text may stand in place of each map.
inline constexpr std::string_view kOrText = "text";

// OptionRow is one key. `path` is dotted ("limits.message-size"; "*" for a name the administrator chooses:
// "flows[].when.client", "quarantines.*.retention").
struct OptionRow {
  std::string_view path;
  OptionType type;
  std::string_view default_value;  // as it would be written; empty: none
  std::string_view choices;        // for choice: "a|b|c"; for integer: words that stand for 0; for list: its words
  std::string_view doc;            // one sentence, also the schema's description
  uint64_t minimum = 0;            // integer, size, duration (seconds): inclusive range
  uint64_t maximum = UINT64_MAX;
};

// find_option returns the row for `path`, or nullptr. `path` may be a row's own ("quarantines.*.size") or one with
// names filled in ("quarantines.Policy.size").
const OptionRow* find_option(std::span<const OptionRow> table, std::string_view path);

// option_children returns the key names that may stand directly under `path` ("" for the top), without "*"; in the
// order of the table.
std::vector<std::string_view> option_children(std::span<const OptionRow> table, std::string_view path);

}  // namespace postern::config

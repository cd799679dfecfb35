// SPDX-License-Identifier: Apache-2.0
// Typed reading of YAML values with errors that say what was expected.
#include "milter/settings_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/base/text.h"
#include "milter/settings.h"

namespace postern::milter {

using config::Node;
using config::NodeKind;
using config::OptionRow;
using config::OptionType;

void SettingsReader::error(const Node& node, std::string message, std::string hint) {
  diagnostics_.error(node.position, node.length(sources_), std::move(message), std::move(hint));
}

void SettingsReader::warning(const Node& node, std::string message, std::string hint) {
  diagnostics_.warning(node.position, node.length(sources_), std::move(message), std::move(hint));
}

void SettingsReader::check_key(const Node& key, std::string_view parent) {
  const std::vector<std::string_view> known = config::option_children(option_table(), parent);
  for (const std::string_view name : known) {
    if (name == key.text) return;
  }
  const std::string_view near = base::nearest(key.text, known);
  std::string hint;
  if (!near.empty()) {
    hint = "did you mean '" + std::string(near) + "'?";
  } else if (!known.empty()) {
    hint = "known here:";
    for (const std::string_view name : known) hint += " " + std::string(name);
  }
  error(key, "unknown key '" + base::escape_for_log(key.text, 80) + "'", std::move(hint));
}

const Node* SettingsReader::scalar(const Node& map, std::string_view path) {
  const Node* value = map.get(path.substr(path.rfind('.') + 1));
  if (value == nullptr || value->kind == NodeKind::null) return nullptr;
  if (value->kind == NodeKind::scalar) return value;
  error(*value, "'" + std::string(path.substr(path.rfind('.') + 1)) + "' takes a single value");
  return nullptr;
}

void SettingsReader::text(const Node& map, std::string_view path, std::string& to) {
  const Node* value = scalar(map, path);
  if (value == nullptr) return;
  if (std::ranges::any_of(value->text, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7F; })) {
    error(*value, "line ends and control characters are not allowed here");
    return;
  }
  if (base::trim(value->text) != value->text) {
    error(*value, "blanks at the start or end of this value", "remove them");
    return;
  }
  const OptionRow* row = config::find_option(option_table(), path);
  if (row != nullptr && row->type == OptionType::choice) {
    const std::vector<std::string_view> choices = base::split(row->choices, '|');
    for (const std::string_view choice : choices) {
      if (choice == value->text) {
        to = value->text;
        return;
      }
    }
    std::string hint = "one of:";
    for (const std::string_view choice : choices) hint += " " + std::string(choice);
    const std::string_view near = base::nearest(value->text, choices);
    if (!near.empty()) hint = "did you mean '" + std::string(near) + "'?";
    error(*value, "'" + base::escape_for_log(value->text, 80) + "' is not allowed here", std::move(hint));
    return;
  }
  to = value->text;
}

void SettingsReader::number(const Node& map, std::string_view path, uint64_t& to) {
  const Node* value = scalar(map, path);
  if (value == nullptr) return;
  const OptionRow* row = config::find_option(option_table(), path);
  if (row == nullptr) return;
  std::optional<uint64_t> number;
  std::string expected;
  switch (row->type) {
    case OptionType::size:
      number = base::parse_size(value->text);
      expected = "a size such as 50M";
      break;
    case OptionType::duration:
      number = base::parse_duration(value->text);
      expected = "a time such as 30s or 5d";
      break;
    default: {
      uint64_t digits = 0;
      const auto [end, fault] = std::from_chars(value->text.data(), value->text.data() + value->text.size(), digits);
      if (fault == std::errc() && end == value->text.data() + value->text.size()) number = digits;
      expected = "a number";
      break;
    }
  }
  const std::string& text = value->text;
  if (text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9') {
    error(*value, "a number that begins with 0 is octal to some and decimal to others", "write it without the 0");
    return;
  }
  if (!number) {
    error(*value, "'" + base::escape_for_log(value->text, 80) + "' is not " + expected);
    return;
  }
  if (*number < row->minimum || *number > row->maximum) {
    const auto written = [&](uint64_t limit) {
      return row->type == OptionType::size       ? base::format_size(limit)
             : row->type == OptionType::duration ? base::format_duration(limit)
                                                 : std::to_string(limit);
    };
    error(*value, base::escape_for_log(value->text, 80) + " is out of range",
          "from " + written(row->minimum) + " to " + written(row->maximum));
    return;
  }
  to = *number;
}

void SettingsReader::size(const Node& map, std::string_view path, uint64_t& to) { number(map, path, to); }
void SettingsReader::duration(const Node& map, std::string_view path, uint64_t& to) { number(map, path, to); }

void SettingsReader::integer(const Node& map, std::string_view path, uint32_t& to) {
  uint64_t wide = to;
  number(map, path, wide);
  to = static_cast<uint32_t>(wide);
}

bool SettingsReader::boolean(const Node& value) {
  if (value.kind == NodeKind::scalar && !value.quoted) {
    if (value.text == "true") return true;
    if (value.text == "false") return false;
  }
  error(value, "this takes true or false");
  return false;
}

const Node* SettingsReader::map(const Node& root, std::string_view name) {
  const Node* value = root.get(name);
  if (value == nullptr || value->kind == NodeKind::null) return nullptr;
  if (value->kind != NodeKind::map) {
    error(*value, "'" + std::string(name) + "' takes a map of keys");
    return nullptr;
  }
  if (!config::option_children(option_table(), name).empty()) {
    for (const auto& [key, ignored] : value->entries) check_key(key, name);
  }
  return value;
}

std::vector<const Node*> SettingsReader::items(const Node& value) {
  std::vector<const Node*> out;
  if (value.kind == NodeKind::scalar) {
    out.push_back(&value);
    return out;
  }
  if (value.kind != NodeKind::sequence) {
    error(value, "this takes a list");
    return out;
  }
  for (const Node& item : value.items) {
    if (item.kind != NodeKind::scalar || item.text.empty()) {
      error(item, "each entry of this list is a single value");
    } else {
      out.push_back(&item);
    }
  }
  return out;
}

}  // namespace postern::milter

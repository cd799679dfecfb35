// SPDX-License-Identifier: Apache-2.0
// Typed reading of YAML values with errors that say what was expected.
#include "engine/config/option_reader.h"

#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/base/text.h"

namespace postern::config {

void OptionReader::error(const Node& node, std::string message, std::string hint) {
  diagnostics_.error(node.position, node.length(sources_), std::move(message), std::move(hint));
}

void OptionReader::warning(const Node& node, std::string message, std::string hint) {
  diagnostics_.warning(node.position, node.length(sources_), std::move(message), std::move(hint));
}

void OptionReader::check_key(const Node& key, std::string_view parent) {
  const std::vector<std::string_view> known = option_children(table_, parent);
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

const Node* OptionReader::scalar(const Node& map, std::string_view path) {
  const Node* value = map.get(path.substr(path.rfind('.') + 1));
  if (value == nullptr || value->kind == NodeKind::null) return nullptr;
  if (value->kind == NodeKind::scalar) return value;
  error(*value, "'" + std::string(path.substr(path.rfind('.') + 1)) + "' takes a single value");
  return nullptr;
}

void OptionReader::text(const Node& map, std::string_view path, std::string& to) {
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
  const OptionRow* row = find_option(table_, path);
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
    error(*value, base::quoted(value->text) + " is not allowed here", std::move(hint));
    return;
  }
  to = value->text;
}

void OptionReader::number(const Node& map, std::string_view path, uint64_t& to) {
  const Node* value = scalar(map, path);
  if (value == nullptr) return;
  const OptionRow* row = find_option(table_, path);
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
      if (!row->choices.empty()) {
        for (const std::string_view word : base::split(row->choices, '|')) {
          if (value->text == word) {
            to = 0;
            return;
          }
        }
      }
      uint64_t digits = 0;
      const auto [end, fault] = std::from_chars(value->text.data(), value->text.data() + value->text.size(), digits);
      if (fault == std::errc() && end == value->text.data() + value->text.size()) number = digits;
      expected = row->choices.empty() ? "a number" : "a number or " + std::string(row->choices);
      break;
    }
  }
  const std::string& text = value->text;
  if (text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9') {
    error(*value, "a number that begins with 0 is octal to some and decimal to others", "write it without the 0");
    return;
  }
  if (!number) {
    error(*value, base::quoted(value->text) + " is not " + expected);
    return;
  }
  if (*number < row->minimum || *number > row->maximum) {
    const auto written = [&](uint64_t limit) {
      return row->type == OptionType::size       ? base::format_size(limit)
             : row->type == OptionType::duration ? base::format_duration(limit)
                                                 : std::to_string(limit);
    };
    error(*value, base::escape_for_log(value->text, 80) + " is out of range",
          "from " + written(row->minimum) + " to " + written(row->maximum) +
              (row->choices.empty() ? "" : ", or " + std::string(row->choices)));
    return;
  }
  to = *number;
}

void OptionReader::size(const Node& map, std::string_view path, uint64_t& to) { number(map, path, to); }
void OptionReader::duration(const Node& map, std::string_view path, uint64_t& to) { number(map, path, to); }

void OptionReader::integer(const Node& map, std::string_view path, uint32_t& to) {
  uint64_t wide = to;
  number(map, path, wide);
  to = static_cast<uint32_t>(wide);
}

void OptionReader::socket_mode(const Node& map, std::string_view path, uint32_t& to) {
  std::string mode;
  text(map, path, mode);
  if (mode.empty()) return;
  const Node& node = *map.get(path.substr(path.rfind('.') + 1));
  uint32_t bits = 0;
  const auto [end, fault] = std::from_chars(mode.data(), mode.data() + mode.size(), bits, 8);
  if (fault != std::errc() || end != mode.data() + mode.size() || bits > 0777 || (bits & 0600) != 0600) {
    error(node, "'" + base::escape_for_log(mode, 40) + "' is no mode for a socket",
          "octal digits, for example \"0660\"");
    return;
  }
  to = bits;
  if ((bits & 0002) != 0) {
    const std::string group = std::string(path.substr(0, path.rfind('.') + 1)) + "group";
    warning(node, "every user of this machine may speak to a socket of mode " + mode,
            "use the group: mode \"0660\" and " + group);
  }
}

void OptionReader::check_socket_path(const Node& node, const std::string& path) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) return;
  error(node, "a Unix socket's path may have 107 bytes at most", "this is " + base::escape_for_log(path, 200));
}

void OptionReader::log(const Node& root, const std::string& folder, base::LogTarget& to) {
  const Node* log = map(root, "log");
  if (log == nullptr) return;
  text(*log, "log.to", to.to);
  if (to.to.starts_with("file:") && to.to.size() > 5) {
    to.to = "file:" + absolute_path(folder, to.to.substr(5));
  } else if (to.to != "journal" && to.to != "syslog" && to.to != "stderr") {
    error(*log->get("to"), base::quoted(to.to) + " is no log target", "journal, syslog, stderr or file:PATH");
  }
  std::string level;
  text(*log, "log.level", level);
  for (const base::Level one : {base::Level::error, base::Level::warning, base::Level::info, base::Level::debug}) {
    if (base::level_name(one) == level) to.level = one;
  }
}

bool OptionReader::boolean(const Node& value) {
  if (value.kind == NodeKind::scalar && !value.quoted) {
    if (value.text == "true") return true;
    if (value.text == "false") return false;
  }
  error(value, "this takes true or false");
  return false;
}

const Node* OptionReader::map(const Node& root, std::string_view name) {
  const Node* value = root.get(name);
  if (value == nullptr || value->kind == NodeKind::null) return nullptr;
  if (value->kind != NodeKind::map) {
    error(*value, "'" + std::string(name) + "' takes a map of keys");
    return nullptr;
  }
  if (!option_children(table_, name).empty()) {
    for (const auto& [key, ignored] : value->entries) check_key(key, name);
  }
  return value;
}

std::vector<const Node*> OptionReader::items(const Node& value) {
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

}  // namespace postern::config

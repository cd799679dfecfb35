// SPDX-License-Identifier: Apache-2.0
// Checks of configuration files against their option table, for tests of both programs' settings: a YAML text as flat
// paths, and whether a value fits a JSON Schema as option_schema makes it.
#pragma once
#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>

#include "engine/config/yaml.h"

namespace postern::testsupport {

// Every scalar of a YAML tree by its dotted path; list entries joined by a comma.
inline void flatten(const config::Node& node, const std::string& path, std::map<std::string, std::string>& out) {
  switch (node.kind) {
    case config::NodeKind::scalar:
      out[path] = out.contains(path) ? out[path] + "," + node.text : node.text;
      break;
    case config::NodeKind::sequence:
      for (const config::Node& item : node.items)
        flatten(item, item.kind == config::NodeKind::map ? path + "[]" : path, out);
      break;
    case config::NodeKind::map:
      for (const auto& [key, value] : node.entries)
        flatten(value, path.empty() ? key.text : path + "." + key.text, out);
      break;
    case config::NodeKind::null:
      break;
  }
}

inline std::map<std::string, std::string> flat(const std::string& yaml) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  const auto node = config::parse_yaml(sources, sources.add_text("dump", yaml), diagnostics);
  std::map<std::string, std::string> out;
  EXPECT_TRUE(node) << diagnostics.render() << yaml;
  if (node) flatten(*node, "", out);
  return out;
}

// What the schema says about one value; the words of JSON Schema that settings_schema uses.
inline bool fits(const nlohmann::json& schema, const config::Node& node) {
  if (schema.contains("oneOf")) {
    size_t fitting = 0;
    for (const auto& one : schema["oneOf"]) fitting += fits(one, node) ? 1 : 0;
    return fitting == 1;
  }
  if (schema.contains("enum")) {
    for (const auto& value : schema["enum"]) {
      if (node.kind == config::NodeKind::scalar && value == node.text) return true;
    }
    return false;
  }
  const auto allows = [&](std::string_view type) {
    const auto& types = schema.at("type");
    return types.is_array() ? std::ranges::find(types, type) != types.end() : types == type;
  };
  switch (node.kind) {
    case config::NodeKind::null:
      return allows("null");
    case config::NodeKind::scalar: {
      const bool number = !node.quoted && node.text.find_first_not_of("0123456789") == std::string::npos;
      const bool boolean = !node.quoted && (node.text == "true" || node.text == "false");
      return number ? allows("integer") : boolean ? allows("boolean") : allows("string");
    }
    case config::NodeKind::sequence:
      return allows("array") && std::ranges::all_of(node.items, [&](const config::Node& item) {
               return !schema.contains("items") || fits(schema["items"], item);
             });
    case config::NodeKind::map:
      break;
  }
  if (!allows("object")) return false;
  for (const auto& [key, value] : node.entries) {
    if (schema.contains("properties") && schema["properties"].contains(key.text)) {
      if (!fits(schema["properties"][key.text], value)) return false;
    } else if (!schema.contains("additionalProperties") || !schema["additionalProperties"].is_object() ||
               !fits(schema["additionalProperties"], value)) {
      return false;
    }
  }
  return true;
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace postern::testsupport

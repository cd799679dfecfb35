// SPDX-License-Identifier: Apache-2.0
// JSON Schema, draft 2020-12, row by row.
#include "engine/config/option_schema.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/base/text.h"

namespace postern::config {
namespace {

using nlohmann::json;

json words(std::string_view choices) {
  json list = json::array();
  for (const std::string_view choice : base::split(choices, '|')) list.push_back(choice);
  return list;
}

bool is_list_of_maps(std::span<const OptionRow> table, std::string_view path) {
  const std::string below = std::string(path) + "[].";
  return std::ranges::any_of(table, [&below](const OptionRow& row) { return row.path.starts_with(below); });
}

json schema_of(std::span<const OptionRow> table, const OptionRow& row) {
  json schema;
  switch (row.type) {
    case OptionType::text:
      schema = {{"type", "string"}};
      break;
    case OptionType::boolean:
      schema = {{"type", "boolean"}};
      break;
    case OptionType::integer: {
      json number = {{"type", "integer"}, {"minimum", row.minimum}};
      if (row.maximum != UINT64_MAX) number["maximum"] = row.maximum;
      if (row.choices.empty()) {
        schema = std::move(number);
      } else {
        schema["oneOf"] = json::array({json{{"enum", words(row.choices)}}, std::move(number)});
      }
      break;
    }
    case OptionType::size:
      schema = {{"type", json::array({"string", "integer"})}, {"pattern", "^[0-9]+[bkmgBKMG]?$"}};
      break;
    case OptionType::duration:
      schema = {{"type", "string"}, {"pattern", "^[0-9]+[smhdSMHD]$"}};
      break;
    case OptionType::choice:
      schema["enum"] = words(row.choices);
      break;
    case OptionType::list:
      if (is_list_of_maps(table, row.path)) {
        schema = {{"type", "array"}};
        if (row.choices == kOrText) {
          // What stands in the rows below it is a long form of a word.
          schema["type"] = json::array({"array", "string"});
          schema["items"] = {{"type", json::array({"object", "string"})}};
        }
      } else if (row.choices.empty()) {
        schema = {{"type", json::array({"array", "string"})}, {"items", {{"type", "string"}}}};
      } else {
        const json word = {{"enum", words(row.choices)}};
        schema["oneOf"] = json::array({word, json{{"type", "array"}, {"items", word}}});
      }
      break;
    case OptionType::map:
      schema = {{"type", json::array({"object", "null"})}};
      break;
  }
  schema["description"] = row.doc;
  if (!row.default_value.empty())
    schema["description"] = std::string(row.doc) + " Default: " + std::string(row.default_value) + ".";
  return schema;
}

// Puts a row's schema into the tree of objects at its dotted path.
void place(json& root, std::span<const OptionRow> table, const OptionRow& row) {
  json* at = &root;
  const std::vector<std::string_view> segments = base::split(row.path, '.');
  for (size_t i = 0; i < segments.size(); ++i) {
    std::string name(segments[i]);
    const bool list = name.ends_with("[]");
    if (list) name.resize(name.size() - 2);
    json& object = *at;
    if (!object.contains("type")) object["type"] = "object";
    json* child = nullptr;
    if (name == "*") {
      child = &object["additionalProperties"];
      // A name alone takes every default.
      (*child)["type"] = json::array({"object", "null"});
    } else {
      if (!object.contains("additionalProperties")) object["additionalProperties"] = false;
      child = &object["properties"][name];
    }
    if (i + 1 == segments.size()) {
      child->update(schema_of(table, row));
      return;
    }
    at = list ? &(*child)["items"] : child;
  }
}

}  // namespace

json option_schema(std::span<const OptionRow> table, std::string_view title, std::string_view description) {
  json root = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
               {"title", title},
               {"description", description},
               {"type", "object"}};
  for (const OptionRow& row : table) place(root, table, row);
  return root;
}

}  // namespace postern::config

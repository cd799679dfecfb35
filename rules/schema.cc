// SPDX-License-Identifier: Apache-2.0
// JSON Schema draft 07, which the editors' YAML servers read. Conditions are text to a schema: the rules appear as
// examples and as snippets with their sentences.
#include "rules/schema.h"

#include <nlohmann/json.hpp>

#include "rules/check.h"
#include "rules/language.h"

namespace postern::rules {
namespace {

using Json = nlohmann::ordered_json;

bool is_required(char letter) { return letter >= 'A' && letter <= 'Z'; }

Json reference(std::string_view name) { return {{"$ref", "#/definitions/" + std::string(name)}}; }

Json argument_schema(const ActionRow& row, char letter) {
  switch (letter) {
    case 'N':
    case 'n':
      return {{"type", "integer"}, {"minimum", 1}};
    case 'K':
    case 'k': {
      const int first = row.name == "reject" ? 500 : 400;
      return {{"type", "integer"}, {"minimum", first}, {"maximum", first + 99}};
    }
    case 'E':
    case 'e':
      return {{"type", "string"},
              {"pattern", row.name == "reject" ? "^5(\\.[0-9]{1,3}){2}$" : "^4(\\.[0-9]{1,3}){2}$"}};
    case 'Z':
    case 'z':
      return {{"type", {"string", "integer"}}, {"pattern", "^[0-9]+[bBkKmMgG]?$"}};
    case 'M':
    case 'm':
      return {{"type", "string"}, {"pattern", "^[^/ ]+/[^/ ]+$"}};
    case 'H':
    case 'h':
      return {{"type", "string"}, {"pattern", "^[!-9;-~]{1,76}$"}};
    case 'G':
    case 'g':
      return {{"type", {"string", "number"}}};
    default:
      return {{"type", {"string", "number"}}, {"minLength", 1}};
  }
}

Json action_schema(const ActionRow& row) {
  Json out = {{"description", std::string(row.doc) + " Example: - " + std::string(row.example)}};
  const std::vector<std::string_view> names = argument_names(row);
  if (names.empty()) {
    out["type"] = {"null", "object"};
    out["maxProperties"] = 0;
    return out;
  }
  Json map = {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
  Json required = Json::array();
  for (size_t i = 0; i < names.size(); ++i) {
    map["properties"][std::string(names[i])] = argument_schema(row, row.arguments[i]);
    if (is_required(row.arguments[i])) required.push_back(names[i]);
  }
  if (!required.empty()) map["required"] = required;
  Json forms = Json::array();
  if (required.size() <= 1) forms.push_back(argument_schema(row, row.arguments[0]));
  forms.push_back(std::move(map));
  if (required.empty()) forms.push_back({{"type", "null"}});
  out["anyOf"] = std::move(forms);
  return out;
}

Json condition_schema() {
  Json out = {{"description",
               "A condition: rules joined by and, or, not and parentheses, for example subject == \"^test\" and "
               "rcpt-count > 5. Strings are raw, \\\" is a quote."},
              {"type", {"string", "boolean"}}};
  Json examples = Json::array();
  Json snippets = Json::array();
  for (const RuleRow& row : rule_table()) {
    examples.push_back(row.example);
    snippets.push_back({{"label", row.name}, {"description", row.doc}, {"body", row.example}});
  }
  out["examples"] = std::move(examples);
  out["defaultSnippets"] = std::move(snippets);
  return out;
}

Json statement_schema() {
  Json bare = Json::array();
  Json actions = Json::object();
  for (const ActionRow& row : action_table()) {
    bool optional = true;
    for (const char letter : row.arguments) optional = optional && !is_required(letter);
    if (optional) bare.push_back({{"const", row.name}, {"description", row.doc}});
    actions[std::string(row.name)] = action_schema(row);
  }
  return {{"description", "An action, or a nested if."},
          {"anyOf",
           {{{"type", "string"}, {"anyOf", std::move(bare)}},
            {{"type", "object"},
             {"additionalProperties", false},
             {"minProperties", 1},
             {"maxProperties", 1},
             {"properties", std::move(actions)}},
            reference("branch")}}};
}

Json choice(std::string_view description, std::initializer_list<std::string_view> words) {
  Json out = {{"description", description}, {"enum", Json::array()}};
  for (const std::string_view word : words) out["enum"].push_back(word);
  return out;
}

Json branch_schema() {
  return {{"description", "A nested if: its condition is asked only when this place is reached."},
          {"type", "object"},
          {"additionalProperties", false},
          {"required", {"if", "then"}},
          {"properties",
           {{"if", reference("condition")},
            {"then", reference("statements")},
            {"else", reference("statements")},
            {"comment", {{"description", "A note for people."}, {"type", {"string", "number", "null"}}}}}}};
}

Json filter_schema() {
  Json properties = {
      {"name",
       {{"description", "Name of the filter: letters, digits, '-' and '_', unique over all rule files."},
        {"type", {"string", "integer"}},
        {"pattern", "^[A-Za-z0-9_-]{1,100}$"}}},
      {"flows",
       {{"description", "Mail flows that run this filter; every flow when left out."},
        {"type", {"array", "null"}},
        {"minItems", 1},
        {"uniqueItems", true},
        {"items", {{"type", "string"}}}}},
      {"if", reference("condition")},
      {"then", reference("statements")},
      {"else", reference("statements")},
      {"on-unknown", choice("What to do when the condition cannot be told: skip the filter, refuse temporarily, "
                            "quarantine, run 'then', or by what 'then' does.",
                            {"skip", "tempfail", "quarantine", "match", "by-action"})},
      {"enabled", {{"description", "false: the filter is checked but never runs."}, {"type", "boolean"}}},
      {"mode", choice("observe: evaluate and log what the filter would do, do nothing.", {"enforce", "observe"})}};
  Json phases =
      choice("Point of the SMTP transaction at which the filter runs; message (the default) knows everything.", {});
  for (const Phase phase : {Phase::connect, Phase::helo, Phase::mail, Phase::rcpt, Phase::data, Phase::message}) {
    phases["enum"].push_back(phase_name(phase));
  }
  properties["phase"] = std::move(phases);
  properties["comment"] = {{"description", "A note for people."}, {"type", {"string", "number", "null"}}};
  return {{"type", "object"},
          {"additionalProperties", false},
          {"required", {"name", "then"}},
          {"properties", std::move(properties)}};
}

}  // namespace

std::string rules_schema() {
  Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"},
                 {"title", "Postern rule file"},
                 {"description", "Message filters of Postern; see postern-rules(5)."},
                 {"type", {"object", "null"}},
                 {"additionalProperties", false},
                 {"properties",
                  {{"filters",
                    {{"description", "Filters in the order in which they run."},
                     {"type", {"array", "null"}},
                     {"items", reference("filter")}}}}}};
  schema["definitions"] = {{"filter", filter_schema()},
                           {"branch", branch_schema()},
                           {"condition", condition_schema()},
                           {"statements", {{"type", {"array", "null"}}, {"items", reference("statement")}}},
                           {"statement", statement_schema()}};
  return schema.dump(2) + "\n";
}

}  // namespace postern::rules

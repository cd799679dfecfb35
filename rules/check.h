// SPDX-License-Identifier: Apache-2.0
// Checker: makes typed conditions and actions of what stands in a rule file, with names, operators, types, ranges,
// phases and references looked up. Everything wrong is reported; an object is only used when nothing was. One load, one
// thread.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rules/ast.h"
#include "rules/parser.h"
#include "rules/report.h"
#include "rules/ruleset.h"

namespace postern::rules {

class Checker {
 public:
  Checker(const config::Sources& sources, config::Diagnostics& diagnostics, const LoadContext& context);

  // condition reads the scalar `node`; `depth` is how deep the `if` stands already.
  std::optional<Condition> condition(const config::Node& node, Phase phase, uint32_t depth);
  // always is the condition of a filter without `if`.
  static Condition always(config::Position position);
  // action reads one action: `name` is its scalar, `value` what follows the colon, or nullptr.
  std::optional<Action> action(const config::Node& name, const config::Node* value, Phase phase);

  // check_texts reads every text that notices may name, whether an action does or not.
  void check_texts();
  // take_header_names gives the names that header slots index.
  std::vector<std::string> take_header_names() { return std::move(header_names_); }
  // take_dictionaries gives the dictionaries named, in the order of Test::dictionary.
  std::vector<std::shared_ptr<const match::Dictionary>> take_dictionaries() { return std::move(dictionaries_); }
  Report& report() { return report_; }

 private:
  // Spot is where a value stands: in a node's text, at `offset`; strings of a condition have quotes and escapes.
  struct Spot {
    const config::Node& node;
    size_t offset = 0;
    size_t length = 0;
    bool in_condition = false;
  };
  void error(const Spot& spot, std::string message, std::string hint = {});
  void fault(const Spot& spot, const ValueFault& fault);
  bool known_rule(const Spot& spot, std::string_view word, const RuleRow*& row);
  bool known_action(const Spot& spot, std::string_view word, const ActionRow*& row);

  // Conditions.
  std::optional<Test> test(const config::Node& node, const Term& term, Phase phase);
  bool check_arguments(const config::Node& node, const Term& term, Test& out);
  bool check_operator(const config::Node& node, const Term& term, const RuleRow& row);
  bool check_value(const Spot& spot, char letter, const Literal& literal, bool compared, Test& out);
  bool check_verdict(const Spot& spot, const std::string& value, Test& out);
  bool check_identity(const Spot& spot, const std::string& value, Test& out);
  void check_phase(const Spot& spot, std::string_view word, Phase known, Phase phase);
  uint32_t header_slot(const std::string& lower_name);

  // Actions.
  bool action_arguments(const config::Node& value, Phase phase, Action& out);
  bool check_argument(const Spot& spot, char letter, std::string_view value, size_t at, Phase phase, Action& out);
  bool check_template(const Spot& spot, std::string_view value, bool lines, Phase phase, Template& out);
  bool check_replacement(const Action& action, const config::Node& value);
  void check_reply(const config::Node& text, const Action& action);
  bool check_quarantine(const Spot& spot, std::string_view name);
  bool check_submission(const Spot& spot, const ActionRow& row);
  bool check_addresses(const Spot& spot, size_t front, std::string_view value, char letter, Phase phase, Template& out);
  bool check_archive(const Spot& spot, std::string_view name);
  bool check_text(const Spot& spot, std::string_view name, Phase phase, Template& out);

  // Both.
  std::optional<match::Regex> regex(const Spot& spot, std::string_view pattern,
                                    match::Reads reads = match::Reads::text);
  bool regex_or_smart(const Spot& spot, std::string_view value, std::optional<match::Regex>& regex, uint32_t& smart);
  bool dictionary(const Spot& spot, std::string_view name, uint32_t& index);
  bool header_name(const Spot& spot, std::string_view name);
  bool plain(const Spot& spot, std::string_view value);

  Report report_;
  const LoadContext& context_;
  std::vector<std::string> header_names_;
  std::map<std::string, uint32_t, std::less<>> slots_;
  std::map<std::string, Template, std::less<>> texts_;
  std::vector<std::shared_ptr<const match::Dictionary>> dictionaries_;
};

// argument_names splits a row's comma separated names.
std::vector<std::string_view> argument_names(const ActionRow& row);

}  // namespace postern::rules

// SPDX-License-Identifier: Apache-2.0
// The language: one constexpr row per rule (condition) and per action. Parser, checker, cost model, evaluator, JSON
// Schema, "did you mean" and the test that compares code, tests and man pages all read these tables; a word that is not
// here does not exist.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace postern::rules {

// Phase is a point of the SMTP transaction at which filters run; later ones know all that earlier ones knew.
enum class Phase : uint8_t { connect, helo, mail, rcpt, data, message };
std::string_view phase_name(Phase phase);

// Needs says what the MTA must deliver and what must be computed for a rule or action to work.
enum Need : uint32_t {
  kNeedConnect = 1u << 0,
  kNeedHelo = 1u << 1,
  kNeedMail = 1u << 2,
  kNeedRcpt = 1u << 3,
  kNeedHeader = 1u << 4,
  kNeedBody = 1u << 5,       // the body's bytes
  kNeedStructure = 1u << 6,  // MIME structure; implies body and header
  kEditHeader = 1u << 7,
  kEditBody = 1u << 8,
  kEditRecipients = 1u << 9,
  kEditSender = 1u << 10,
  kEditQuarantine = 1u << 11,
};

// Compare says which operators a rule takes.
enum class Compare : uint8_t {
  none,            // a bare boolean or a function: valid, body-contains("x")
  regex,           // == / != a pattern
  equal,           // == / != a text, compared as the rule says (name, MIME type with wildcards, address range)
  number,          // == != < <= > >= a number, sizes with suffix
  date,            // the same against "MM/DD/YYYY hh:mm:ss"
  optional_regex,  // bare, or regex
  optional_number,
};

// Argument types of rules and actions, in order; an upper-case letter is required, a lower-case one optional.
//   S text · R regex · N number · H header name · A address · T text with action variables · Z size · M MIME type · C
//   comment (text with variables) · Q quarantine name · P percent-free host X text resource · K SMTP code · E enhanced
//   code
struct RuleRow {
  std::string_view name;
  std::string_view arguments;  // letters as above; '+' after the last one: repeated
  Compare compare;
  Phase phase;  // earliest phase at which it is known
  uint32_t needs;
  uint32_t cost;             // relative CPU cost of one evaluation
  std::string_view doc;      // one sentence
  std::string_view example;  // a whole condition that a test loads
};

struct ActionRow {
  std::string_view name;
  std::string_view arguments;       // positional letters; the first one is what `name: value` sets
  std::string_view argument_names;  // comma separated, same order, for the `name: {…}` form
  bool final_action;                // ends filter processing
  Phase phase;                      // earliest phase at which it may run
  uint32_t needs;
  std::string_view doc;
  std::string_view example;  // a YAML list item that a test loads
};

std::span<const RuleRow> rule_table();
std::span<const ActionRow> action_table();
const RuleRow* find_rule(std::string_view name);
const ActionRow* find_action(std::string_view name);

// The action variables ($Subject …): name without '$', and one sentence.
struct VariableRow {
  std::string_view name;
  uint32_t needs;
  std::string_view doc;
};
std::span<const VariableRow> variable_table();

}  // namespace postern::rules

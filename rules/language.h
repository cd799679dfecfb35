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
  kNeedScan = 1u << 12,  // content scanning
  kNeedText = 1u << 13,  // the text that scanning finds
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
//   S text · R regex · N number · H header name · A address · T one line of text with action variables · Z size ·
//   M MIME type, "*" allowed for the part after '/' · C comment, lines of text with action variables, left in place of
//   what was dropped · X lines of text with action variables · Q quarantine name · P host name or IP address without
//   port · K SMTP code · E enhanced code · G replacement text of a regex ($1, ${name}) ·
//   I identity of smtp-auth-id-matches ("*Any") · Y one separator character · W regex over text, or a smart identifier
//   ("*credit") · B regex over bytes · J name of a dictionary · V mail addresses and action variables, separated by
//   commas · F one address with its name, for a From field, with action variables · U an envelope sender or a variable,
//   empty for the null sender · D name of an archive · O name of a text · L file type or group of types
// and, for compared values only: R S N Z M as above · D date · L listener or interface name · O IP pattern ·
//   f file type or group of types · g group of a directory · q query of a directory that has logins ·
//   v verdict of anti-virus engines · s score with decimals
struct RuleRow {
  std::string_view name;
  std::string_view arguments;  // letters as above; '+' after the last one: repeated
  Compare compare;
  char value;   // letter of the compared value, '-' where none is compared
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
// find_rule and find_action take the name in any case, '_' for '-'. nullptr: there is none.
const RuleRow* find_rule(std::string_view name);
const ActionRow* find_action(std::string_view name);

// The action variables ($Subject …): name without '$', and one sentence.
struct VariableRow {
  std::string_view name;
  uint32_t needs;
  std::string_view doc;
};
std::span<const VariableRow> variable_table();
// find_variable returns the index in variable_table() of `name` (without '$', any case), or -1.
int find_variable(std::string_view name);

// phase_of_needs is the earliest phase at which everything in `needs` is known.
Phase phase_of_needs(uint32_t needs);

// The relative CPU cost of evaluating one test once; operands of `and` and `or` run in rising order of their sums. Only
// the order matters: what is there already < envelope < header < MIME structure < decoded text < scanning < a
// directory < an external engine.
inline constexpr uint32_t kCostConstant = 1;         // a value at hand: true, date, random, a count
inline constexpr uint32_t kCostEnvelope = 4;         // comparison or pattern over an envelope or connection value
inline constexpr uint32_t kCostHeader = 20;          // decode the named fields and look
inline constexpr uint32_t kCostAddresses = 60;       // parse address lists
inline constexpr uint32_t kCostStructure = 1'000;    // parse the MIME structure
inline constexpr uint32_t kCostText = 20'000;        // decode text parts and search them
inline constexpr uint32_t kCostScan = 60'000;        // have attachments scanned
inline constexpr uint32_t kCostDirectory = 200'000;  // ask another machine
inline constexpr uint32_t kCostEngine = 2'000'000;   // have another program look at all of the message

}  // namespace postern::rules

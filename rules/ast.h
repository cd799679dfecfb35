// SPDX-License-Identifier: Apache-2.0
// The checked form of filters: conditions as a flat tree of nodes, actions with compiled arguments. Built by the
// loader, immutable afterwards, shared by all threads. No node points up; depth is bounded by kMaxDepth at load, so
// walking it may recurse.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/source.h"
#include "engine/match/dictionary.h"
#include "engine/match/regex.h"
#include "engine/scan/client/file_type.h"
#include "rules/language.h"

namespace postern::rules {

inline constexpr uint32_t kMaxDepth = 100;      // nested parentheses, `not`s and `if`s together
inline constexpr uint32_t kMaxNodes = 100'000;  // of one filter

// Unknown says why a test has no answer.
enum class Unknown : uint8_t { none, regex_limit, unscannable, directory, dns, engine };
inline constexpr size_t kUnknownReasons = 6;
std::string_view unknown_name(Unknown reason);

// Truth is Kleene's three values; an unknown one says why.
struct Truth {
  enum class Value : uint8_t { no, yes, unknown } value = Value::no;
  Unknown reason = Unknown::none;
  static Truth of(bool b) { return {b ? Value::yes : Value::no, Unknown::none}; }
  static Truth unknown(Unknown reason) { return {Value::unknown, reason}; }
  bool is_yes() const { return value == Value::yes; }
  bool is_no() const { return value == Value::no; }
  bool is_unknown() const { return value == Value::unknown; }
};

enum class Operator : uint8_t { none, eq, ne, lt, le, gt, ge };

// IpPattern is one remote-ip pattern: an address, a prefix ("10.0.0.0/8", "10.1."), or a range in the last part
// ("10.1.1.50-55"). Compiled at load into low and high bounds; IPv4 in the first four bytes, IPv4-mapped IPv6 as IPv4.
struct IpPattern {
  bool v6 = false;
  uint8_t low[16] = {};
  uint8_t high[16] = {};
};

inline constexpr uint32_t kNoMember = UINT32_MAX;
inline constexpr uint32_t kNoSmart = UINT32_MAX;

// Test is one rule with its arguments, ready to run. Where the letters of the row's arguments and compared value go:
// R and B `regex`; W `regex` or `smart`; J `dictionary`; an N argument `threshold`; a compared N, Z or D `number`; O
// `ip` (one entry per pattern); s `number`, in thousandths; H, I, Y, M, S, L, v `texts`, in order (H, I and M in lower
// case), the compared value last.
// `!=` is `op == ne`: the evaluator negates the whole test. A test on header fields has the slot of its first field
// name in `header_slot` (subject: of "subject").
struct Test {
  const RuleRow* rule = nullptr;
  Operator op = Operator::none;
  config::Position position;
  std::vector<std::string> texts;     // text arguments and the value of an `equal` comparison (last)
  std::optional<match::Regex> regex;  // the value of a regex comparison or the pattern argument
  int64_t number = 0;                 // number compared with, size, date (seconds since 1970, local time at load)
  uint32_t threshold = 1;             // random: N; header-repeats, body-contains and its kin: how often
  uint32_t header_slot = 0;           // index into RuleSet::header_names for header rules
  uint32_t member = kNoMember;        // number of `regex` among the patterns of its header slot, or of the texts
  uint32_t smart = kNoSmart;          // index in match::smart_id_table()
  uint32_t dictionary = kNoMember;    // index in RuleSet::dictionaries()
  std::vector<IpPattern> ip;
  scan::TypeSet kinds;           // file types looked for
  uint32_t needs = 0;            // the row's, and what the arguments add
  Phase phase = Phase::connect;  // earliest phase at which this test has an answer
};

struct Node {
  enum class Kind : uint8_t { test, all_of, any_of, negation } kind = Kind::test;
  uint32_t test = 0;               // Kind::test: index into Condition::tests
  std::vector<uint32_t> children;  // indexes, cheapest first
  uint32_t cost = 0;
};

// Condition is one `if` expression; node 0 is the root.
struct Condition {
  std::string source_text;
  std::vector<Node> nodes;
  std::vector<Test> tests;
};

// Template is a text with action variables, split once at load.
struct Template {
  struct Piece {
    std::string text;  // literal text, or the variable's name / the header name
    enum class Kind : uint8_t { literal, variable, header } kind = Kind::literal;
    uint16_t variable = 0;  // index into variable_table()
  };
  std::vector<Piece> pieces;
  uint32_t needs = 0;
};

// Action is one action with its arguments. By argument letter: T, t, X, C, c are `templates`; R is `regex`; W `regex`
// or `smart`; J `dictionary`; N, Z, K `number` (K: 0 when not given); L `kinds`; all others `texts`, checked and
// trimmed, as written.
struct Action {
  const ActionRow* row = nullptr;
  config::Position position;
  std::vector<Template> templates;  // one per argument, in the row's order (empty where not given or no template)
  std::vector<std::string> texts;   // one per argument, in the row's order (also the source text of the others)
  std::vector<bool> given;          // one per argument
  std::optional<match::Regex> regex;
  int64_t number = 0;
  uint32_t member = kNoMember;  // number of the pattern among those of texts
  uint32_t smart = kNoSmart;
  uint32_t dictionary = kNoMember;
  scan::TypeSet kinds;
};

struct Statement;
// Branch is a nested if / then / else.
struct Branch {
  Condition condition;
  std::vector<Statement> then_part;
  std::vector<Statement> else_part;
};
// Statement is one entry of `then`: an action or a nested `if`.
struct Statement {
  std::optional<Action> action;
  std::unique_ptr<Branch> branch;
};

enum class OnUnknown : uint8_t { skip, tempfail, quarantine, match, by_action };
std::string_view on_unknown_name(OnUnknown value);

enum class Mode : uint8_t { enforce, observe };

struct Filter {
  std::string name;
  std::string file;  // as named in the configuration, for "where" and for flows that name a file
  config::Position position;
  uint32_t line = 0;
  Phase phase = Phase::message;
  std::vector<std::string> flows;  // empty: every flow
  bool enabled = true;
  Mode mode = Mode::enforce;
  std::optional<OnUnknown> on_unknown;  // unset: the daemon's setting per reason
  Branch body;                          // `if`, `then`, `else`
  bool strict = false;                  // `then` drops, bounces, rejects, encrypts or quarantines: what by-action asks
  uint32_t needs = 0;                   // of condition and actions; 0 when not enabled
};

}  // namespace postern::rules

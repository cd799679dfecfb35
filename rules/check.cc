// SPDX-License-Identifier: Apache-2.0
// Conditions: each test against its row of the rule table, then ordering by cost. Also what conditions and actions
// share: regexes, header names, plain texts.
#include "rules/check.h"

#include <algorithm>
#include <limits>

#include "engine/match/smart_id.h"
#include "engine/mime/header.h"
#include "rules/cost.h"
#include "rules/values.h"
#include "rules/verdict_words.h"

namespace postern::rules {
namespace {

// Rules of the reference product that this version does not have, and what they wait for: an answer that says so is
// better than "unknown".
struct LaterRow {
  std::string_view name;
  std::string_view what;
};
constexpr LaterRow kLaterRules[] = {
    {"spf-status", "SPF"},
    {"spf-passed", "SPF"},
    {"image-verdict", "image analysis"},
    {"dnslist", "DNS lists"},
    {"reputation", "sender reputation"},
    {"no-reputation", "sender reputation"},
    {"signed-certificate", "S/MIME"},
    {"smime-gateway-verified", "S/MIME"},
    {"url-reputation", "URL reputation"},
    {"url-no-reputation", "URL reputation"},
    {"url-category", "URL categories"},
};

constexpr std::string_view kIdentities[] = {"*EnvelopeFrom", "*FromAddress", "*Sender", "*Any", "*None"};

constexpr int64_t kMostRandom = 1'000'000'000;
constexpr int64_t kMostRepeats = 1'000'000;

size_t required(std::string_view letters) {
  return static_cast<size_t>(
      std::count_if(letters.begin(), letters.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
}

char upper(char letter) { return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter; }

bool row_begins_with(const RuleRow& row, char letter) { return row.arguments.starts_with(letter); }

bool is_negatable(Operator op) { return op == Operator::eq || op == Operator::ne; }

}  // namespace

Checker::Checker(const config::Sources& sources, config::Diagnostics& diagnostics, const LoadContext& context)
    : report_(sources, diagnostics), context_(context) {}

void Checker::error(const Spot& spot, std::string message, std::string hint) {
  report_.error_in(spot.node, spot.offset, spot.length, std::move(message), std::move(hint));
}

void Checker::fault(const Spot& spot, const ValueFault& fault) {
  if (!spot.in_condition) {
    report_.fault_in(spot.node, spot.offset, fault);
    return;
  }
  const size_t start = text_offset(spot.node.text, spot.offset, fault.offset);
  const size_t end = text_offset(spot.node.text, spot.offset, fault.offset + fault.length);
  report_.error_in(spot.node, start, std::max<size_t>(end - std::min(start, end), 1), fault.message, fault.hint);
}

Condition Checker::always(config::Position position) {
  Condition out;
  out.source_text = "true";
  Test test;
  test.rule = find_rule("true");
  test.position = position;
  out.tests.push_back(std::move(test));
  out.nodes.emplace_back();
  out.nodes[0].cost = kCostConstant;
  return out;
}

std::optional<Condition> Checker::condition(const config::Node& node, Phase phase, uint32_t depth) {
  if (node.kind != config::NodeKind::scalar) {
    report_.error(node, "'if' takes a condition written as text", "for example if: subject == \"^test\"");
    return std::nullopt;
  }
  SyntaxFault syntax_fault;
  const std::optional<Syntax> syntax =
      parse_condition(node.text, depth < kMaxDepth ? kMaxDepth - depth : 0, syntax_fault);
  if (!syntax) {
    report_.error_in(node, syntax_fault.offset, syntax_fault.length, std::move(syntax_fault.message),
                     std::move(syntax_fault.hint));
    return std::nullopt;
  }
  Condition out;
  out.source_text = node.text;
  out.nodes = syntax->nodes;
  bool good = true;
  for (const Term& term : syntax->terms) {
    std::optional<Test> checked = test(node, term, phase);
    good = good && checked.has_value();
    if (checked) out.tests.push_back(std::move(*checked));
  }
  if (!good) return std::nullopt;
  order_by_cost(out);
  return out;
}

bool Checker::known_rule(const Spot& spot, std::string_view word, const RuleRow*& row) {
  row = find_rule(word);
  if (row != nullptr) return true;
  std::string name = base::lower(word);
  std::replace(name.begin(), name.end(), '_', '-');
  for (const LaterRow& later : kLaterRules) {
    if (later.name == name) {
      error(spot, "rule " + quoted(word) + " needs " + std::string(later.what) + ", which this version does not have");
      return false;
    }
  }
  if (find_action(word) != nullptr) {
    error(spot, quoted(word) + " is an action, not a rule", "it belongs under 'then'");
    return false;
  }
  if (base::iequals(word, "false")) {
    error(spot, "unknown rule 'false'", "write 'not true', or enabled: false to switch the filter off");
    return false;
  }
  std::vector<std::string_view> names;
  for (const RuleRow& candidate : rule_table()) names.push_back(candidate.name);
  error(spot, "unknown rule " + quoted(word), did_you_mean(name, names));
  return false;
}

std::optional<Test> Checker::test(const config::Node& node, const Term& term, Phase phase) {
  const Spot word{node, term.word.offset, term.word.length};
  Test out;
  if (!known_rule(word, term.word.value, out.rule)) return std::nullopt;
  const RuleRow& row = *out.rule;
  out.op = term.op;
  out.position = report_.position(node, term.word.offset);
  out.needs = row.needs;
  out.phase = row.phase;
  if (row.name == "header-repeats") out.threshold = 2;
  const bool virus = row.name == "virus-verdict";
  if ((virus && !context_.virus_engines) || (row.name == "spam-score" && !context_.spam_engines)) {
    error(word, std::string("no flow has an ") + (virus ? "anti-virus" : "anti-spam") + " engine",
          "name it in postern.yaml under 'engines', and in a flow's 'inspect'");
    return std::nullopt;
  }
  bool good = check_arguments(node, term, out);
  if (!check_operator(node, term, row)) {
    good = false;
  } else if (term.op != Operator::none) {
    const Spot value{node, term.value.offset, term.value.length, true};
    good = check_value(value, row.value, term.value, true, out) && good;
  }
  out.phase = std::max(out.phase, phase_of_needs(out.needs));
  check_phase(word, row.name, out.phase, phase);
  if (row.name.starts_with("subject")) out.header_slot = header_slot("subject");
  if (!good || out.phase > phase) return std::nullopt;
  return out;
}

void Checker::check_phase(const Spot& spot, std::string_view word, Phase known, Phase phase) {
  if (known <= phase) return;
  error(spot,
        quoted(word) + " is known only from phase " + std::string(phase_name(known)) +
            " on, and this filter runs at phase " + std::string(phase_name(phase)),
        "write phase: " + std::string(phase_name(known)) +
            (known == Phase::message ? ", or leave 'phase' out" : " or a later one"));
}

bool Checker::check_arguments(const config::Node& node, const Term& term, Test& out) {
  const RuleRow& row = *out.rule;
  const bool repeated = row.arguments.ends_with('+');
  const std::string_view letters = row.arguments.substr(0, row.arguments.size() - (repeated ? 1 : 0));
  const size_t given = term.arguments.size();
  const std::string example = "for example: " + std::string(row.example);
  if (given < required(letters)) {
    if (term.close_offset == 0) {
      error({node, term.word.offset, term.word.length}, quoted(row.name) + " needs an argument in parentheses",
            example);
    } else {
      error({node, term.close_offset, 1}, quoted(row.name) + " needs another argument", example);
    }
    return false;
  }
  if (given > letters.size() && !repeated) {
    const Literal& extra = term.arguments[letters.size()];
    error({node, extra.offset, extra.length},
          letters.empty() ? quoted(row.name) + " takes no arguments" : quoted(row.name) + " takes no further argument",
          example);
    return false;
  }
  bool good = true;
  for (size_t i = 0; i < given; ++i) {
    const Literal& literal = term.arguments[i];
    const char letter = upper(letters[std::min(i, letters.size() - 1)]);
    good = check_value({node, literal.offset, literal.length, true}, letter, literal, false, out) && good;
  }
  return good;
}

bool Checker::check_operator(const config::Node& node, const Term& term, const RuleRow& row) {
  const std::string name = quoted(row.name);
  if (term.op == Operator::none) {
    const bool bare = row.compare == Compare::none || row.compare == Compare::optional_regex ||
                      row.compare == Compare::optional_number;
    if (!bare) {
      error({node, term.word.offset, term.word.length}, name + " must be compared with something",
            "for example: " + std::string(row.example));
    }
    return bare;
  }
  const Spot spot{node, term.op_offset, term.op_length};
  switch (row.compare) {
    case Compare::none:
      error(spot, name + " is not compared with anything", "for example: " + std::string(row.example));
      return false;
    case Compare::regex:
    case Compare::equal:
    case Compare::optional_regex:
      if (is_negatable(term.op)) return true;
      error(spot, name + " takes only '==' and '!='");
      return false;
    case Compare::number:
    case Compare::date:
    case Compare::optional_number:
      return true;
  }
  return false;
}

bool Checker::check_value(const Spot& spot, char letter, const Literal& literal, bool compared, Test& out) {
  const bool number = letter == 'N' || letter == 'Z' || letter == 's';
  if (literal.kind == TokenKind::word) {
    error(spot, number ? "expected a number" : "expected a text in quotes",
          number ? "" : "write \"" + base::escape_for_log(literal.value, 80) + "\"");
    return false;
  }
  if (number != (literal.kind == TokenKind::number)) {
    error(spot, number ? "expected a number, not a text" : "expected a text in quotes, not a number",
          number ? "write it without quotes" : "write \"" + base::escape_for_log(literal.value, 80) + "\"");
    return false;
  }
  ValueFault wrong;
  const auto failed = [&] {
    if (spot.in_condition && number) {
      report_.error_in(spot.node, spot.offset, spot.length, wrong.message, wrong.hint);
    } else {
      fault(spot, wrong);
    }
    return false;
  };
  if (number) {
    const std::optional<int64_t> value =
        letter == 's'   ? read_score(literal.value, wrong)
        : letter == 'Z' ? read_size(literal.value, wrong)
                        : read_count(literal.value, compared ? 0 : 1,
                                     compared ? std::numeric_limits<int64_t>::max()
                                              : (out.rule->name == "random" ? kMostRandom : kMostRepeats),
                                     wrong);
    if (!value) return failed();
    if (compared) {
      out.number = *value;
    } else {
      out.threshold = static_cast<uint32_t>(*value);
    }
    return true;
  }
  if (letter == 'R' || letter == 'B') {
    out.regex = regex(spot, literal.value, letter == 'B' ? match::Reads::bytes : match::Reads::text);
    return out.regex.has_value();
  }
  if (letter == 'W') {
    if (!regex_or_smart(spot, literal.value, out.regex, out.smart)) return false;
    if (out.smart != kNoSmart) out.texts.emplace_back(trim_value(literal.value));
    return true;
  }
  if (!plain(spot, literal.value)) return false;
  size_t front = 0;
  const std::string value(trim_value(literal.value, &front));
  const auto moved = [&] {
    wrong.offset += front;
    return failed();
  };
  switch (letter) {
    case 'O': {
      std::optional<std::vector<IpPattern>> patterns = read_ip_patterns(value, wrong);
      if (!patterns) return moved();
      out.ip = std::move(*patterns);
      out.texts.push_back(value);
      return true;
    }
    case 'D': {
      const std::optional<int64_t> date = read_date(value, wrong);
      if (!date) return moved();
      out.number = *date;
      return true;
    }
    case 'M': {
      std::optional<std::string> type = read_mime_type(value, wrong);
      if (!type) return moved();
      out.texts.push_back(std::move(*type));
      return true;
    }
    case 'f':
      out.texts.push_back(value);
      return read_kind(value, out.kinds, wrong) ? true : moved();
    case 'H': {
      if (!header_name(spot, value)) return false;
      std::string name = base::lower(value);
      const uint32_t slot = header_slot(name);
      if (out.texts.empty() || row_begins_with(*out.rule, 'J')) out.header_slot = slot;
      out.texts.push_back(std::move(name));
      return true;
    }
    case 'J':
      out.texts.push_back(value);
      return dictionary({spot.node, spot.offset, spot.length}, value, out.dictionary);
    case 'g':
      if (!context_.groups) {
        error(spot, "there is no query for groups", "set group-query in postern.yaml");
        return false;
      }
      if (value.empty()) {
        error(spot, "expected the name of a group");
        return false;
      }
      out.texts.push_back(value);
      return true;
    case 'q':
      if (std::ranges::find(context_.login_queries, value) == context_.login_queries.end()) {
        const std::vector<std::string_view> known(context_.login_queries.begin(), context_.login_queries.end());
        const std::string_view near = base::nearest(value, known);
        error(spot, "there is no LDAP query '" + base::escape_for_log(value, 80) + "' with 'login'",
              near.empty() ? "PROFILE.QUERY, as under 'ldap' in postern.yaml"
                           : "did you mean '" + std::string(near) + "'?");
        return false;
      }
      out.texts.push_back(value);
      return true;
    case 'I':
      return check_identity(spot, value, out);
    case 'v':
      return check_verdict(spot, value, out);
    case 'Y':
      if (value.size() != 1 || value == "@") {
        error(spot, "expected one separator character", "usually \"+\"");
        return false;
      }
      [[fallthrough]];
    default:
      out.texts.push_back(value);
      return true;
  }
}

bool Checker::check_verdict(const Spot& spot, const std::string& value, Test& out) {
  std::vector<std::string_view> words{kSkipped};
  for (const inspect::VirusVerdict verdict : kVerdicts) words.push_back(inspect::virus_verdict_name(verdict));
  std::string word = base::lower(value);
  if (std::ranges::find(words, word) != words.end()) {
    out.texts.push_back(std::move(word));
    return true;
  }
  std::string hint = did_you_mean(word, words);
  if (hint.empty()) hint = "one of clean, encrypted, unscannable, infected, skipped";
  error(spot, quoted(value) + " is no verdict of an anti-virus engine", std::move(hint));
  return false;
}

bool Checker::check_identity(const Spot& spot, const std::string& value, Test& out) {
  for (const std::string_view identity : kIdentities) {
    if (!base::iequals(value, identity)) continue;
    out.texts.push_back(base::lower(identity));
    if (identity == "*FromAddress" || identity == "*Sender") out.needs |= kNeedHeader;
    return true;
  }
  std::string hint = did_you_mean(value, kIdentities);
  if (hint.empty()) hint = "one of *EnvelopeFrom, *FromAddress, *Sender, *Any, *None";
  error(spot, quoted(value) + " is nothing that an SMTP AUTH user is compared with", std::move(hint));
  return false;
}

uint32_t Checker::header_slot(const std::string& lower_name) {
  const auto [at, fresh] = slots_.try_emplace(lower_name, static_cast<uint32_t>(header_names_.size()));
  if (fresh) header_names_.push_back(lower_name);
  return at->second;
}

bool Checker::dictionary(const Spot& spot, std::string_view name, uint32_t& index) {
  const auto named = [&](const std::shared_ptr<const match::Dictionary>& each) { return each->name() == name; };
  auto at = std::ranges::find_if(dictionaries_, named);
  if (at == dictionaries_.end()) {
    const auto known = std::ranges::find_if(context_.dictionaries, named);
    if (known == context_.dictionaries.end()) {
      std::vector<std::string_view> names;
      for (const auto& each : context_.dictionaries) names.push_back(each->name());
      std::string hint = did_you_mean(name, names);
      if (hint.empty()) hint = "dictionaries are files named in postern.yaml under 'dictionaries'";
      error(spot, "there is no dictionary " + quoted(name), std::move(hint));
      return false;
    }
    at = dictionaries_.insert(dictionaries_.end(), *known);
  }
  index = static_cast<uint32_t>(at - dictionaries_.begin());
  return true;
}

// A keyword stands for the whole pattern: "*credit", not "*credit|*ssn".
bool Checker::regex_or_smart(const Spot& spot, std::string_view value, std::optional<match::Regex>& out,
                             uint32_t& smart) {
  const std::string_view word = trim_value(value);
  const bool keyword =
      word.size() > 1 && word[0] == '*' && base::ascii_lower(word[1]) >= 'a' && base::ascii_lower(word[1]) <= 'z';
  if (!keyword) {
    out = regex(spot, value);
    return out.has_value();
  }
  const std::string_view name = word.substr(1);
  const int index = match::find_smart_id(name);
  if (index >= 0) {
    smart = static_cast<uint32_t>(index);
    return true;
  }
  const size_t end = name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-");
  if (end != std::string_view::npos) {
    error(spot, "a smart identifier stands alone, without a pattern or another one beside it",
          "write two rules, joined by 'or'");
    return false;
  }
  std::vector<std::string_view> names;
  for (const match::SmartIdRow& row : match::smart_id_table()) names.push_back(row.name);
  const std::string_view near = base::nearest(base::lower(name), names);
  error(spot, "there is no smart identifier " + quoted(word),
        near.empty() ? "postern-rules(5) lists them" : "did you mean '*" + std::string(near) + "'?");
  return false;
}

std::optional<match::Regex> Checker::regex(const Spot& spot, std::string_view pattern, match::Reads reads) {
  size_t front = 0;
  const std::string_view trimmed = trim_value(pattern, &front);
  if (trimmed.empty()) {
    error(spot, "the pattern is empty and would match everything", "\"^$\" matches an empty value");
    return std::nullopt;
  }
  if (front > 0) {
    fault(spot, {0, front, "the pattern begins with white space", "write [ ] for a blank that is meant"});
    return std::nullopt;
  }
  // A blank behind a backslash is meant: "\ " keeps it.
  const size_t tail = trimmed.size();
  const size_t last = trimmed.find_last_not_of('\\');
  const size_t slashes = last == std::string_view::npos ? tail : tail - last - 1;
  const bool escaped = slashes % 2 == 1 && pattern.size() == tail + 1;
  if (tail < pattern.size() && !escaped) {
    fault(spot,
          {tail, pattern.size() - tail, "the pattern ends in white space", "write [ ] for a blank that is meant"});
    return std::nullopt;
  }
  if (const size_t at = find_control(pattern, true); at != std::string_view::npos) {
    fault(spot, {at, 1, "the pattern holds a control character", "write it as \\x and two hexadecimal digits"});
    return std::nullopt;
  }
  size_t offset = 0;
  base::Result<match::Regex> compiled = match::Regex::compile(pattern, &offset, reads);
  if (compiled) return std::move(*compiled);
  const bool smart = pattern.size() > 1 && pattern[0] == '*' && pattern[1] >= 'a' && pattern[1] <= 'z';
  fault(spot, {std::min(offset, pattern.size() - 1), 1, compiled.error().text(),
               smart ? "smart identifiers are for the rules on content" : ""});
  return std::nullopt;
}

bool Checker::header_name(const Spot& spot, std::string_view name) {
  if (mime::is_field_name(name)) return true;
  const bool colon = name.ends_with(':') && mime::is_field_name(name.substr(0, name.size() - 1));
  error(spot, quoted(name) + " is no header field name", colon ? "write it without the colon" : "");
  return false;
}

bool Checker::plain(const Spot& spot, std::string_view value) {
  if (trim_value(value).empty()) {
    error(spot, "the value is empty");
    return false;
  }
  if (const size_t at = find_control(trim_value(value), false); at != std::string_view::npos) {
    error(spot, "the value holds a control character or a line end");
    return false;
  }
  return true;
}

}  // namespace postern::rules

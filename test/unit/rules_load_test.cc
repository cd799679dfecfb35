// SPDX-License-Identifier: Apache-2.0
// Loading of rule files: conditions in dump notation, actions, what the rule set needs, limits, and every example of
// the language's tables.
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <set>
#include <sstream>

#include "engine/base/text.h"
#include "rules/dump.h"
#include "rules/ruleset.h"
#include "rules/schema.h"

namespace postern::rules {
namespace {

LoadContext context() {
  LoadContext out;
  out.groups = true;
  out.login_queries = {"corporate.logins"};
  out.virus_engines = true;
  out.spam_engines = true;
  out.flows = {"inbound", "outbound"};
  out.quarantines = {"Policy", "Unscannable"};
  out.reinject = true;
  out.store = true;
  out.archives = {"project-mail"};
  for (const char* name : {"project-names", "competitors"}) {
    out.dictionaries.push_back(std::make_shared<const match::Dictionary>(name, std::vector<match::DictionaryEntry>()));
  }
  out.store = true;
  return out;
}

struct Loaded {
  std::shared_ptr<const RuleSet> rules;
  std::string diagnostics;
};

Loaded load(std::vector<std::string> files, const LoadContext& context) {
  config::Sources sources;
  std::vector<uint32_t> ids;
  for (std::string& file : files) ids.push_back(sources.add_text("r" + std::to_string(ids.size()), std::move(file)));
  config::Diagnostics diagnostics(sources);
  Loaded out;
  out.rules = RuleSet::load(sources, ids, context, diagnostics);
  out.diagnostics = diagnostics.render();
  EXPECT_EQ(out.rules == nullptr, !diagnostics.ok());
  return out;
}

Loaded load(std::string file) { return load(std::vector{std::move(file)}, context()); }

// A file with one filter whose condition is `condition`, as a block so that nothing needs YAML quoting.
std::string with_condition(std::string_view condition) {
  std::string out = "filters:\n  - name: f\n    if: |-\n      ";
  for (const char c : condition) {
    out += c;
    if (c == '\n') out += "      ";
  }
  return out + "\n    then: [no-op]\n";
}

std::string dumped(std::string_view condition) {
  const Loaded loaded = load(with_condition(condition));
  return loaded.rules ? dump(loaded.rules->filters()[0].body.condition) : loaded.diagnostics;
}

// The message of the only diagnostic, with its column on the condition's line: "col: message [hint]".
std::string refused(std::string_view condition) {
  config::Sources sources;
  const uint32_t id = sources.add_text("r", with_condition(condition));
  config::Diagnostics diagnostics(sources);
  EXPECT_EQ(RuleSet::load(sources, {id}, context(), diagnostics), nullptr) << condition;
  std::string out;
  for (const config::Diagnostic& one : diagnostics.all()) {
    if (!out.empty()) out += "; ";
    out += std::to_string(one.position.column - 6) + "+" + std::to_string(one.length) + ": " + one.message;
    if (!one.hint.empty()) out += " [" + one.hint + "]";
  }
  return out;
}

std::string dumped_filter(std::string_view rest) {
  std::string file = "filters:\n  - name: f\n";
  std::istringstream lines{std::string(rest)};
  for (std::string line; std::getline(lines, line);) file += "    " + line + "\n";
  const Loaded loaded = load(file);
  return loaded.rules ? dump(loaded.rules->filters()[0]) : loaded.diagnostics;
}

TEST(Conditions, Table) {
  setenv("TZ", "UTC", 1);
  tzset();
  struct Row {
    std::string_view text;
    std::string_view expected;
  };
  const Row rows[] = {
      {"true", "(true)"},
      {"valid", "(valid)"},
      {"Valid", "(valid)"},
      {"valid()", "(valid)"},
      {"not valid", "(not (valid))"},
      {"NOT Not valid", "(valid)"},
      {R"(subject == "x")", R"((subject =~ "x"))"},
      {R"(subject != 'x"y')", R"((subject !~ "x\"y"))"},
      {R"(header("X-Seen"))", R"((header "x-seen"))"},
      {R"(header('To') != ".")", R"((header "to" !~ "."))"},
      {R"(body-size >= 20M)", "(body-size >= 20971520)"},
      {R"(body-size < 10b)", "(body-size < 10)"},
      {R"(rcpt-count != 3)", "(rcpt-count != 3)"},
      {R"(addr-count("To", "Cc") > 25)", R"((addr-count "to" "cc" > 25))"},
      {"random(10) < 3", "(random 10 < 3)"},
      {"random(2)", "(random 2)"},
      {R"(date > "03/01/2024 12:00:01")", "(date > 1709294401)"},
      {R"(remote-ip == "10.1.")", R"((remote-ip == "10.1."))"},
      {R"(recv-listener != " mx ")", R"((recv-listener != "mx"))"},
      {R"(attachment-type == "Video/*")", R"((attachment-type == "video/*"))"},
      {R"(header-repeats("From"))", R"((header-repeats "from" 2))"},
      {R"(header-repeats("From", 5))", R"((header-repeats "from" 5))"},
      {R"(body-contains("a b"))", R"((body-contains "a b" 1))"},
      {R"(only_body_contains("a", 3))", R"((only-body-contains "a" 3))"},
      {"duplicate_boundaries", "(duplicate-boundaries)"},
      {R"(smtp-auth-id-matches("*fromaddress", "+"))", R"((smtp-auth-id-matches "*fromaddress" "+"))"},
      {"signed and encrypted", "(and (signed) (encrypted))"},
      {"valid or\n  signed", "(or (valid) (signed))"},
      // not binds tighter than and, and tighter than or
      {"signed or valid and encrypted", "(or (signed) (and (valid) (encrypted)))"},
      {"not signed and valid", "(and (not (signed)) (valid))"},
      {"(signed or valid) and encrypted", "(and (encrypted) (or (signed) (valid)))"},
      {"not (signed or valid)", "(not (or (signed) (valid)))"},
      {"not (signed and valid) or encrypted", "(or (encrypted) (not (and (signed) (valid))))"},
      // nested nodes of one kind become one
      {"signed and (valid and (encrypted))", "(and (signed) (valid) (encrypted))"},
      {"(signed or valid) or (encrypted or malformed-header)", "(or (signed) (valid) (encrypted) (malformed-header))"},
      // cheapest first, equal ones in the order written
      {R"(body-contains("x") and valid and subject == "s" and rcpt-count > 1 and true)",
       R"((and (rcpt-count > 1) (true) (subject =~ "s") (valid) (body-contains "x" 1)))"},
      {R"((body-contains("x") or true) and signed)", R"((and (signed) (or (true) (body-contains "x" 1))))"},
      {R"(header("B") and header("A"))", R"((and (header "b") (header "a")))"},
      {R"(subject == "\[x\]\"\\")", R"((subject =~ "\[x\]\"\\"))"},
      {R"(subject == "x\ ")", R"((subject =~ "x\ "))"},
  };
  for (const Row& row : rows) EXPECT_EQ(dumped(row.text), row.expected) << row.text;
}

TEST(Conditions, NestedSums) {
  const Loaded loaded = load(with_condition(R"(subject == "a" and (valid or true))"));
  ASSERT_NE(loaded.rules, nullptr);
  const Condition& condition = loaded.rules->filters()[0].body.condition;
  EXPECT_EQ(condition.nodes[0].cost, kCostHeader + kCostStructure + kCostConstant);
  for (size_t i = 0; i < condition.nodes.size(); ++i) {
    for (const uint32_t child : condition.nodes[i].children) EXPECT_GT(child, i);
  }
}

TEST(Conditions, Faults) {
  struct Row {
    std::string_view text;
    std::string_view expected;
  };
  const Row rows[] = {
      {"subjct == 'x'", "1+6: unknown rule 'subjct' [did you mean 'subject'?]"},
      {"valid and vlaid", "11+5: unknown rule 'vlaid' [did you mean 'valid'?]"},
      {"zzz", "1+3: unknown rule 'zzz'"},
      {"false", "1+5: unknown rule 'false' [write 'not true', or enabled: false to switch the filter off]"},
      {"drop", "1+4: 'drop' is an action, not a rule [it belongs under 'then']"},
      {"spf-passed", "1+10: rule 'spf-passed' needs SPF, which this version does not have"},
      {"zz and yy", "1+2: unknown rule 'zz'; 8+2: unknown rule 'yy'"},
      {"subject", "1+7: 'subject' must be compared with something [for example: subject == \"(?i)^\\[tender\\]\"]"},
      {"subject > 'x'", "9+1: 'subject' takes only '==' and '!='"},
      {"valid == 'x'", "7+2: 'valid' is not compared with anything [for example: not valid]"},
      {"valid(1)", "7+1: 'valid' takes no arguments [for example: not valid]"},
      {"subject == 5", "12+1: expected a text in quotes, not a number [write \"5\"]"},
      {"subject == test", "12+4: expected a text in quotes [write \"test\"]"},
      {"body-size > '10M'", "13+5: expected a number, not a text [write it without quotes]"},
      {"body-size > 10X", "13+3: '10X' is no size [write a number with an optional b, k, M or G: 500k, 20M]"},
      {"rcpt-count > 10k", "14+3: '10k' is no whole number [a count takes no unit]"},
      {"random(0)", "8+1: the number must be between 1 and 1000000000"},
      {"header == 'x'",
       "1+6: 'header' needs an argument in parentheses [for example: header(\"X-Mailer\") == "
       "\"(?i)bulk\"]"},
      {"header() == 'x'", "8+1: 'header' needs another argument [for example: header(\"X-Mailer\") == \"(?i)bulk\"]"},
      {"header('a', 'b')",
       "13+3: 'header' takes no further argument [for example: header(\"X-Mailer\") == \"(?i)bulk\"]"},
      {"header('X Y')", "8+5: 'X Y' is no header field name"},
      {"header('From:')", "8+7: 'From:' is no header field name [write it without the colon]"},
      {"subject == ''", "12+2: the pattern is empty and would match everything [\"^$\" matches an empty value]"},
      {"subject == ' x'", "13+1: the pattern begins with white space [write [ ] for a blank that is meant]"},
      {"subject == 'x '", "14+1: the pattern ends in white space [write [ ] for a blank that is meant]"},
      {"subject == 'x\\\\ '", "16+1: the pattern ends in white space [write [ ] for a blank that is meant]"},
      {"recv-int == ' '", "13+3: the value is empty"},
      {"remote-ip == '10.1'", "15+4: '10.1' is no address pattern [a prefix ends in a dot: \"10.1.\"]"},
      {"remote-ip == '10.1.2.3, 999.1.1.1'",
       "25+9: '999.1.1.1' is no address pattern [write an address, \"10.0.0.0/8\", \"10.1.\", \"10.1.1.50-55\" or "
       "IPv6]"},
      {"date > '2024-01-01'", "9+10: '2024-01-01' is no date [write \"MM/DD/YYYY hh:mm:ss\"]"},
      {"attachment-mimetype == 'video'", "25+5: 'video' is no MIME type [write type/subtype, for example \"video/*\"]"},
      {"smtp-auth-id-matches('*From')",
       "22+7: '*From' is nothing that an SMTP AUTH user is compared with [one of *EnvelopeFrom, *FromAddress, "
       "*Sender, *Any, *None]"},
      {"smtp-auth-id-matches('*any', '++')", "30+4: expected one separator character [usually \"+\"]"},
      {"valid valid", "7+5: expected 'and', 'or' or the end of the condition before 'valid'"},
      {"subject contains 'x'", "9+8: there is no operator 'contains' [write '==' or '!=']"},
      {"subject 'x'", "9+3: expected an operator before this value [for example ==]"},
      {"(valid", "1+1: this '(' is not closed"},
      {"valid)", "6+1: this ')' closes nothing"},
      {"header('x'", "7+1: this '(' is not closed"},
      {"header('x',)", "12+1: expected a value after ','"},
      {"header('x' 'y')", "12+3: expected ',' or ')' after this argument"},
      {"valid and", "10+1: the condition ends where a rule is expected"},
      {"and valid", "1+3: expected a rule before 'and'"},
      {"valid and or signed", "11+2: expected a rule before 'or'"},
      {"subject == and", "12+3: expected a value before 'and'"},
      {"subject ==", "11+1: expected a value: a text in quotes or a number"},
      {"== 'x'", "1+2: expected a rule, 'not' or '('"},
      {"subject = 'x'", "9+1: there is no operator '=' [write '==']"},
      {"valid && signed", "7+2: there is no operator '&' [write 'and']"},
      {"subject == \u201Cx\u201D",
       "12+3: this is a typographic quote, which means nothing here [write a plain \" or ']"},
      {"subject == 'x", "12+1: this string has no closing quote [inside the string a quote is written \\']"},
  };
  for (const Row& row : rows) EXPECT_EQ(refused(row.text), row.expected) << row.text;
}

TEST(Conditions, ARegexFaultPointsIntoThePattern) {
  EXPECT_TRUE(refused(R"(subject == "a(b")").starts_with("1")) << refused(R"(subject == "a(b")");
  const std::string fault = refused(R"(subject == "\"ab[z-a]")");
  EXPECT_TRUE(fault.starts_with("19+1: ") || fault.starts_with("20+1: ") || fault.starts_with("18+1: ")) << fault;
  EXPECT_NE(refused(R"(subject == "*ssn")").find("smart identifiers are for the rules on content"), std::string::npos);
}

TEST(Conditions, SmartIdentifiersAndDictionaries) {
  EXPECT_EQ(refused(R"(body-contains("*ssns"))"), "15+7: there is no smart identifier '*ssns' [did you mean '*ssn'?]");
  EXPECT_EQ(
      refused(R"(only-body-contains("*credit|*ssn"))"),
      "20+14: a smart identifier stands alone, without a pattern or another one beside it [write two rules, joined "
      "by 'or']");
  EXPECT_EQ(refused(R"(dictionary-match("project-name"))"),
            "18+14: there is no dictionary 'project-name' [did you mean 'project-names'?]");
  EXPECT_NE(refused(R"(subject-dictionary-match("project-names", 3))").find("takes no further argument"),
            std::string::npos);
  EXPECT_NE(refused(R"e(attachment-binary-contains("ÿ("))e").find("missing closing parenthesis"), std::string::npos);
}

TEST(Conditions, PositionsReachIntoFoldedText) {
  config::Sources sources;
  const uint32_t id = sources.add_text("r",
                                       "filters:\n"
                                       "  - name: f\n"
                                       "    if: >-\n"
                                       "      valid and\n"
                                       "      signed and\n"
                                       "      nonsense\n"
                                       "    then: [drop]\n");
  config::Diagnostics diagnostics(sources);
  EXPECT_EQ(RuleSet::load(sources, {id}, context(), diagnostics), nullptr);
  ASSERT_EQ(diagnostics.all().size(), 1u);
  EXPECT_EQ(diagnostics.all()[0].position.line, 6u);
  EXPECT_EQ(diagnostics.all()[0].position.column, 7u);
  EXPECT_EQ(diagnostics.all()[0].length, 8u);
}

TEST(Conditions, DepthAndSizeAreBounded) {
  const auto parentheses = [](size_t depth) { return std::string(depth, '(') + "valid" + std::string(depth, ')'); };
  EXPECT_EQ(dumped(parentheses(100)), "(valid)");
  EXPECT_NE(dumped(parentheses(101)).find("nested deeper than 100 levels"), std::string::npos);
  EXPECT_NE(dumped(parentheses(1000)).find("nested deeper than 100 levels"), std::string::npos);
  EXPECT_NE(dumped(parentheses(200'000)).find("error: "), std::string::npos);  // or refused by YAML already
  std::string nots;
  for (int i = 0; i < 101; ++i) nots += "not ";
  EXPECT_NE(dumped(nots + "valid").find("nested deeper than 100 levels"), std::string::npos);
  std::string wide = "valid";
  for (int i = 0; i < 5000; ++i) wide += " or valid";
  EXPECT_EQ(load(with_condition(wide)).diagnostics, "");
  for (int i = 0; i < 100'000; ++i) wide += " or valid";
  EXPECT_NE(dumped(wide).find("error: "), std::string::npos) << dumped(wide).size();
}

TEST(Actions, Table) {
  struct Row {
    std::string_view yaml;
    std::string_view expected;
  };
  const Row rows[] = {
      {"then: [drop]", "(filter f (if (true) (then (drop))))"},
      {"if: true\nthen: [drop]", "(filter f (if (true) (then (drop))))"},
      {"if: valid\nthen: []\nelse: [bounce]", "(filter f (if (valid) (then) (else (bounce))))"},
      {"then:\n- skip_filters", "(filter f (if (true) (then (skip-filters))))"},
      {"then:\n- drop:", "(filter f (if (true) (then (drop))))"},
      {"then:\n- drop: {}", "(filter f (if (true) (then (drop))))"},
      {"then: [{reject: 'No, $MID'}]", "(filter f (if (true) (then (reject \"No, {MID}\"))))"},
      {"then: [{reject: {enhanced: 5.7.26, code: 550}}]", "(filter f (if (true) (then (reject \"550\" \"5.7.26\"))))"},
      {"then: [{insert-header: {value: ' $Header[''To''] ', name: ' X-A '}}]",
       "(filter f (if (true) (then (insert-header \"X-A\" \"{Header To}\"))))"},
      {"then:\n- add-footer: |\n    one\n    two $$5\n\n",
       "(filter f (if (true) (then (add-footer \"one\ntwo $5\"))))"},
      {"then: [{edit-header-text: {name: Subject, pattern: '^(a)', replacement: ' $1 '}}]",
       "(filter f (if (true) (then (edit-header-text \"Subject\" \"^(a)\" \" $1 \"))))"},
      {"then: [{edit-header-text: {name: Subject, pattern: x, replacement: ''}}]",
       "(filter f (if (true) (then (edit-header-text \"Subject\" \"x\" \"\"))))"},
      {"then: [{drop-attachments-by-size: {size: 1M, comment: ''}}]",
       "(filter f (if (true) (then (drop-attachments-by-size \"1M\" \"\"))))"},
      {"then:\n- if: signed\n  then: [{quarantine: Policy}]\n  else:\n  - if: valid\n    then: [no-op]\n- drop",
       "(filter f (if (true) (then (if (signed) (then (quarantine \"Policy\")) (else (if (valid) (then (no-op))))) "
       "(drop))))"},
  };
  for (const Row& row : rows) EXPECT_EQ(dumped_filter(row.yaml), row.expected) << row.yaml;
}

TEST(Actions, EveryTextParameterIsTrimmedOrRefused) {
  // Each action with one text argument, with white space of every kind round it, and empty.
  struct Row {
    std::string_view action;
    std::string_view value;
  };
  const Row rows[] = {{"strip-header", "X-A"},
                      {"add-footer", "text"},
                      {"add-heading", "text"},
                      {"alt-rcpt-to", "a@b.example"},
                      {"add-rcpt-to", "a@b.example"},
                      {"notify", "a@b.example"},
                      {"notify-copy", "a@b.example"},
                      {"bcc", "a@b.example"},
                      {"bcc-scan", "a@b.example"},
                      {"archive", "project-mail"},
                      {"drop-attachments-by-mimetype", "a/b"},
                      {"drop-attachments-by-type", "a/b"},
                      {"drop-attachments-by-size", "5k"},
                      {"tag-message", "t"},
                      {"log-entry", "text"},
                      {"quarantine", "Policy"},
                      {"duplicate-quarantine", "Policy"},
                      {"keep-original", "Policy"},
                      {"alt-mailhost", "relay.example"},
                      {"alt-src-host", "192.0.2.1"},
                      {"reject", "text"},
                      {"defer", "text"}};
  for (const Row& row : rows) {
    for (const std::string_view blank : {" ", "\\t", "\\u00A0", "\\r", "\\n", "  \\t"}) {
      const std::string name(row.action);
      const std::string text = std::string(blank) + std::string(row.value) + std::string(blank);
      EXPECT_EQ(dumped_filter("then: [{" + name + ": \"" + text + "\"}]"),
                "(filter f (if (true) (then (" + name + " \"" + std::string(row.value) + "\"))))")
          << text;
      EXPECT_NE(dumped_filter("then: [{" + name + ": \"" + std::string(blank) + "\"}]").find("is empty"),
                std::string::npos)
          << name;
    }
    EXPECT_NE(dumped_filter("then: [{" + std::string(row.action) + ": \"\"}]").find("is empty"), std::string::npos)
        << row.action;
    EXPECT_NE(dumped_filter("then: [{" + std::string(row.action) + ": \"a\\0b\"}]").find("error"), std::string::npos)
        << row.action;
  }
}

TEST(Actions, ReplacementsAreTriedOut) {
  const auto with = [](std::string_view replacement) {
    return dumped_filter("then: [{edit-header-text: {name: Subject, pattern: '^(?<x>a)(b)?', replacement: '" +
                         std::string(replacement) + "'}}]");
  };
  EXPECT_EQ(with("$1$2").find("error"), std::string::npos);
  EXPECT_EQ(with("${x} $$5").find("error"), std::string::npos);
  EXPECT_NE(with("$3").find("the replacement cannot be used"), std::string::npos) << with("$3");
  EXPECT_NE(with("${y}").find("the replacement cannot be used"), std::string::npos);
}

TEST(Tables, EveryExampleLoads) {
  for (const RuleRow& row : rule_table()) {
    const std::string result = dumped(row.example);
    EXPECT_TRUE(result.starts_with("(")) << result;
    EXPECT_NE(result.find(row.name), std::string::npos) << row.name;
    EXPECT_FALSE(row.doc.empty());
    EXPECT_GT(row.cost, 0u);
    EXPECT_EQ(row.value == '-', row.compare == Compare::none) << row.name;
    EXPECT_GE(row.phase, phase_of_needs(row.needs)) << row.name;
  }
  for (const ActionRow& row : action_table()) {
    const std::string result = dumped_filter("then:\n- " + std::string(row.example));
    EXPECT_TRUE(result.starts_with("(filter f (if (true) (then (" + std::string(row.name))) << result;
    const size_t names = row.argument_names.empty() ? 0 : base::split(row.argument_names, ',').size();
    EXPECT_EQ(names, row.arguments.size()) << row.name;
    EXPECT_FALSE(row.doc.empty());
  }
  for (const VariableRow& row : variable_table()) {
    const std::string text = "$" + std::string(row.name) + (row.name == "Header" ? "['X']" : "");
    const std::string result = dumped_filter("then: [{log-entry: \"" + text + "\"}]");
    EXPECT_NE(result.find("{" + std::string(row.name)), std::string::npos) << result;
  }
}

TEST(Tables, NamesAreFoundAndUnique) {
  std::set<std::string_view> names;
  for (const RuleRow& row : rule_table()) {
    EXPECT_EQ(find_rule(row.name), &row);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(find_action(row.name), nullptr);
  }
  for (const ActionRow& row : action_table()) {
    EXPECT_EQ(find_action(row.name), &row);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
  }
  for (const VariableRow& row : variable_table()) {
    EXPECT_EQ(find_variable(base::lower(row.name)), &row - variable_table().data());
  }
  EXPECT_EQ(find_rule(""), nullptr);
  EXPECT_EQ(find_rule("SUBJECT"), find_rule("subject"));
  EXPECT_EQ(find_action("skip_filters"), find_action("skip-filters"));
  EXPECT_EQ(find_variable("nothing"), -1);
}

uint32_t needs_of(std::string_view rest) {
  std::string file = "filters:\n  - name: f\n";
  std::istringstream lines{std::string(rest)};
  for (std::string line; std::getline(lines, line);) file += "    " + line + "\n";
  const Loaded loaded = load(file);
  EXPECT_EQ(loaded.diagnostics, "");
  if (!loaded.rules) return ~0u;
  EXPECT_EQ(loaded.rules->needs(), loaded.rules->filters()[0].needs);
  return loaded.rules->needs();
}

// The examples of the man page: fenced blocks, one level of backslashes undone.
std::vector<std::string> man_examples(std::string_view section) {
  std::ifstream file(std::string(POSTERN_SOURCE_DIR) + "/man/postern-rules.5.scd");
  std::vector<std::string> out;
  bool here = false;
  bool fenced = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# ")) here = line.substr(2) == section;
    if (!here) continue;
    const size_t start = line.find_first_not_of('\t');
    const std::string text = start == std::string::npos ? "" : line.substr(start);
    if (text == "```") {
      fenced = !fenced;
      if (fenced) out.emplace_back();
      continue;
    }
    if (!fenced) continue;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      out.back() += text[i];
    }
    out.back() += '\n';
  }
  return out;
}

TEST(ManPage, EveryExampleLoads) {
  std::set<std::string> seen;
  for (const std::string& example : man_examples("RULES")) {
    const std::string result = dumped(base::trim(example));
    EXPECT_TRUE(result.starts_with("(")) << result;
    for (const RuleRow& row : rule_table()) {
      if (result.find("(" + std::string(row.name)) != std::string::npos) seen.emplace(row.name);
    }
  }
  for (const std::string& example : man_examples("ACTIONS")) {
    const std::string result = dumped_filter("then:\n- " + example);
    EXPECT_TRUE(result.starts_with("(filter f (if (true) (then (")) << result;
    for (const ActionRow& row : action_table()) {
      if (result.find("(then (" + std::string(row.name)) != std::string::npos) seen.emplace(row.name);
    }
  }
  EXPECT_EQ(seen.size(), rule_table().size() + action_table().size());
  const std::vector<std::string> files = man_examples("DESCRIPTION");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(load(files[0]).diagnostics, "");
}

TEST(RuleSets, NeedsAreExact) {
  constexpr uint32_t kWhole = kNeedHeader | kNeedBody | kNeedStructure;
  EXPECT_EQ(needs_of("if: subject == \"x\"\nthen: [no-op]"), kNeedHeader);
  EXPECT_EQ(needs_of("if: body-size > 5M\nthen: [no-op]"), kNeedHeader | kNeedBody);
  EXPECT_EQ(needs_of("if: mail-from == \"x\"\nthen: [no-op]"), kNeedMail);
  EXPECT_EQ(needs_of("if: remote-ip == \"10.\"\nphase: connect\nthen: [bounce]"), kNeedConnect);
  EXPECT_EQ(needs_of("if: valid\nthen: [no-op]"), kWhole);
  EXPECT_EQ(needs_of("then: [no-op]"), 0u);
  EXPECT_EQ(needs_of("then: [{log-entry: $Subject}]"), kNeedHeader);
  EXPECT_EQ(needs_of("then: [{insert-header: {name: X, value: y}}]"), kEditHeader);
  EXPECT_EQ(needs_of("then: [{add-rcpt-to: a@b.example}]"), kNeedRcpt | kEditRecipients);
  EXPECT_EQ(needs_of("then: [{quarantine: Policy}]"), kEditQuarantine);
  EXPECT_EQ(needs_of("mode: observe\nif: subject == \"x\"\nthen: [{strip-header: X}, drop]"), uint32_t{kNeedHeader});
  EXPECT_EQ(needs_of("enabled: false\nif: valid\nthen: [drop]"), 0u);
  EXPECT_EQ(needs_of("if: smtp-auth-id-matches(\"*Any\")\nthen: [no-op]"), kNeedMail);
  EXPECT_EQ(needs_of("if: smtp-auth-id-matches(\"*Sender\")\nthen: [no-op]"), kNeedMail | kNeedHeader);
  // What a nested if asks counts, and a condition that may end unknown may quarantine.
  EXPECT_EQ(needs_of("then:\n- if: subject == \"x\"\n  then: [no-op]\n  else: [{strip-header: X}]"),
            kNeedHeader | kEditHeader);
  EXPECT_EQ(needs_of("if: subject == \"x\"\nthen: [drop]"), kNeedHeader | kEditQuarantine);
  EXPECT_EQ(needs_of("if: subject == \"x\"\non-unknown: tempfail\nthen: [drop]"), uint32_t{kNeedHeader});
  EXPECT_EQ(needs_of("if: subject == \"x\"\non-unknown: quarantine\nthen: [no-op]"), kNeedHeader | kEditQuarantine);
}

TEST(RuleSets, FactsOfAFilter) {
  const Loaded loaded = load({"filters:\n"
                              "  - name: a\n    flows: [outbound]\n    phase: mail\n    if: mail-from == \"x\"\n"
                              "    then: [drop]\n    mode: observe\n    comment: why not\n",
                              "filters:\n"
                              "  - name: b\n    if: header(\"To\") and subject == \"x\" and header(\"to\") == \"y\"\n"
                              "    then:\n      - if: valid\n        then: [{quarantine: Policy}]\n"
                              "    on-unknown: match\n"
                              "  - name: c\n    if: addr-count(\"Cc\", \"To\") > 3\n    enabled: false\n"
                              "    then: []\n    else: [drop]\n"},
                             context());
  ASSERT_NE(loaded.rules, nullptr) << loaded.diagnostics;
  const std::vector<Filter>& filters = loaded.rules->filters();
  ASSERT_EQ(filters.size(), 3u);
  EXPECT_EQ(filters[0].name, "a");
  EXPECT_EQ(filters[0].file, "r0");
  EXPECT_EQ(filters[0].line, 2u);
  EXPECT_EQ(filters[0].flows, std::vector<std::string>{"outbound"});
  EXPECT_EQ(filters[0].phase, Phase::mail);
  EXPECT_EQ(filters[0].mode, Mode::observe);
  EXPECT_TRUE(filters[0].strict);
  EXPECT_FALSE(filters[0].on_unknown);
  EXPECT_EQ(filters[1].file, "r1");
  EXPECT_EQ(filters[1].on_unknown, OnUnknown::match);
  EXPECT_TRUE(filters[1].strict);
  EXPECT_FALSE(filters[2].enabled);
  EXPECT_FALSE(filters[2].strict);  // only `then` counts
  EXPECT_TRUE(loaded.rules->has_phase(Phase::mail));
  EXPECT_TRUE(loaded.rules->has_phase(Phase::message));
  EXPECT_FALSE(loaded.rules->has_phase(Phase::connect));
  EXPECT_EQ(loaded.rules->header_names(), (std::vector<std::string>{"to", "subject", "cc"}));
  for (const auto& test : filters[1].body.condition.tests) {
    EXPECT_EQ(test.header_slot, test.rule->name == "subject" ? 1u : 0u);
  }
}

TEST(RuleSets, SendmailRefusesWhatOnlyPostfixDoes) {
  LoadContext sendmail = context();
  sendmail.sendmail = true;
  for (const std::string_view action : {"alt-mailhost", "alt-src-host"}) {
    const std::string file = "filters:\n  - name: f\n    then: [{" + std::string(action) + ": relay.example}]\n";
    EXPECT_EQ(load(file).diagnostics, "");
    EXPECT_NE(load({file}, sendmail).diagnostics.find("works with Postfix only"), std::string::npos);
  }
}

TEST(RuleSets, EmptyFilesAreNoFilters) {
  for (const std::string_view text : {"", "# nothing\n", "filters:\n", "filters: []\n"}) {
    const Loaded loaded = load(std::string(text));
    ASSERT_NE(loaded.rules, nullptr) << text << loaded.diagnostics;
    EXPECT_TRUE(loaded.rules->filters().empty());
    EXPECT_EQ(loaded.rules->needs(), 0u);
  }
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

TEST(RuleSets, ThousandsOfFiltersLoad) {
  std::string file = "filters:\n";
  for (int i = 0; i < 2500; ++i) {
    file += "  - name: f" + std::to_string(i) + "\n    if: header(\"X-" + std::to_string(i % 50) +
            "\") == \"(?i)value-" + std::to_string(i) +
            "$\" and not subject == \"^x\"\n    then:\n      - log-entry: " + "\"$FilterName\"\n";
  }
  const double before = cpu_seconds();
  const Loaded loaded = load(file);
  const double spent = cpu_seconds() - before;
  ASSERT_NE(loaded.rules, nullptr) << loaded.diagnostics.substr(0, 500);
  EXPECT_EQ(loaded.rules->filters().size(), 2500u);
  EXPECT_EQ(loaded.rules->header_names().size(), 51u);
  RecordProperty("cpu_ms", static_cast<int>(spent * 1000));
  EXPECT_LT(spent, 60.0);
}

TEST(RuleSets, TooManyFiltersAreAnAnswer) {
  const auto many = [](size_t count) {
    std::string file = "filters:\n";
    for (size_t i = 0; i < count; ++i) file += "- {name: f" + std::to_string(i) + ", then: [no-op]}\n";
    return file;
  };
  const Loaded bound = load(many(20'000));
  EXPECT_NE(bound.rules, nullptr) << bound.diagnostics.substr(0, 500);
  for (const size_t count : {20'001u, 100'000u}) {
    const Loaded loaded = load(many(count));
    EXPECT_EQ(loaded.rules, nullptr);
    EXPECT_NE(loaded.diagnostics.find("more than 20000 filters"), std::string::npos)
        << loaded.diagnostics.substr(0, 500);
  }
  // Over several files the bound is the same.
  const Loaded split =
      load({many(19'999), "filters:\n- {name: a, then: [no-op]}\n- {name: b, then: [no-op]}\n"}, context());
  EXPECT_NE(split.diagnostics.find("r1:3:3: error: more than 20000 filters"), std::string::npos) << split.diagnostics;
}

TEST(Schema, IsWhatConfHolds) {
  const std::string path = std::string(POSTERN_SOURCE_DIR) + "/conf/rules.schema.json";
  if (std::getenv("POSTERN_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << rules_schema();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_TRUE(text.str() == rules_schema()) << "write it anew: postern schema rules > conf/rules.schema.json";
  for (const ActionRow& row : action_table()) {
    EXPECT_NE(text.str().find("\"" + std::string(row.name) + "\""), std::string::npos) << row.name;
  }
}

}  // namespace
}  // namespace postern::rules

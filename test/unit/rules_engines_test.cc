// SPDX-License-Identifier: Apache-2.0
// Rules that ask external engines: what each comparison is when all, some or none of them answered, or none is asked.
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

using inspect::VirusVerdict;

struct FakeEngines : Engines {
  VirusFact virus_fact;
  SpamFact spam_fact;
  int asked = 0;
  const VirusFact& virus() override {
    ++asked;
    return virus_fact;
  }
  const SpamFact& spam() override {
    ++asked;
    return spam_fact;
  }
};

std::string ask(std::string_view condition, Engines* engines, const std::vector<std::string>& before = {}) {
  Mail mail("From: a@b.example\nSubject: x\n\nx\n");
  std::string yaml = "filters:\n";
  if (!before.empty()) yaml += filter("before", "true", before, "phase: mail");
  const auto rules = load(yaml + filter("f", condition, {"no-op"}));
  Facts facts(*mail.message, *rules, "inbound", 3);
  facts.engines = engines;
  Outcome outcome;
  evaluate(*rules, Phase::mail, facts, {}, outcome);
  EvalOptions options;
  options.report_all = true;
  evaluate(*rules, Phase::message, facts, options, outcome);
  return truth_text(outcome.reports.back().result);
}

std::string virus(std::string_view comparison, FakeEngines& engines) {
  return ask("virus-verdict " + std::string(comparison), &engines);
}

TEST(RulesEngines, EveryVerdictIsItselfAndNoOther) {
  constexpr const char* kWords[] = {"clean", "encrypted", "unscannable", "infected"};
  for (size_t is = 0; is < 4; ++is) {
    FakeEngines engines;
    engines.virus_fact = {true, true, static_cast<VirusVerdict>(is), {}};
    for (size_t word = 0; word < 4; ++word) {
      const std::string value = "\"" + std::string(kWords[word]) + "\"";
      EXPECT_EQ(virus("== " + value, engines), is == word ? "true" : "false");
      EXPECT_EQ(virus("!= " + value, engines), is == word ? "false" : "true");
    }
    EXPECT_EQ(virus(R"(== "skipped")", engines), "false");
  }
}

TEST(RulesEngines, AnEngineThatIsAwayIsNeverClean) {
  FakeEngines engines;
  engines.virus_fact = {true, false, std::nullopt, {}};
  for (const char* word : {"clean", "encrypted", "unscannable", "infected"}) {
    EXPECT_EQ(virus("== \"" + std::string(word) + "\"", engines), "unknown(engine)") << word;
    EXPECT_EQ(virus("!= \"" + std::string(word) + "\"", engines), "unknown(engine)") << word;
  }
  EXPECT_EQ(virus(R"(== "skipped")", engines), "false");
  // What others said can only become graver.
  engines.virus_fact.gravest = VirusVerdict::unscannable;
  EXPECT_EQ(virus(R"(== "clean")", engines), "false");
  EXPECT_EQ(virus(R"(!= "clean")", engines), "true");
  EXPECT_EQ(virus(R"(== "unscannable")", engines), "unknown(engine)");
  EXPECT_EQ(virus(R"(== "infected")", engines), "unknown(engine)");
  engines.virus_fact.gravest = VirusVerdict::infected;
  EXPECT_EQ(virus(R"(== "infected")", engines), "true");
  EXPECT_EQ(virus(R"(== "unscannable")", engines), "false");
}

TEST(RulesEngines, WhereNoneIsAskedNoComparisonHolds) {
  FakeEngines none;
  FakeEngines found;
  found.virus_fact = {true, true, VirusVerdict::infected, {"Eicar"}};
  found.spam_fact = {true, true, Unknown::engine, 99'000};
  for (const char* test :
       {R"(virus-verdict == "infected")", R"(virus-verdict != "infected")", R"(virus-verdict == "clean")",
        R"(virus-verdict != "clean")", R"(virus-verdict != "skipped")", "spam-score > 5", "spam-score < 5",
        "spam-score == 0", "spam-score != 0", "spam-score >= -100", "spam-score <= 100"}) {
    EXPECT_EQ(ask(test, &none), "false") << test;
    EXPECT_EQ(ask(test, nullptr), "false") << test;
    EXPECT_EQ(ask(test, &found, {"skip-viruscheck", "skip-spamcheck"}), "false") << test;
  }
  EXPECT_EQ(found.asked, 0);
  EXPECT_EQ(ask(R"(virus-verdict == "skipped")", &none), "true");
  EXPECT_EQ(ask(R"(virus-verdict == "skipped")", nullptr), "true");
  EXPECT_EQ(ask(R"(virus-verdict == "skipped")", &found, {"skip-viruscheck"}), "true");
  EXPECT_EQ(ask(R"(virus-verdict == "infected")", &found, {"skip-spamcheck"}), "true");
  EXPECT_EQ(ask("spam-score > 5", &found, {"skip-viruscheck"}), "true");
}

TEST(RulesEngines, ScoresAreComparedExactly) {
  FakeEngines engines;
  engines.spam_fact = {true, true, Unknown::engine, 7500};
  const std::pair<const char*, const char*> cases[] = {
      {"== 7.5", "true"},  {"== 7.50", "true"}, {"!= 7.5", "false"}, {">= 7.5", "true"}, {"> 7.5", "false"},
      {"> 7.499", "true"}, {"< 7.501", "true"}, {"<= 7", "false"},   {"> -2.5", "true"}, {"< -2.5", "false"}};
  for (const auto& [test, wanted] : cases) EXPECT_EQ(ask("spam-score " + std::string(test), &engines), wanted) << test;
  engines.spam_fact.score = -2500;
  EXPECT_EQ(ask("spam-score == -2.5", &engines), "true");
}

TEST(RulesEngines, AScoreThatIsNotAllThereCanOnlyGrow) {
  FakeEngines engines;
  engines.spam_fact = {true, false, Unknown::engine, std::nullopt};
  for (const char* test : {"> 5", "< 5", "== 5", "!= 5"})
    EXPECT_EQ(ask("spam-score " + std::string(test), &engines), "unknown(engine)");
  engines.spam_fact.reason = Unknown::unscannable;
  EXPECT_EQ(ask("spam-score > 5", &engines), "unknown(unscannable)");
  engines.spam_fact = {true, false, Unknown::engine, 7000};
  EXPECT_EQ(ask("spam-score > 5", &engines), "true");
  EXPECT_EQ(ask("spam-score > 8", &engines), "unknown(engine)");
  EXPECT_EQ(ask("spam-score < 5", &engines), "false");
  EXPECT_EQ(ask("spam-score < 8", &engines), "unknown(engine)");
  EXPECT_EQ(ask("spam-score == 5", &engines), "false");
  EXPECT_EQ(ask("spam-score != 5", &engines), "true");
}

TEST(RulesEngines, TheyAreAskedLastAndOnlyWhereItMatters) {
  FakeEngines engines;
  engines.virus_fact = {true, true, VirusVerdict::clean, {}};
  EXPECT_EQ(ask(R"(virus-verdict == "infected" and subject == "y")", &engines), "false");
  EXPECT_EQ(ask(R"(virus-verdict == "infected" or subject == "x")", &engines), "true");
  EXPECT_EQ(engines.asked, 0);
}

TEST(RulesEngines, VariablesSayWhatWasFound) {
  const auto expanded = [](Engines* engines, const std::vector<std::string>& more = {}) {
    Mail mail("From: a@b.example\nSubject: x\n\nx\n");
    std::vector<std::string> actions = more;
    actions.emplace_back("insert-header: {name: X-Found, value: \"[$Virus] $SpamScore\"}");
    const auto rules = load("filters:\n" + filter("f", "true", actions));
    Facts facts(*mail.message, *rules, "inbound", 3);
    facts.engines = engines;
    Outcome outcome;
    evaluate(*rules, Phase::message, facts, {}, outcome);
    return mail.header("X-Found");
  };
  FakeEngines engines;
  EXPECT_EQ(expanded(nullptr), "[] skipped");
  EXPECT_EQ(expanded(&engines), "[] skipped");
  engines.virus_fact = {true, true, VirusVerdict::infected, {"Eicar", "Other"}};
  engines.spam_fact = {true, true, Unknown::engine, -250};
  EXPECT_EQ(expanded(&engines), "[Eicar, Other] -0.25");
  EXPECT_EQ(expanded(&engines, {"skip-viruscheck", "skip-spamcheck"}), "[] skipped");
  engines.spam_fact.complete = false;
  EXPECT_EQ(expanded(&engines), "[Eicar, Other] unknown");
}

TEST(RulesEngines, AwayIsQuarantinedWhereTheFilterWouldRefuseAndSkippedElsewhere) {
  FakeEngines engines;
  engines.virus_fact = {true, false, std::nullopt, {}};
  const auto outcome_of = [&](const char* action) {
    Mail mail("From: a@b.example\nSubject: x\n\nx\n");
    const auto rules = load_filter(R"(virus-verdict == "infected")", {action});
    Facts facts(*mail.message, *rules, "inbound", 3);
    facts.engines = &engines;
    Outcome outcome;
    evaluate(*rules, Phase::message, facts, {}, outcome);
    return outcome.quarantines.empty() ? "passed" : outcome.quarantines.front() + " " + outcome.marks.front().reason;
  };
  EXPECT_EQ(outcome_of("drop"), "Policy unknown: engine");
  EXPECT_EQ(outcome_of("insert-header: {name: X-A, value: b}"), "passed");
}

}  // namespace
}  // namespace postern::rules::test

// SPDX-License-Identifier: Apache-2.0
// Poison: patterns that take exponential time, against 64 KB texts and header fields made for them. The filter is
// unknown for that message, with the outcome that its on-unknown says; the filter beside it and the next message are
// answered as ever.
#include <ctime>

#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

constexpr std::string_view kPatterns[] = {
    "(a+)+$", "^(a+)+$", "(a|aa)+$", "(a|a?)+$", "^((a+)+)+$", "(?:a+){2,}$", "(.*a){20}$", "(a+)+(a+)+(a+)+$",
};

std::string poison(bool in_header) {
  std::string letters(64u << 10, 'a');
  letters += "b";
  return in_header ? "From: a@example.com\nSubject: " + letters + "\n\nend\n"
                   : "From: a@example.com\nSubject: s\n\n" + letters + "\nend\n";
}

// What one message costs and what its filters say, in the order of the rule file.
struct Seen {
  std::vector<std::string> results;
  Outcome outcome;
  bool ran = false;
  double ms = 0;
};

Seen look(const RuleSet& rules, const std::string& text) {
  Mail mail(text);
  Seen out;
  const double before = cpu_ms();
  out.outcome = run(rules, mail);
  out.ms = cpu_ms() - before;
  for (const auto& report : out.outcome.reports) out.results.push_back(truth_text(report.result));
  out.ran = mail.header("X-Ran") == "y";
  return out;
}

TEST(Poison, OneFilterIsUnknownForOneMessage) {
  double most = 0;
  for (const bool in_header : {false, true}) {
    const std::string bad = poison(in_header);
    const std::string good =
        in_header ? "From: a@example.com\nSubject: aaaa\n\nend\n" : "From: a@example.com\nSubject: s\n\naaaa\nend\n";
    for (const std::string_view pattern : kPatterns) {
      const std::string quoted = "(\"" + std::string(pattern) + "\")";
      const std::string condition =
          in_header ? "header(\"Subject\") == \"" + std::string(pattern) + "\"" : "body-contains" + quoted;
      const std::string normal = in_header ? R"(header("From") == "example")" : R"(body-contains("end"))";
      const auto rules = load("filters:\n" + filter("poison", condition, {"drop"}) +
                              filter("next", normal, {"insert-header: {name: X-Ran, value: y}"}));
      ASSERT_NE(rules, nullptr);
      const Seen first = look(*rules, bad);
      ASSERT_EQ(first.results.size(), 2u) << pattern;
      EXPECT_EQ(first.results[0], "unknown(regex-limit)") << condition;
      EXPECT_EQ(first.results[1], "true") << condition;
      EXPECT_TRUE(first.ran) << condition;
      EXPECT_EQ(first.outcome.quarantines, std::vector<std::string>{"Policy"}) << condition;
      EXPECT_LT(first.ms, 5000) << "only against hangs: " << condition;
      most = std::max(most, first.ms);
      const Seen next = look(*rules, good);
      EXPECT_NE(next.results[0], "unknown(regex-limit)") << condition;
      EXPECT_TRUE(next.outcome.quarantines.empty());
    }
  }
  std::printf("poison: at most %.1f ms CPU for one message\n", most);
}

TEST(Poison, OnUnknownDecides) {
  const std::string bad = poison(false);
  struct {
    const char* on_unknown;
    VerdictKind verdict;
    bool quarantined;
    bool ran;
  } const cases[] = {
      {"skip", VerdictKind::pass, false, false},      {"tempfail", VerdictKind::tempfail, false, false},
      {"quarantine", VerdictKind::pass, true, false}, {"match", VerdictKind::pass, false, true},
      {"by-action", VerdictKind::pass, false, false},
  };
  for (const auto& each : cases) {
    const auto rules = load_filter(R"(body-contains("(a+)+$"))", {"insert-header: {name: X-Ran, value: y}"},
                                   "on-unknown: " + std::string(each.on_unknown));
    ASSERT_NE(rules, nullptr);
    const Seen seen = look(*rules, bad);
    EXPECT_EQ(seen.outcome.verdict, each.verdict) << each.on_unknown;
    EXPECT_EQ(!seen.outcome.quarantines.empty(), each.quarantined) << each.on_unknown;
    EXPECT_EQ(seen.ran, each.ran) << each.on_unknown;
  }
}

}  // namespace
}  // namespace postern::rules::test

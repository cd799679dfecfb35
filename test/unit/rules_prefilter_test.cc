// SPDX-License-Identifier: Apache-2.0
// Rule sets with and without their prefilter give the same: which filters match, what they do, what is unknown, also
// when earlier filters edit the very fields that later ones look at.
#include "rules/prefilter.h"

#include <gtest/gtest.h>

#include "engine/match/regex.h"
#include "rules/eval.h"

namespace postern::rules {
namespace {

std::shared_ptr<const RuleSet> load(const std::string& text) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  LoadContext context;
  context.flows = {"all"};
  context.quarantines = {"Policy"};
  auto rules = RuleSet::load(sources, {sources.add_text("r.yaml", text)}, context, diagnostics);
  EXPECT_NE(rules, nullptr) << diagnostics.render();
  return rules;
}

std::string filter(int number, const std::string& condition, const std::string& action = "no-op") {
  return "  - name: f" + std::to_string(number) + "\n    if: '" + condition + "'\n    then: [" + action + "]\n";
}

struct Mail {
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// outcome evaluates `rules` over the mail: what every filter came to, then the header as edited.
std::string outcome(const RuleSet& rules, const Mail& mail, bool report_all = true) {
  message::Message message{base::Limits{}};
  for (const auto& [name, value] : mail.headers) message.headers.add_received(name, value);
  message.set_body(mail.body);
  Facts facts(message, rules, "all", 0);
  EvalOptions options;
  options.report_all = report_all;
  Outcome result;
  evaluate(rules, Phase::message, facts, options, result);
  std::string out;
  for (const FilterReport& report : result.reports) {
    out += report.filter->name + (report.result.is_yes() ? "+" : report.result.is_no() ? "-" : "?");
    for (const std::string& action : report.actions) out += "{" + action + "}";
    out += " ";
  }
  for (const mime::HeaderField& field : message.headers) out += "\n" + field.name + ":" + field.value;
  return out;
}

// same evaluates the mail before and after prepare() and returns the outcome, which has to be one.
std::string same(const std::string& rules_text, const Mail& mail) {
  const auto plain = load(rules_text);
  const auto prepared = load(rules_text);
  if (plain == nullptr || prepared == nullptr) return "not loaded";
  prepared->prepare();
  prepared->prepare();
  EXPECT_EQ(plain->prefilter(), nullptr);
#ifdef POSTERN_HAVE_HS
  EXPECT_NE(prepared->prefilter(), nullptr);
#endif
  const std::string expected = outcome(*plain, mail);
  EXPECT_EQ(outcome(*prepared, mail), expected);
  EXPECT_EQ(outcome(*prepared, mail, false), outcome(*plain, mail, false));
  return expected;
}

TEST(Prefilter, LongListOnOneHeader) {
  std::string rules = "filters:\n";
  for (int i = 0; i < 40; ++i) rules += filter(i, "header(\"X-Test\") == \"(?i)\\bword" + std::to_string(i) + "\\b\"");
  const Mail mail{{{"X-Test", " none"}, {"X-Other", " word3"}, {"x-test", " a WORD7 b"}, {"X-Test", " word11"}},
                  "b\r\n"};
  const std::string out = same(rules, mail);
  EXPECT_NE(out.find("f7+"), std::string::npos) << out;
  EXPECT_NE(out.find("f11+"), std::string::npos) << out;
  EXPECT_NE(out.find("f3-"), std::string::npos) << out;
}

TEST(Prefilter, OnlyWhatConditionsCannotDoWithoutIsAGate) {
  std::string rules = "filters:\n";
  const std::string a = "header(\"X-A\") == \"word";
  const std::string b = "header(\"X-B\") == \"word";
  int n = 0;
  for (int i = 0; i < 10; ++i) {
    const std::string end = std::to_string(i) + "\"";
    rules += filter(n++, a + end + " and " + b + end);
    rules += filter(n++, a + end + " or " + b + end);
    rules += filter(n++, "not " + a + end);
    rules += filter(n++, "header(\"X-A\") != \"word" + end + " and rcpt-count == 0");
    rules += "  - name: g" + end.substr(0, end.size() - 1) + "\n    if: '" + a + end +
             "'\n    then: [no-op]\n    else: [no-op]\n";
    rules += filter(n++, "body-contains(\"te(x+)+t\") and " + a + end);
  }
  const std::string out = same(rules, Mail{{{"X-A", " word3"}, {"X-B", " word5"}}, "text\r\n"});
  for (const char* part : {"f15-", "f16+", "f17-", "f18-", "f26+", "f27+", "g3+", "g4-{no-op}", "f19+"}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
  }
  // A field that is not there, and one that is, give the gates different answers.
  same(rules, Mail{{{"X-B", " word5"}}, "text\r\n"});
  same(rules, Mail{{}, ""});
}

TEST(Prefilter, FollowsEdits) {
  // Each filter writes what the next one looks for.
  std::string rules = "filters:\n";
  for (int i = 0; i < 30; ++i) {
    rules +=
        filter(i, "header(\"X-Step\") == \"^step" + std::to_string(i) + "$\"",
               "{strip-header: X-Step}, {insert-header: {name: X-Step, value: step" + std::to_string(i + 1) + "}}");
  }
  const std::string out = same(rules, Mail{{{"X-Step", " step0"}}, "b\r\n"});
  EXPECT_NE(out.find("f29+"), std::string::npos) << out;
  EXPECT_NE(out.find("X-Step: step30"), std::string::npos) << out;
}

TEST(Prefilter, BodyTexts) {
  std::string rules = "filters:\n" + filter(0, "body-contains(\"(?i)secret project\")") +
                      filter(1, "body-contains(\"needle\", 2)") + filter(2, "body-contains(\"nowhere\")") +
                      filter(3, "only-body-contains(\"needle\")") + filter(4, "not body-contains(\"absent\")") +
                      filter(5, "subject == \"x\" or body-contains(\"Secret\")");
  const std::string body =
      "--B\r\nContent-Type: text/plain\r\n\r\nneedle and Secret Project\r\n--B\r\nContent-Type: text/html\r\n\r\n"
      "<p>needle</p>\r\n--B--\r\n";
  const std::string out =
      same(rules, Mail{{{"Subject", " hello"}, {"Content-Type", " multipart/mixed; boundary=B"}}, body});
  EXPECT_TRUE(out.starts_with("f0+{no-op} f1+{no-op} f2- f3")) << out;
}

TEST(Prefilter, WhatPcreGivesUpOnStaysUnknown) {
  std::string rules = "filters:\n";
  for (int i = 0; i < 12; ++i) rules += filter(i, "header(\"X-Test\") == \"(a+)+" + std::to_string(i) + "$\"");
  for (int i = 12; i < 24; ++i) rules += filter(i, "header(\"X-Test\") == \"plain" + std::to_string(i) + "\"");
  const std::string out = same(rules, Mail{{{"X-Test", " " + std::string(60, 'a') + "!0123456789"}}, "b\r\n"});
  EXPECT_NE(out.find("f0?"), std::string::npos) << out;
  EXPECT_NE(out.find("f12-"), std::string::npos) << out;
}

TEST(Prefilter, ShortListsNeedNone) {
  const auto rules = load("filters:\n" + filter(0, "subject == \"a\"") + filter(1, "body-contains(\"b\")"));
  ASSERT_NE(rules, nullptr);
  rules->prepare();
  EXPECT_EQ(rules->prefilter(), nullptr);
}

}  // namespace
}  // namespace postern::rules

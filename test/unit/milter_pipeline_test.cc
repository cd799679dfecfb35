// SPDX-License-Identifier: Apache-2.0
// A message through the stages without an MTA, as `postern trace` does it.
#include "milter/pipeline.h"

#include <gtest/gtest.h>

#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

std::unique_ptr<Transaction> start(std::string_view rules, void (*adjust)(Settings&) = nullptr) {
  auto transaction = std::make_unique<Transaction>(make_generation(std::string(rules), 1, adjust), nullptr, 7, 0);
  transaction->message().envelope.from = "a@example.org";
  EXPECT_EQ(transaction->mail().verdict, Verdict::proceed);
  EXPECT_EQ(transaction->recipient({"b@example.net", {}}).verdict, Verdict::proceed);
  EXPECT_EQ(transaction->data().verdict, Verdict::proceed);
  transaction->header("Subject", " hello");
  transaction->end_of_header();
  return transaction;
}

TEST(MilterPipeline, ErrorsBecomeAnswersInOnePlace) {
  const struct {
    base::Cause cause;
    Verdict verdict;
    int code;
  } cases[] = {{base::Cause::limit, Verdict::reject, 552},         {base::Cause::malformed, Verdict::tempfail, 451},
               {base::Cause::not_found, Verdict::tempfail, 451},   {base::Cause::denied, Verdict::tempfail, 451},
               {base::Cause::unavailable, Verdict::tempfail, 451}, {base::Cause::misconfigured, Verdict::tempfail, 451},
               {base::Cause::internal, Verdict::tempfail, 451}};
  for (const auto& test : cases) {
    const Decision decision = decision_for_error({test.cause, "x"});
    EXPECT_EQ(decision.verdict, test.verdict);
    EXPECT_EQ(decision.reply.code, test.code);
  }
}

TEST(MilterPipeline, WhatIsMadeOfAMessageCountsAndIsNeverLeftOut) {
  // A filter that skips what it cannot tell would let the message through if it saw less of it.
  const auto generation = make_generation(
      "filters:\n  - {name: f, if: 'body-contains(\"secret\")', then: [{reject: {code: 550, text: no}}], "
      "on-unknown: skip}\n",
      1, [](Settings& settings) { settings.limits.spool_memory = 1000; });
  const std::string part = "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n";
  // The last part is looked at first.
  const std::string body = "--b\r\n" + part + mime::encode_base64(std::string(100'000, 'x') + " secret") + "--b\r\n" +
                           part + mime::encode_base64(std::string(200'000, '\xe9')) + "--b--\r\n";
  bool fits = false;
  int deferred = 0;
  for (uint64_t bound = 20'000; !fits; bound += 20'000) {
    ASSERT_LT(bound, 3'000'000u);
    base::MemoryAccount account(bound);
    {
      Transaction transaction(generation, &account, 7, 0);
      transaction.message().envelope.from = "a@example.org";
      ASSERT_EQ(transaction.mail().verdict, Verdict::proceed);
      ASSERT_EQ(transaction.recipient({"b@example.net", {}}).verdict, Verdict::proceed);
      transaction.header("Content-Type", " multipart/mixed; boundary=b");
      transaction.end_of_header();
      transaction.body(body);
      const Finished finished = transaction.finish(true);
      fits = finished.decision.verdict == Verdict::reject;
      if (!fits) {
        ++deferred;
        EXPECT_EQ(finished.decision.verdict, Verdict::tempfail) << bound;
        EXPECT_EQ(finished.decision.reply.text, "Too much mail in flight, try again later") << bound;
        EXPECT_EQ(finished.decision.decided_by, "limits.memory");
      }
      EXPECT_LE(account.used(), bound);
    }
    EXPECT_EQ(account.used(), 0u);
  }
  // Both texts, the first one twice as long in UTF-8.
  EXPECT_GT(deferred, 500'000 / 20'000 - 2);
}

TEST(MilterPipeline, AcceptsWithoutRules) {
  auto transaction = start("");
  transaction->body("text\r\n");
  const Finished finished = transaction->finish(true);
  EXPECT_EQ(finished.decision.verdict, Verdict::accept);
  EXPECT_TRUE(finished.changes.changes.empty());
  EXPECT_EQ(finished.stages.size(), 1u);
}

TEST(MilterPipeline, DefaultRepliesFollowTheVerdict) {
  const struct {
    std::string_view action;
    Verdict verdict;
    std::string_view code;
  } cases[] = {{"reject", Verdict::reject, "550 5.7.1"},
               {"bounce", Verdict::reject, "550 5.7.1"},
               {"defer: later", Verdict::tempfail, "451 4.7.1"},
               {"drop", Verdict::discard, ""}};
  for (const auto& test : cases) {
    auto transaction = start("filters:\n  - {name: f, if: 'true', then: [{" + std::string(test.action) +
                             (test.action.find(':') == std::string_view::npos ? ": }]}\n" : "}]}\n"));
    const Finished finished = transaction->finish(false);
    EXPECT_EQ(finished.decision.verdict, test.verdict) << test.action;
    EXPECT_EQ(finished.decision.decided_by, "filter 'f'");
    if (!test.code.empty()) {
      EXPECT_EQ(std::to_string(finished.decision.reply.code) + " " + finished.decision.reply.enhanced, test.code);
      EXPECT_FALSE(finished.decision.reply.text.empty());
    }
    EXPECT_TRUE(finished.changes.changes.empty());
  }
}

TEST(MilterPipeline, SkipFiltersEndsAnEarlyPhaseOnly) {
  auto transaction = start(R"(
filters:
  - {name: skip, phase: mail, if: "true", then: [skip-filters]}
  - {name: never, phase: mail, if: "true", then: [reject]}
  - {name: later, if: "true", then: [{insert-header: {name: X-Later, value: "1"}}]}
)");
  const Finished finished = transaction->finish(false);
  EXPECT_EQ(finished.decision.verdict, Verdict::accept);
  EXPECT_EQ(finished.changes.changes.size(), 1u);
}

TEST(MilterPipeline, QuarantineIsTheLastChange) {
  auto transaction = start(R"(
filters:
  - {name: hold, if: "true", then: [{quarantine: Policy}, {insert-header: {name: X-Held, value: "1"}}]}
)");
  const Finished finished = transaction->finish(false);
  EXPECT_EQ(finished.decision.verdict, Verdict::quarantine);
  ASSERT_EQ(finished.changes.changes.size(), 2u);
  EXPECT_EQ(finished.changes.changes.back().op, message::Op::quarantine);
  EXPECT_EQ(finished.changes.changes.back().value, "Policy: hold");
}

TEST(MilterPipeline, AFlowThatRunsNoFilterRunsNone) {
  auto transaction = start("filters:\n  - {name: f, if: 'true', then: [bounce]}\n",
                           [](Settings& settings) { settings.flows[0].all_filters = false; });
  EXPECT_EQ(transaction->finish(false).decision.verdict, Verdict::accept);
}

TEST(MilterPipeline, KeepGoingStopsTheRun) {
  auto transaction = start(R"(
filters:
  - {name: one, if: "true", then: [no-op]}
  - {name: two, if: "true", then: [drop]}
)");
  int asked = 0;
  transaction->keep_going = [&asked] { return ++asked < 2; };
  const Finished finished = transaction->finish(false);
  EXPECT_EQ(finished.decision.verdict, Verdict::tempfail);
  EXPECT_EQ(finished.decision.decided_by, "deadline");
  EXPECT_EQ(asked, 2);
}

TEST(MilterPipeline, LimitsRefuseBeforeAnyFilterRuns) {
  auto transaction = start("filters:\n  - {name: f, if: body-size > 0, then: [drop]}\n",
                           [](Settings& settings) { settings.limits.message_size = 100; });
  transaction->body(std::string(200, 'x'));
  const Finished finished = transaction->finish(true);
  EXPECT_EQ(finished.decision.verdict, Verdict::reject);
  EXPECT_EQ(finished.decision.reply.code, 552);
  EXPECT_EQ(finished.decision.decided_by, "limits.message-size");
  EXPECT_TRUE(finished.error);
  EXPECT_TRUE(transaction->outcome().reports.empty());
}

TEST(MilterPipeline, ASpoolThatCannotBeWrittenIsATemporaryError) {
  auto transaction = start("filters:\n  - {name: f, if: body-size > 0, then: [no-op]}\n", [](Settings& settings) {
    settings.spool_directory = "/nonexistent/postern";
    settings.limits.spool_memory = 1000;
  });
  transaction->body(std::string(100'000, 'x'));
  const Finished finished = transaction->finish(true);
  EXPECT_EQ(finished.decision.verdict, Verdict::tempfail);
  EXPECT_EQ(finished.decision.decided_by, "");
  EXPECT_TRUE(finished.error);
}

}  // namespace
}  // namespace postern::milter

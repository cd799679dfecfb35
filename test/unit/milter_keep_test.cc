// SPDX-License-Identifier: Apache-2.0
// What a session leaves in the store, and what the MTA hears: what is kept is kept before the answer, once, and nothing
// is lost or delivered when it cannot be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "milter/keeper.h"
#include "milter/session.h"
#include "test/support/temporary_directory.h"
#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

constexpr std::string_view kBody =
    "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/x-msdownload; name=\"a.exe\"\r\n"
    "Content-Disposition: attachment; filename=\"a.exe\"\r\n\r\nMZ\r\n--b--\r\n";

class MilterKeep : public testing::Test {
 protected:
  void SetUp() override {
    EXPECT_TRUE(base::open_log({"stderr", base::Level::error}));
    place = "sqlite:" + directory + "/postern.db";
  }
  void TearDown() override { service.reset(); }

  void use(const std::string& then, const std::string& rest = "") {
    static std::string where;
    static bool deliver;
    where = place;
    deliver = release_at_end;
    const std::string rules = "filters:\n  - {name: keep, if: 'true', then: [" + then + "]}\n" + rest;
    auto generation = make_generation(rules, 1, [](Settings& settings) {
      settings.store = where;
      settings.policies["Policy"].release_at_end = deliver;
    });
    service = std::make_unique<Service>(generation);
  }

  // send is one connection with one message; the MTA takes its answer and closes.
  Answer send(std::string_view body = kBody) {
    Session session(*service);
    return transmit(session, body);
  }
  Answer transmit(Session& session, std::string_view body = kBody) {
    mta = {};
    mta.fail_at = fail_at;
    mta.macros["i"] = "4QueueId";
    session.negotiate({0x1ff, 0x1fffff}, mta);
    session.connect(mta, {"client.example", "192.0.2.1", true});
    const std::string_view sender[] = {"<a@example.org>"};
    EXPECT_EQ(session.mail(mta, sender), Answer::proceed);
    const std::string_view recipient[] = {"<b@example.net>"};
    EXPECT_EQ(session.recipient(mta, recipient), Answer::proceed);
    session.header("From", " A <a@example.org>");
    session.header("Subject", " =?utf-8?q?caf=C3=A9?=");
    session.header("Content-Type", " multipart/mixed;\n boundary=b");
    session.body(body);
    return session.end_of_message(mta);
  }

  bool release_at_end = false;
  store::Store& kept() { return **service->store(); }
  std::vector<store::Listed> list() { return *kept().list({}); }
  std::string text(const store::Listed& entry) { return *kept().content(entry.content); }

  const test::TemporaryDirectory own_directory;
  const std::string& directory = own_directory.path();
  std::string place;
  std::unique_ptr<Service> service;
  FakeMta mta;
  int fail_at = 0;
};

TEST_F(MilterKeep, AQuarantinedMessageIsKeptAndDiscarded) {
  use("{insert-header: {name: X-Seen, value: 'yes'}}, {quarantine: Policy}");
  EXPECT_EQ(service->current()->wants.actions & kActionQuarantine, 0u);
  EXPECT_TRUE(service->current()->wants.keep_body) << "nothing but the store needs it";
  const CapturedLog log;
  EXPECT_EQ(send(), Answer::discard);
  EXPECT_THAT(mta.calls, IsEmpty()) << "the MTA need not edit what it throws away";
  ASSERT_THAT(list(), SizeIs(1));
  const store::Listed entry = list()[0];
  EXPECT_EQ(entry.copy, store::Copy::final_);
  EXPECT_EQ(entry.queue_id, "4QueueId");
  EXPECT_EQ(entry.flow, "all");
  EXPECT_EQ(entry.client, "192.0.2.1");
  EXPECT_EQ(entry.from, "a@example.org");
  EXPECT_THAT(entry.recipients, ElementsAre("b@example.net"));
  EXPECT_EQ(entry.subject, "caf\xC3\xA9");
  ASSERT_THAT(entry.holds, SizeIs(1));
  EXPECT_EQ(entry.holds[0].quarantine, "Policy");
  EXPECT_EQ(entry.holds[0].filter, "keep");
  EXPECT_EQ(text(entry),
            "From: A <a@example.org>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nContent-Type: multipart/mixed;\r\n "
            "boundary=b\r\nX-Seen: yes\r\n\r\n" +
                std::string(kBody));
  EXPECT_EQ(log.matching("[message-kept]"), 1u);
  EXPECT_EQ(log.matching("[message-quarantined]"), 1u);
  EXPECT_EQ(log.matching("message kept in quarantine Policy by filter 'keep' queue-id=4QueueId"), 1u);
}

TEST_F(MilterKeep, ACopyIsTheMessageAsItIsByThenAndTheRestGoesOn) {
  use("{duplicate-quarantine: Policy}, {insert-header: {name: X-Late, value: x}}, {duplicate-quarantine: Policy}");
  EXPECT_EQ(send(), Answer::proceed);
  EXPECT_THAT(mta.calls, ElementsAre("add X-Late: x"));
  ASSERT_THAT(list(), SizeIs(2));
  EXPECT_EQ(list()[0].copy, store::Copy::duplicate);
  EXPECT_THAT(text(list()[0]), testing::Not(HasSubstr("X-Late")));
  EXPECT_THAT(text(list()[1]), HasSubstr("X-Late: x\r\n\r\n--b\r\n"));
}

TEST_F(MilterKeep, ACopyOfAnEditedBodyHasTheEditsSoFar) {
  use("{drop-attachments-by-mimetype: {type: application/x-msdownload, comment: 'gone: $dropped_filename'}}, "
      "{duplicate-quarantine: "
      "Policy}");
  EXPECT_EQ(send(), Answer::proceed);
  ASSERT_THAT(list(), SizeIs(1));
  EXPECT_THAT(text(list()[0]), HasSubstr("gone: a.exe"));
  EXPECT_THAT(text(list()[0]), testing::Not(HasSubstr("MZ")));
}

TEST_F(MilterKeep, TheOriginalIsKeptWhereAPartIsDropped) {
  use("{keep-original: Policy}, {drop-attachments-by-mimetype: application/x-msdownload}, {strip-header: Subject}");
  EXPECT_EQ(send(), Answer::proceed);
  EXPECT_THAT(mta.body, testing::Not(HasSubstr("MZ")));
  ASSERT_THAT(list(), SizeIs(1));
  EXPECT_EQ(list()[0].copy, store::Copy::original);
  EXPECT_EQ(list()[0].subject, "caf\xC3\xA9");
  EXPECT_EQ(text(list()[0]),
            "From: A <a@example.org>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nContent-Type: multipart/mixed;\r\n "
            "boundary=b\r\n\r\n" +
                std::string(kBody));
  EXPECT_EQ(send("--b\r\n\r\nno attachment\r\n--b--\r\n"), Answer::proceed);
  EXPECT_THAT(list(), SizeIs(1)) << "nothing was dropped";
}

TEST_F(MilterKeep, NothingIsKeptOfADeferredMessage) {
  use("{duplicate-quarantine: Policy}, {quarantine: Policy}",
      "  - {name: later, if: 'true', then: [{defer: not now}]}\n");
  EXPECT_EQ(send(), Answer::tempfail);
  EXPECT_THAT(list(), IsEmpty());
  use("{duplicate-quarantine: Policy}, drop");
  EXPECT_EQ(send(), Answer::discard);
  EXPECT_THAT(list(), SizeIs(1)) << "the copy was made before";
}

TEST_F(MilterKeep, NothingIsKeptWhenTheMtaRefusesAnEdit) {
  use("{duplicate-quarantine: Policy}, {insert-header: {name: X-Late, value: x}}");
  fail_at = 1;
  EXPECT_EQ(send(), Answer::tempfail);
  EXPECT_THAT(list(), IsEmpty());
}

TEST_F(MilterKeep, WhatCannotBeKeptIsDeferred) {
  place = "sqlite:" + directory + "/missing/postern.db";
  const CapturedLog log;
  use("{quarantine: Policy}");
  EXPECT_EQ(send(), Answer::tempfail);
  EXPECT_THAT(mta.reply, StartsWith("451 4.3.0"));
  use("{duplicate-quarantine: Policy}");
  EXPECT_EQ(send(), Answer::tempfail);
  use("no-op");
  EXPECT_EQ(send(), Answer::proceed) << "there is nothing to keep";
  EXPECT_EQ(log.matching("[keep-failed]"), 2u);

  // Who comes soon after a failure has it at once; then a store that is there by now is used.
  use("{quarantine: Policy}");
  service->set_store_retry(std::chrono::hours(1));
  EXPECT_EQ(send(), Answer::tempfail);
  ASSERT_EQ(::mkdir((directory + "/missing").c_str(), 0700), 0);
  EXPECT_EQ(send(), Answer::tempfail);
  service->set_store_retry({});
  ASSERT_EQ(send(), Answer::discard);
  EXPECT_THAT(list(), SizeIs(1));
}

TEST_F(MilterKeep, AMessageWhoseAnswerWasLostIsKeptOnce) {
  use("{quarantine: Policy}");
  const CapturedLog log;
  // A daemon that dies after the store has the message and before the MTA has its answer: no other step comes.
  auto* const lost = new Session(*service);
  EXPECT_EQ(transmit(*lost), Answer::discard);
  EXPECT_EQ(send(), Answer::discard);
  EXPECT_THAT(list(), SizeIs(1));
  EXPECT_EQ(log.matching("[message-kept-again]"), 1u);
  // The MTA had that answer: what comes now is another message.
  EXPECT_EQ(send(), Answer::discard);
  EXPECT_THAT(list(), SizeIs(2));
  delete lost;
}

TEST_F(MilterKeep, EachStepOfTheMtaConfirms) {
  use("{quarantine: Policy}");
  Session session(*service);
  const std::vector<std::function<void()>> steps = {
      [&] { session.abort(); }, [&] { session.helo(mta, "client.example"); }, [&] { session.connect(mta, {}); }};
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(transmit(session), Answer::discard);
    steps[i]();
    Session other(*service);
    EXPECT_EQ(transmit(other), Answer::discard);
    EXPECT_THAT(list(), SizeIs(2 * (i + 1)));
  }
}

TEST_F(MilterKeep, TheClockEndsRetentionButAJumpDoesNot) {
  use("{quarantine: Policy}");
  EXPECT_EQ(send(), Answer::discard);
  const auto start = static_cast<int64_t>(std::time(nullptr));
  const auto steady = Keeper::Clock::now();
  constexpr int64_t kMonth = 31 * 86400;
  const CapturedLog log;
  {
    Keeper keeper(*service);
    keeper.step(start, steady);
    keeper.step(start + kMonth, steady + std::chrono::minutes(1));
    EXPECT_THAT(list(), SizeIs(1));
    EXPECT_EQ(log.matching("[quarantine-frozen]"), 1u);
    keeper.step(start + kMonth + 60, steady + std::chrono::minutes(2));
    EXPECT_THAT(list(), SizeIs(1));
    keeper.step(start + kMonth + 90000, steady + std::chrono::hours(25));
    EXPECT_THAT(list(), IsEmpty());
    EXPECT_EQ(log.matching("deleted from quarantine \"Policy\" (expired) queue-id=4QueueId [quarantine-deleted]"), 1u);
  }
  EXPECT_EQ(send(), Answer::discard);
  Keeper keeper(*service);
  for (int day = 0; day <= 31; ++day) keeper.step(start + day * 86400, steady + std::chrono::hours(24 * day));
  EXPECT_THAT(list(), IsEmpty()) << "days that pass are no jump";
}

TEST_F(MilterKeep, RetentionMayEndInDelivery) {
  release_at_end = true;
  use("{quarantine: Policy}");
  EXPECT_EQ(send(), Answer::discard);
  const auto start = static_cast<int64_t>(std::time(nullptr));
  const auto steady = Keeper::Clock::now();
  const CapturedLog log;
  Keeper keeper(*service);
  for (int day = 0; day <= 31; ++day) keeper.step(start + day * 86400, steady + std::chrono::hours(24 * day));
  EXPECT_THAT(list(), IsEmpty());
  EXPECT_EQ(log.matching("released from quarantine \"Policy\" (expired) queue-id=4QueueId [quarantine-released]"), 1u);
}

TEST_F(MilterKeep, AStoreThatFailsIsSaidOnce) {
  place = "sqlite:" + directory + "/missing/postern.db";
  use("{quarantine: Policy}");
  const CapturedLog log;
  Keeper keeper(*service);
  for (int i = 0; i < 3; ++i) keeper.step(1'900'000'000 + i, Keeper::Clock::now());
  EXPECT_EQ(log.matching("[store-failed]"), 1u);
}

}  // namespace
}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// What the log says of messages reaches the tracking store, whole and in order, whatever the store does meanwhile; mail
// is never held up and a full queue is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <ctime>
#include <thread>

#include "milter/session.h"
#include "milter/tracker.h"
#include "test/support/temporary_directory.h"
#include "test/unit/milter_fixture.h"

namespace postern::milter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class TrackerTest : public testing::Test {
 protected:
  void SetUp() override {
    EXPECT_TRUE(base::open_log({"stderr", base::Level::error}));
    use("");
  }
  void TearDown() override {
    tracker.reset();
    service.reset();
  }

  void use(const std::string& rules, uint64_t keep = 86400, size_t queue = Tracker::kQueueBytes) {
    tracker.reset();
    static std::string where;
    static uint64_t kept;
    where = "sqlite:" + directory + "/postern.db";
    kept = keep;
    service =
        std::make_unique<Service>(make_generation(rules.empty() ? "filters: []\n" : rules, 1, [](Settings& settings) {
          settings.store = where;
          settings.tracking_keep = kept;
        }));
    tracker = std::make_unique<Tracker>(*service, queue);
  }

  std::vector<store::TrackedMessage> found(const store::TrackSearch& search = {}) {
    auto opened = store::Tracking::open({"sqlite:" + directory + "/postern.db", "mx1", false, 1});
    if (!opened) return {};
    auto out = (*opened)->find(search);
    EXPECT_TRUE(out) << (out ? "" : out.error().text());
    return out ? *out : std::vector<store::TrackedMessage>();
  }

  static std::vector<std::string> events_of(const store::TrackedMessage& message) {
    std::vector<std::string> out;
    for (const store::TrackedLine& line : message.lines) out.push_back(line.event);
    return out;
  }

  // send is one message through a session.
  Answer send(const std::string& subject = "=?utf-8?q?Gr=C3=BC=C3=9Fe?=") {
    Session session(*service);
    FakeMta mta;
    mta.macros["i"] = "4QueueId";
    session.negotiate({kEverything, kEverything}, mta);
    session.connect(mta, {"client.example.org", "192.0.2.1"});
    session.helo(mta, "helo.example.org");
    const std::string_view sender[] = {"<a@example.org>"};
    session.mail(mta, sender);
    const std::string_view recipient[] = {"<b@example.net>"};
    session.recipient(mta, recipient);
    session.data(mta);
    session.header("From", " Ann <ann@example.org>");
    session.header("Subject", " " + subject);
    session.header("Message-ID", " <1@example.org>");
    session.body("hello\r\n");
    return session.end_of_message(mta);
  }

  static constexpr uint32_t kEverything = 0x1FFFFF;
  const test::TemporaryDirectory own_directory;
  const std::string& directory = own_directory.path();
  std::unique_ptr<Service> service;
  std::unique_ptr<Tracker> tracker;
};

TEST_F(TrackerTest, AMessageIsTrackedWhole) {
  use("filters:\n  - {name: mark, if: 'subject == \"Grüße\"', then: [{insert-header: {name: X-Seen, value: "
      "'yes'}}]}\n");
  tracker->start();
  EXPECT_EQ(send(), Answer::proceed);
  tracker->stop();
  const auto messages = found();
  ASSERT_THAT(messages, SizeIs(1));
  const store::TrackedMessage& message = messages[0];
  EXPECT_EQ(message.client, "192.0.2.1");
  EXPECT_EQ(message.client_name, "client.example.org");
  EXPECT_EQ(message.from, "a@example.org");
  EXPECT_THAT(message.recipients, ElementsAre("b@example.net"));
  EXPECT_EQ(message.header_from, "Ann <ann@example.org>");
  EXPECT_EQ(message.author, "ann@example.org");
  EXPECT_EQ(message.subject, "Grüße");
  EXPECT_EQ(message.message_id, "<1@example.org>");
  EXPECT_EQ(message.queue_id, "4QueueId");
  EXPECT_EQ(message.flow, "all");
  EXPECT_EQ(message.verdict, "accept");
  EXPECT_THAT(events_of(message),
              ElementsAre("connection-new", "message-start", "message-from", "message-to", "message-flow", "message-id",
                          "message-subject", "filter-match", "message-ready", "message-done"));
  EXPECT_EQ(message.lines[7].filter, "mark");
  EXPECT_THAT(message.lines[7].text, HasSubstr("matched: insert-header X-Seen"));
  EXPECT_THAT(message.lines[7].text, HasSubstr(":2)")) << "where the filter stands";
  EXPECT_THAT(found({.from = "ann@example.org", .filter = "mark"}), SizeIs(1));
}

TEST_F(TrackerTest, HeadersAreAskedForWhereMessagesAreTracked) {
  EXPECT_EQ(service->current()->wants.steps_off & kNoHeader, 0u);
  use("", 0);
  EXPECT_NE(service->current()->wants.steps_off & kNoHeader, 0u);
}

TEST_F(TrackerTest, LinesGoToEveryMessageTheyName) {
  tracker->start();
  base::emit(event(Event::mail_generated),
             {{"own", "14"}, {"mid", "13"}, {"kind", "bcc"}, {"filter", "name"}, {"to", "c@example.net"}});
  base::emit(event(Event::mail_submitted), {{"mid", "14"}, {"kind", "bcc"}, {"cause", "13"}, {"reply", "250 ok"}});
  base::emit(event(Event::mail_returned), {{"mid", "15"}, {"own", "14"}, {"kind", "bcc"}});
  base::emit(event(Event::quarantine_deleted), {{"mid", "13"}, {"quarantine", "Policy"}, {"why", "expired"}}, "4Q");
  tracker->stop();
  EXPECT_THAT(events_of(found({.mid = 13}).at(0)),
              ElementsAre("mail-generated", "mail-submitted", "quarantine-deleted"));
  const store::TrackedMessage own = found({.mid = 14}).at(0);
  EXPECT_THAT(events_of(own), ElementsAre("mail-generated", "mail-submitted", "mail-returned"));
  EXPECT_EQ(own.lines[0].text, "MID 14 generated based on MID 13 by bcc filter 'name' to <c@example.net>");
  EXPECT_EQ(own.verdict, "submitted");
  EXPECT_THAT(own.recipients, ElementsAre("c@example.net"));
  EXPECT_THAT(events_of(found({.mid = 15}).at(0)), ElementsAre("mail-returned"));
}

TEST_F(TrackerTest, AStoreThatIsAwayLosesNothingButWhatTheQueueCannotHold) {
  use("", 86400, 64u << 10);
  ASSERT_EQ(::mkdir((directory + "/tracking.db").c_str(), 0700), 0);  // no database can be there
  const CapturedLog log;
  tracker->start();
  const auto emit = [](int from, int to) {
    for (int mid = from; mid <= to; ++mid) {
      base::emit(event(Event::message_done), {{"mid", std::to_string(mid)}}, "4Q");
    }
  };
  emit(1, 10);
  const Tracker::Clock::time_point deadline = Tracker::Clock::now() + std::chrono::seconds(60);
  while (log.matching("Messages are not tracked: ") == 0 && Tracker::Clock::now() < deadline) std::this_thread::yield();
  emit(11, 10'000);
  ASSERT_EQ(::rmdir((directory + "/tracking.db").c_str()), 0);
  tracker->stop();
  EXPECT_EQ(log.matching("[tracking-failed]"), 1u) << "once per episode";
  EXPECT_EQ(log.matching("lines are missing [tracking-good]"), 1u);
  const auto messages = found({.most = 20'000});
  EXPECT_GT(messages.size(), 100u);
  EXPECT_LT(messages.size(), 10'000u);
  for (size_t i = 0; i < messages.size(); ++i) ASSERT_EQ(messages[i].mid, i + 1) << "the first, in order, none twice";
}

TEST_F(TrackerTest, OldMessagesAreForgottenButNotAfterAJumpOfTheClock) {
  use("", 100);
  const auto note = [this](std::string_view mid) {
    const std::array<base::LogValue, 1> values{{{"mid", mid}}};
    tracker->note(static_cast<size_t>(Event::message_done), values, "4Q");
  };
  const auto now = static_cast<int64_t>(std::time(nullptr));
  const auto steady = Tracker::Clock::now();
  note("1");
  tracker->turn(now, steady);
  tracker->turn(now + 90, steady + std::chrono::seconds(90));
  EXPECT_THAT(found(), SizeIs(1));
  tracker->turn(now + 200, steady + std::chrono::seconds(200));
  EXPECT_THAT(found(), IsEmpty());
  note("2");
  tracker->turn(now + 10 * 86400, steady + std::chrono::seconds(300));
  EXPECT_THAT(found(), SizeIs(1)) << "the clock jumped";
  tracker->turn(now + 11 * 86400 + 100, steady + std::chrono::seconds(300) + std::chrono::hours(24));
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(TrackerTest, WithoutTrackingThereIsNothing) {
  use("", 0);
  tracker->start();
  EXPECT_EQ(send(), Answer::proceed);
  tracker->stop();
  EXPECT_FALSE(std::filesystem::exists(directory + "/tracking.db"));
}

}  // namespace
}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// What is tracked is found by every key, alike in SQLite and PostgreSQL; what cannot be stored as it is comes back
// readable; a batch is written once; old messages go whole.
#include <gmock/gmock.h>

#include "engine/store/tracking.h"
#include "test/unit/store_fixture.h"

namespace postern::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class TrackingTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    tracking_ = open_tracking("mx1");
  }
  void TearDown() override {
    tracking_.reset();
    StoreTest::TearDown();
  }

  std::unique_ptr<Tracking> open_tracking(const std::string& owner) {
    auto opened = Tracking::open({where_, owner, true, 1});
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text());
    return opened ? std::move(*opened) : nullptr;
  }

  // A message from SENDER@example.org to RECIPIENT@example.net.
  static TrackedMessage message(uint64_t mid, const std::string& sender, const std::string& recipient,
                                const std::string& subject = "Report") {
    TrackedMessage out;
    out.mid = mid;
    out.icid = mid + 1000;
    out.started = kNow + static_cast<int64_t>(mid);
    out.queue_id = "4Q" + std::to_string(mid);
    out.client = "192.0.2.1";
    out.from = sender.empty() ? "" : sender + "@example.org";
    out.author = sender + "@From.example";
    out.header_from = "The " + sender + " <" + out.author + ">";
    out.recipients = {recipient + "@example.net"};
    out.subject = subject;
    out.message_id = "<" + std::to_string(mid) + "@Example.org>";
    out.size = 100 + mid;
    out.verdict = "accept";
    out.lines = {{0, out.started, 2, "message-from", "", "MID " + std::to_string(mid) + " From"},
                 {0, out.started, 2, "filter-match", "f" + std::to_string(mid % 3), "matched: drop"}};
    return out;
  }

  std::vector<uint64_t> mids(const TrackSearch& search) {
    auto found = tracking_->find(search);
    EXPECT_TRUE(found) << (found ? "" : found.error().text());
    std::vector<uint64_t> out;
    if (!found) return out;
    for (const TrackedMessage& one : *found) out.push_back(one.mid);
    return out;
  }
  TrackedMessage only(const TrackSearch& search) {
    auto found = tracking_->find(search);
    EXPECT_TRUE(found) << (found ? "" : found.error().text());
    EXPECT_EQ(found->size(), 1u);
    return found && found->size() == 1 ? found->front() : TrackedMessage();
  }

  std::unique_ptr<Tracking> tracking_;
};

TEST_P(TrackingTest, EveryKeyFinds) {
  ASSERT_DONE(tracking_->write({message(1, "Alice", "bob"), message(2, "carol", "Bob", "Rechnung 50%_\\"),
                                message(3, "", "dave"), message(4, "alice", "eve", "report")},
                               "1"));
  EXPECT_THAT(mids({}), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(mids({.most = 2}), ElementsAre(3, 4)) << "the newest";
  EXPECT_THAT(mids({.from = "Alice@example.org"}), ElementsAre(1));
  EXPECT_THAT(mids({.from = "alice@example.org", .fold = true}), ElementsAre(1, 4));
  EXPECT_THAT(mids({.from = "lice@example.org"}), IsEmpty()) << "an address is meant whole";
  EXPECT_THAT(mids({.from = "lice@"}), ElementsAre(1, 4));
  EXPECT_THAT(mids({.from = "<>"}), ElementsAre(3));
  EXPECT_THAT(mids({.from = "alice@From.example"}), ElementsAre(4)) << "the From field";
  EXPECT_THAT(mids({.from = "The carol"}), ElementsAre(2));
  EXPECT_THAT(mids({.to = "bob@example.net"}), ElementsAre(1));
  EXPECT_THAT(mids({.to = "bob@example.net", .fold = true}), ElementsAre(1, 2));
  EXPECT_THAT(mids({.to = "@EXAMPLE.net", .fold = true}), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(mids({.to = "@EXAMPLE.net"}), IsEmpty());
  EXPECT_THAT(mids({.subject = "0%_\\"}), ElementsAre(2)) << "no character is special";
  EXPECT_THAT(mids({.subject = "50%_"}), ElementsAre(2));
  EXPECT_THAT(mids({.subject = "eport"}), ElementsAre(1, 3, 4));
  EXPECT_THAT(mids({.subject = "REPORT", .fold = true}), ElementsAre(1, 3, 4));
  EXPECT_THAT(mids({.subject = "report"}), ElementsAre(4));
  EXPECT_THAT(mids({.message_id = "<3@Example.org>"}), ElementsAre(3));
  EXPECT_THAT(mids({.message_id = "<3@example.org>"}), IsEmpty());
  EXPECT_THAT(mids({.message_id = "<3@example.org>", .fold = true}), ElementsAre(3));
  EXPECT_THAT(mids({.mid = 2}), ElementsAre(2));
  EXPECT_THAT(mids({.queue_id = "4Q4"}), ElementsAre(4));
  EXPECT_THAT(mids({.filter = "f1"}), ElementsAre(1, 4));
  EXPECT_THAT(mids({.verdict = "accept"}), SizeIs(4));
  EXPECT_THAT(mids({.verdict = "reject"}), IsEmpty());
  EXPECT_THAT(mids({.since = kNow + 2, .until = kNow + 3}), ElementsAre(2, 3));
  EXPECT_THAT(mids({.from = "alice", .subject = "report", .filter = "f1", .fold = true}), ElementsAre(1, 4));
  EXPECT_THAT(mids({.to = "' OR 1=1 --"}), IsEmpty());

  const TrackedMessage one = only({.mid = 1});
  EXPECT_EQ(one.gateway, "mx1");
  EXPECT_EQ(one.icid, 1001u);
  EXPECT_EQ(one.from, "Alice@example.org");
  EXPECT_THAT(one.recipients, ElementsAre("bob@example.net"));
  EXPECT_EQ(one.size, 101u);
  ASSERT_THAT(one.lines, SizeIs(2));
  EXPECT_EQ(one.lines[1].filter, "f1");
  EXPECT_EQ(one.lines[1].text, "matched: drop");
  EXPECT_EQ(only({.mid = 3}).from, "") << "the null sender is known to be it";
}

TEST_P(TrackingTest, WhatComesLaterIsAdded) {
  TrackedMessage first = message(7, "a", "b");
  first.verdict = "quarantine";
  first.message_id.clear();
  ASSERT_DONE(tracking_->write({first}, "1"));
  TrackedMessage second;
  second.mid = 7;
  second.verdict = "accept";
  second.reply = "250 ok";
  second.recipients = {"b@example.net", "c@example.net"};
  second.message_id = "<late@example.org>";
  second.lines = {{0, kNow, 3, "message-id", "", "MID 7 Message-ID"}};
  ASSERT_DONE(tracking_->write({second}, "2"));
  const TrackedMessage found = only({.mid = 7});
  EXPECT_EQ(found.verdict, "quarantine") << "in the MTA's hold queue it is taken, too";
  EXPECT_EQ(found.subject, "Report");
  EXPECT_EQ(found.size, 107u);
  EXPECT_EQ(found.reply, "250 ok");
  EXPECT_THAT(found.recipients, ElementsAre("b@example.net", "c@example.net"));
  EXPECT_THAT(found.lines, SizeIs(3));
  EXPECT_THAT(mids({.message_id = "<late@example.org>"}), ElementsAre(7));
}

TEST_P(TrackingTest, LinesOfOtherGatewaysFindTheirMessage) {
  ASSERT_DONE(tracking_->write({message(7, "a", "b"), message(8, "a", "b")}, "1"));
  auto other = open_tracking("mx2");
  TrackedMessage same = message(8, "x", "y");
  same.queue_id = "other";
  ASSERT_DONE(other->write({same}, "1"));
  EXPECT_THAT(mids({.mid = 8}), ElementsAre(8, 8)) << "a MID is a gateway's own";
  TrackedMessage released;
  released.elsewhere = true;
  released.mid = 7;
  released.lines = {{0, kNow, 2, "quarantine-released", "", "MID 7 released"}};
  TrackedMessage known = released;
  known.mid = 8;
  known.queue_id = "4Q8";
  TrackedMessage nobody = released;
  nobody.mid = 99;
  nobody.started = kNow;
  ASSERT_DONE(other->write({released, known, nobody}, "2"));
  EXPECT_THAT(only({.mid = 7}).lines, SizeIs(3));
  EXPECT_THAT(only({.queue_id = "4Q8"}).lines, SizeIs(3));
  EXPECT_THAT(only({.queue_id = "other"}).lines, SizeIs(2));
  EXPECT_THAT(only({.mid = 99}).lines, SizeIs(1)) << "its message was forgotten, or tracking was off";
}

TEST_P(TrackingTest, ABatchIsWrittenOnce) {
  ASSERT_DONE(tracking_->write({message(7, "a", "b")}, "1"));
  ASSERT_DONE(tracking_->write({message(7, "a", "b")}, "1"));
  EXPECT_THAT(only({.mid = 7}).lines, SizeIs(2));
  ASSERT_DONE(tracking_->write({message(7, "a", "b")}, "2"));
  EXPECT_THAT(only({.mid = 7}).lines, SizeIs(4));
}

TEST_P(TrackingTest, AnyBytesAreTracked) {
  using namespace std::string_literals;
  TrackedMessage odd = message(7, "a", "b");
  odd.subject = "nul \0 and \xff\xfe and \n line"s;
  odd.from = "x\0'; DROP TABLE tracked; --@\xe9"s;
  odd.recipients = {"\xf0\x9f\x98\x80@example.net", std::string(70'000, 'r')};
  odd.message_id = std::string(100'000, '<');
  odd.lines = {{0, kNow, 2, "odd", "", std::string("a\0b\xff", 4)},
               {0, kNow, 2, "long", "", std::string(100'000, 'x')}};
  for (int i = 0; i < 100; ++i) odd.lines.push_back({0, kNow, 2, "n", "", std::to_string(i)});
  const std::string sender = *odd.from;
  ASSERT_DONE(tracking_->write({odd}, "1"));
  const TrackedMessage found = only({.mid = 7});
  EXPECT_THAT(found.subject, HasSubstr("\\xff\\xfe"));
  EXPECT_THAT(found.lines, SizeIs(102));
  EXPECT_EQ(found.lines[101].text, "99");
  EXPECT_LT(found.lines[1].text.size(), 10'000u);
  EXPECT_THAT(mids({.from = sender}), ElementsAre(7)) << "what is looked for is treated alike";
  EXPECT_THAT(mids({.message_id = odd.message_id}), ElementsAre(7));
  EXPECT_THAT(mids({.to = "\xf0\x9f\x98\x80@example.net"}), ElementsAre(7));
}

TEST_P(TrackingTest, OldMessagesGoWholeAndSomeAtATime) {
  std::vector<TrackedMessage> messages;
  for (uint64_t mid = 1; mid <= 10; ++mid) messages.push_back(message(mid, "a", "b"));
  ASSERT_DONE(tracking_->write(messages, "1"));
  EXPECT_EQ(*tracking_->forget(kNow + 1, 100), 0u) << "kept for as long";
  EXPECT_EQ(*tracking_->forget(kNow + 8, 5), 5u);
  EXPECT_EQ(*tracking_->forget(kNow + 8, 5), 2u);
  EXPECT_THAT(mids({}), ElementsAre(8, 9, 10));
  EXPECT_THAT(mids({.filter = "f1"}), ElementsAre(10));
  EXPECT_THAT(mids({.to = "b@example.net"}), SizeIs(3));
  if (postgres()) {
    EXPECT_EQ(sql(std::getenv("POSTERN_TEST_POSTGRES"), "SELECT count(*) FROM \"" + schema_ + "\".tracked_line"), "6");
  }
}

TEST_P(TrackingTest, WhatIsNewIsFoundByItsLines) {
  EXPECT_EQ(*tracking_->last_line(), 0);
  ASSERT_DONE(tracking_->write({message(1, "a", "b"), message(2, "a", "b")}, "1"));
  const int64_t last = *tracking_->last_line();
  EXPECT_THAT(mids({.line_after = last}), IsEmpty());
  TrackedMessage more;
  more.mid = 1;
  more.lines = {{0, kNow, 2, "x", "", "more"}};
  ASSERT_DONE(tracking_->write({more}, "2"));
  EXPECT_THAT(mids({.line_after = last}), ElementsAre(1));
  EXPECT_GT(*tracking_->last_line(), last);
}

TEST_P(TrackingTest, AStoreThatIsNotThereIsNotMadeUnlessAsked) {
  auto missing = Tracking::open({"sqlite:" + directory_ + "/none/postern.db", "mx1", false, 1});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().cause(), base::Cause::not_found);
  EXPECT_FALSE(Tracking::open({"nonsense:", "mx1", true, 1}));
}

POSTERN_EVERY_STORE(TrackingTest);

}  // namespace
}  // namespace postern::store

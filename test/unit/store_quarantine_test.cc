// SPDX-License-Identifier: Apache-2.0
// Quarantines: what is kept is delivered when every quarantine lets it go and never when one deletes it; time and a
// full quarantine end it by the quarantine's default action; lists find it.
#include <gmock/gmock.h>

#include "test/unit/store_fixture.h"

namespace postern::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Quarantines : public StoreTest {
 protected:
  // put keeps one message and returns its number.
  int64_t put(uint64_t mid, std::string_view content, const std::vector<std::string>& names, int64_t now = kNow) {
    auto kept = store_->keep(batch_of(mid, content, names), policies_, now);
    EXPECT_TRUE(kept) << (kept ? "" : kept.error().text());
    if (!kept) return 0;
    store_->confirm(kept->id);
    Search search;
    search.mid = mid;
    auto found = store_->list(search);
    EXPECT_TRUE(found && found->size() == 1);
    return found && !found->empty() ? found->front().id : 0;
  }
  std::vector<Outgoing> outbox() { return *store_->outbox(0, 1000); }
  uint64_t held(const std::string& quarantine) {
    const auto all = store_->usage();
    for (const Usage& usage : *all) {
      if (usage.quarantine == quarantine) return usage.messages;
    }
    return 0;
  }
};

TEST_P(Quarantines, AMessageIsListedAndReadAsItWasKept) {
  Batch batch = batch_of(4711, "Subject: x\r\n\r\nbody\r\n", {"Policy"});
  batch.entries[0].subject = "caf\xc3\xa9\r\nX: y \xff";
  batch.entries[0].recipients = {"b@example.net", "c\xff@example.net"};
  batch.entries[0].holds[0].reason = "matched: secret";
  ASSERT_DONE(store_->keep(batch, policies_, kNow));
  auto listed = store_->list({});
  ASSERT_DONE(listed);
  ASSERT_EQ(listed->size(), 1u);
  const Listed& entry = listed->front();
  EXPECT_EQ(entry.copy, Copy::final_);
  EXPECT_EQ(entry.state, "held");
  EXPECT_EQ(entry.mid, 4711u);
  EXPECT_EQ(entry.queue_id, "4XyZ");
  EXPECT_EQ(entry.flow, "inbound");
  EXPECT_EQ(entry.client, "192.0.2.1");
  EXPECT_EQ(entry.from, "a@example.org");
  EXPECT_THAT(entry.recipients, ElementsAre("b@example.net", "c\xff@example.net"));
  EXPECT_EQ(entry.header_from, "A <a@example.org>");
  EXPECT_THAT(entry.subject, testing::HasSubstr("caf\xc3\xa9")) << "one line of valid UTF-8";
  EXPECT_THAT(entry.subject, testing::Not(testing::HasSubstr("\n")));
  EXPECT_EQ(entry.size, 20u);
  EXPECT_EQ(entry.created, kNow);
  ASSERT_EQ(entry.holds.size(), 1u);
  EXPECT_EQ(entry.holds[0].quarantine, "Policy");
  EXPECT_EQ(entry.holds[0].filter, "strip-executables");
  EXPECT_EQ(entry.holds[0].reason, "matched: secret");
  EXPECT_EQ(*store_->content(entry.content), "Subject: x\r\n\r\nbody\r\n");
  EXPECT_EQ(store_->show(entry.id)->mid, 4711u);
  EXPECT_EQ(store_->show(entry.id + 1).error().cause(), base::Cause::not_found);
  EXPECT_THAT(outbox(), IsEmpty());
}

TEST_P(Quarantines, ReleaseMovesTheMessageToTheOutbox) {
  const int64_t id = put(7, "text\r\n", {"Policy"});
  EXPECT_EQ(held("Policy"), 1u);
  auto released = store_->release(id, "", "admin", kNow + 5);
  ASSERT_DONE(released);
  EXPECT_TRUE(*released);
  EXPECT_EQ(held("Policy"), 0u);
  ASSERT_THAT(outbox(), SizeIs(1));
  const Outgoing mail = outbox()[0];
  EXPECT_EQ(mail.kind, MailKind::release);
  EXPECT_EQ(mail.from, "a@example.org");
  EXPECT_THAT(mail.recipients, ElementsAre("b@example.net"));
  EXPECT_EQ(mail.cause_mid, 7u);
  EXPECT_EQ(mail.quarantine, "Policy");
  EXPECT_EQ(*store_->content(mail.content), "text\r\n");
  EXPECT_EQ(store_->release(id, "", "admin", kNow + 6).error().cause(), base::Cause::not_found) << "once";
  EXPECT_EQ(store_->erase(id, "admin", kNow + 6).error().cause(), base::Cause::not_found);
  EXPECT_THAT(outbox(), SizeIs(1));
  ASSERT_DONE(store_->sent(mail.id));
  EXPECT_EQ(contents(), 0u);
  const Listed record = *store_->show(id);
  EXPECT_EQ(record.state, "released");
  EXPECT_EQ(record.ended_by, "admin");
  EXPECT_EQ(record.ended, kNow + 5);
}

TEST_P(Quarantines, OneInSeveralIsDeliveredWhenAllLetGo) {
  const int64_t id = put(7, "text\r\n", {"Policy", "Legal", "Unscannable"});
  EXPECT_FALSE(*store_->release(id, "Legal", "admin", kNow));
  EXPECT_EQ(store_->release(id, "Legal", "admin", kNow).error().cause(), base::Cause::not_found);
  EXPECT_EQ(store_->release(id, "Nowhere", "admin", kNow).error().cause(), base::Cause::not_found);
  EXPECT_FALSE(*store_->release(id, "Policy", "admin", kNow));
  EXPECT_THAT(outbox(), IsEmpty());
  EXPECT_EQ(held("Unscannable"), 1u);
  EXPECT_TRUE(*store_->release(id, "Unscannable", "admin", kNow));
  EXPECT_THAT(outbox(), SizeIs(1));
}

TEST_P(Quarantines, DeletionFromOneIsFinal) {
  const int64_t id = put(7, "text\r\n", {"Policy", "Legal"});
  EXPECT_FALSE(*store_->release(id, "Legal", "admin", kNow));
  ASSERT_DONE(store_->erase(id, "admin", kNow));
  EXPECT_THAT(outbox(), IsEmpty());
  EXPECT_EQ(held("Policy"), 0u);
  EXPECT_EQ(contents(), 0u);
  EXPECT_EQ(store_->release(id, "", "admin", kNow).error().cause(), base::Cause::not_found);
  EXPECT_EQ(store_->show(id)->state, "deleted");
}

TEST_P(Quarantines, ForwardSendsACopyAndKeeps) {
  const int64_t id = put(7, "text\r\n", {"Policy"});
  ASSERT_DONE(store_->forward(id, "", {"audit@example.org"}, kNow));
  ASSERT_THAT(outbox(), SizeIs(1));
  EXPECT_EQ(outbox()[0].kind, MailKind::forward);
  EXPECT_THAT(outbox()[0].recipients, ElementsAre("audit@example.org"));
  ASSERT_DONE(store_->erase(id, "admin", kNow));
  EXPECT_EQ(*store_->content(outbox()[0].content), "text\r\n") << "the copy still needs it";
  ASSERT_DONE(store_->sent(outbox()[0].id));
  EXPECT_EQ(contents(), 0u);
  EXPECT_EQ(store_->forward(id, "", {"audit@example.org"}, kNow).error().cause(), base::Cause::not_found);
}

TEST_P(Quarantines, RetentionEndsByTheDefaultAction) {
  policies_["Policy"] = {100, 1u << 20, true};
  policies_["Legal"] = {1000, 1u << 20, false};
  const int64_t both = put(1, "one\r\n", {"Policy", "Legal"});
  const int64_t policy = put(2, "two\r\n", {"Policy"});
  const int64_t legal = put(3, "three\r\n", {"Legal"});
  const int64_t fixed = put(4, "four\r\n", {"Policy"});
  ASSERT_DONE(store_->hold_back(fixed, true));
  EXPECT_THAT(*store_->expire(policies_, kNow + 99), IsEmpty());
  auto ended = store_->expire(policies_, kNow + 100);
  ASSERT_DONE(ended);
  EXPECT_THAT(*ended, SizeIs(2));
  EXPECT_EQ(store_->show(both)->state, "held") << "Legal holds it still";
  EXPECT_EQ(store_->show(policy)->state, "released");
  EXPECT_EQ(store_->show(policy)->ended_by, "expired");
  EXPECT_THAT(outbox(), SizeIs(1));
  ended = store_->expire(policies_, kNow + 1000);
  ASSERT_DONE(ended);
  EXPECT_THAT(*ended, SizeIs(2));
  EXPECT_EQ(store_->show(both)->state, "deleted");
  EXPECT_EQ(store_->show(legal)->state, "deleted");
  EXPECT_EQ(store_->show(fixed)->state, "held");
  ASSERT_DONE(store_->hold_back(fixed, false));
  EXPECT_THAT(*store_->expire(policies_, kNow + 1001), SizeIs(1));
  EXPECT_THAT(outbox(), SizeIs(2));
}

TEST_P(Quarantines, AFullOneMakesRoomOrRefuses) {
  policies_["Policy"] = {1000, 25, true};
  policies_["Legal"] = {1000, 25, false};
  const int64_t first = put(1, "0123456789", {"Policy"});
  const int64_t second = put(2, "0123456789", {"Policy"}, kNow + 1);
  auto third = store_->keep(batch_of(3, "0123456789abcdef", {"Policy"}), policies_, kNow + 2);
  ASSERT_DONE(third);
  store_->confirm(third->id);
  ASSERT_THAT(third->expired, SizeIs(2));
  EXPECT_EQ(third->expired[0].mid, 1u);
  EXPECT_TRUE(third->expired[0].released);
  EXPECT_EQ(store_->show(first)->state, "released");
  EXPECT_EQ(store_->show(second)->ended_by, "queue full");
  EXPECT_THAT(outbox(), SizeIs(2)) << "nothing is lost by it";

  const int64_t legal = put(4, "0123456789abcdef", {"Legal"});
  ASSERT_DONE(store_->hold_back(legal, true));
  const size_t before = contents();
  auto refused = store_->keep(batch_of(5, "0123456789abcdef", {"Legal"}), policies_, kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cause(), base::Cause::unavailable) << "a temporary error, never a final one";
  refused = store_->keep(batch_of(6, "0123456789abcdef0123456789", {"Policy"}), policies_, kNow);
  ASSERT_FALSE(refused) << "larger than the whole quarantine";
  EXPECT_EQ(refused.error().cause(), base::Cause::unavailable);
  EXPECT_EQ(contents(), before);
  EXPECT_EQ(held("Policy"), 1u) << "nothing made room for what did not fit";
}

TEST_P(Quarantines, AMessageThatComesAgainIsHeldOnce) {
  ASSERT_DONE(store_->keep(batch_of(1, "text\r\n", {"Policy"}), policies_, kNow));
  store_ = nullptr;
  store_ = open();
  auto again = store_->keep(batch_of(2, "text\r\n", {"Policy"}), policies_, kNow + 60);
  ASSERT_DONE(again);
  EXPECT_EQ(again->again, 1u);
  ASSERT_THAT(*store_->list({}), SizeIs(1));
  EXPECT_EQ(store_->list({})->front().mid, 2u);
  EXPECT_EQ(held("Policy"), 1u);
  EXPECT_EQ(contents(), 1u);

  // Under other rules it is in other quarantines, and only there.
  auto other = store_->keep(batch_of(3, "text\r\n", {"Legal"}), policies_, kNow + 120);
  ASSERT_DONE(other);
  ASSERT_THAT(*store_->list({}), SizeIs(1));
  EXPECT_EQ(store_->list({})->front().holds[0].quarantine, "Legal");
  EXPECT_EQ(held("Policy"), 0u);
  EXPECT_EQ(contents(), 1u);
  store_->confirm(other->id);

  // Confirmed, the same bytes are a message of their own, and so are those of another sender.
  EXPECT_FALSE(store_->keep(batch_of(4, "text\r\n", {"Legal"}), policies_, kNow + 180)->again);
  Batch stranger = batch_of(5, "text\r\n", {"Legal"});
  stranger.identity = identity_of("c@example.org", {"b@example.net"}, {"text\r\n"});
  EXPECT_FALSE(store_->keep(stranger, policies_, kNow + 180)->again);
  EXPECT_THAT(*store_->list({}), SizeIs(3));
  // So they are after the time in which senders try again.
  EXPECT_FALSE(store_->keep(stranger, policies_, kNow + 181 + kUnconfirmedAge)->again);
}

TEST_P(Quarantines, SettledAnswersOutliveTheProcess) {
  for (const bool settled : {true, false}) {
    const std::string text = settled ? "settled" : "not settled";
    auto kept = store_->keep(batch_of(1, text, {"Policy"}), policies_, kNow);
    ASSERT_DONE(kept);
    store_->confirm(kept->id);
    if (settled) {
      ASSERT_DONE(store_->settle(kNow));
    }
    store_ = nullptr;
    store_ = open();
    EXPECT_EQ(store_->keep(batch_of(2, text, {"Policy"}), policies_, kNow)->again.has_value(), !settled);
  }
}

TEST_P(Quarantines, WhatWasReleasedOrDeletedMeanwhileStaysSo) {
  ASSERT_DONE(store_->keep(batch_of(1, "one\r\n", {"Policy"}), policies_, kNow));
  ASSERT_DONE(store_->keep(batch_of(2, "two\r\n", {"Policy"}), policies_, kNow));
  const auto entries = *store_->list({});
  ASSERT_DONE(store_->release(entries[0].id, "", "admin", kNow + 1));
  ASSERT_DONE(store_->erase(entries[1].id, "admin", kNow + 1));
  ASSERT_DONE(store_->sent(outbox()[0].id));
  EXPECT_EQ(store_->keep(batch_of(3, "one\r\n", {"Policy"}), policies_, kNow + 60)->again, 1u);
  EXPECT_EQ(store_->keep(batch_of(4, "two\r\n", {"Policy"}), policies_, kNow + 60)->again, 2u);
  EXPECT_THAT(*store_->list({}), IsEmpty());
  EXPECT_THAT(outbox(), IsEmpty());
}

TEST_P(Quarantines, SeveralEntriesShareOneContent) {
  const std::string original = "original\r\n";
  Batch batch = batch_of(1, original, {"Policy"});
  batch.entries[0].copy = Copy::original;
  batch.entries.push_back(batch.entries[0]);
  batch.entries[1].copy = Copy::duplicate;
  batch.entries[1].holds = {{"Legal", "f", ""}};
  batch.entries.push_back(batch.entries[0]);
  batch.entries[2].content = {"another\r\n"};
  ASSERT_DONE(store_->keep(batch, policies_, kNow));
  EXPECT_EQ(contents(), 2u);
  const auto entries = *store_->list({});
  ASSERT_THAT(entries, SizeIs(3));
  EXPECT_EQ(entries[0].copy, Copy::original);
  EXPECT_EQ(entries[1].copy, Copy::duplicate);
  ASSERT_DONE(store_->erase(entries[0].id, "admin", kNow));
  EXPECT_EQ(*store_->content(entries[1].content), original);
  ASSERT_DONE(store_->erase(entries[1].id, "admin", kNow));
  EXPECT_EQ(contents(), 1u);
}

TEST_P(Quarantines, ListsAreNarrowedByEachThing) {
  for (uint64_t i = 1; i <= 6; ++i) {
    const std::string text = "message " + std::to_string(i);
    Batch batch = batch_of(i, text, {i % 2 == 0 ? "Policy" : "Legal"});
    Entry& entry = batch.entries[0];
    entry.from = "Sender" + std::to_string(i) + "@example.org";
    entry.recipients = {"x@example.net", "rcpt" + std::to_string(i) + "@example.net"};
    entry.header_from = "Person " + std::to_string(i);
    entry.subject =
        "Re: 100% \xc3\x9c"
        "ber_" +
        std::to_string(i);
    entry.message_id = "<" + std::to_string(i) + "@host>";
    entry.holds[0].filter = "filter" + std::to_string(i % 3);
    ASSERT_DONE(store_->keep(batch, policies_, kNow + static_cast<int64_t>(i)));
  }
  const auto mids = [&](const Search& search) {
    std::vector<uint64_t> out;
    auto listed = store_->list(search);
    EXPECT_TRUE(listed) << (listed ? "" : listed.error().text());
    for (const Listed& entry : *listed) out.push_back(entry.mid);
    return out;
  };
  const auto with = [](auto member, auto value) {
    Search search;
    search.*member = value;
    return search;
  };
  EXPECT_THAT(mids({}), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(mids(with(&Search::quarantine, "Policy")), ElementsAre(2, 4, 6));
  EXPECT_THAT(mids(with(&Search::filter, "filter1")), ElementsAre(1, 4));
  EXPECT_THAT(mids(with(&Search::from, "sENDER3@")), ElementsAre(3));
  EXPECT_THAT(mids(with(&Search::from, "person 5")), ElementsAre(5));
  EXPECT_THAT(mids(with(&Search::to, "RCPT2@")), ElementsAre(2));
  EXPECT_THAT(mids(with(&Search::subject,
                        "100% \xc3\x9c"
                        "BER_4")),
              ElementsAre(4));
  EXPECT_THAT(mids(with(&Search::subject, "ber%4")), IsEmpty()) << "no wildcards";
  EXPECT_THAT(mids(with(&Search::subject, "' OR 1=1 --")), IsEmpty());
  EXPECT_THAT(mids(with(&Search::message_id, "6@HOST")), ElementsAre(6));
  EXPECT_THAT(mids(with(&Search::mid, uint64_t{2})), ElementsAre(2));
  EXPECT_THAT(mids(with(&Search::kept_before, kNow + 3)), ElementsAre(1, 2));
  EXPECT_THAT(mids(with(&Search::kept_after, kNow + 5)), ElementsAre(5, 6));
  Search page;
  page.most = 2;
  page.after = store_->list({})->at(1).id;
  EXPECT_THAT(mids(page), ElementsAre(3, 4));
  ASSERT_DONE(store_->erase(store_->list({})->at(0).id, "admin", kNow));
  EXPECT_THAT(mids({}), ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(mids(with(&Search::ended, true)), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_P(Quarantines, TidyForgetsWhatIsOver) {
  const int64_t old = put(1, "one\r\n", {"Policy"});
  const int64_t held_still = put(2, "two\r\n", {"Policy"});
  ASSERT_DONE(store_->erase(old, "admin", kNow));
  const int64_t later = kNow + Store::kRecordDays * 86400 + 1;
  ASSERT_DONE(store_->tidy(later - 10));
  EXPECT_TRUE(store_->show(old));
  ASSERT_DONE(store_->tidy(later));
  EXPECT_EQ(store_->show(old).error().cause(), base::Cause::not_found);
  EXPECT_EQ(store_->show(held_still)->state, "held");
  EXPECT_EQ(*store_->content(store_->show(held_still)->content), "two\r\n");
}

TEST_P(Quarantines, TidyRemovesLeftOverFiles) {
  if (postgres()) return;  // contents are rows
  put(1, "one\r\n", {"Policy"});
  const std::string left = directory_ + "/messages/00/00000000000000000000000000000000";
  std::filesystem::create_directories(directory_ + "/messages/00");
  {
    std::ofstream(left) << "left over";
  }
  const auto now = static_cast<int64_t>(std::time(nullptr));
  ASSERT_DONE(store_->tidy(now));
  EXPECT_TRUE(std::filesystem::exists(left)) << "its row may be about to come";
  ASSERT_DONE(store_->tidy(now + 3700));
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_EQ(contents(), 1u);
}

POSTERN_EVERY_STORE(Quarantines);

}  // namespace
}  // namespace postern::store

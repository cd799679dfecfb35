// SPDX-License-Identifier: Apache-2.0
// The outbox: what a message leaves to be sent waits until the MTA has its answer, belongs to one gateway at a time,
// and is there until it is sent.
#include <gmock/gmock.h>

#include "test/unit/store_fixture.h"

namespace postern::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Outbox : public StoreTest {
 protected:
  static Batch notice(uint64_t mid, std::string_view content, std::string_view notice) {
    Batch batch = batch_of(mid, content, {});
    batch.mails.push_back(
        {MailKind::notify, "", {"admin@example.org", "b \xff%@example.org"}, {notice, "\r\nend\r\n"}, 8});
    return batch;
  }
};

TEST_P(Outbox, MailGoesOutOnceTheMtaHasItsAnswer) {
  auto kept = store_->keep(notice(7, "message\r\n", "Subject: notice\r\n"), policies_, kNow);
  ASSERT_DONE(kept);
  EXPECT_FALSE(kept->again);
  auto claimed = store_->claim_due(kNow + 10, 10);
  ASSERT_DONE(claimed);
  EXPECT_THAT(*claimed, IsEmpty()) << "the MTA may not have the answer";

  store_->confirm(kept->id);
  ASSERT_DONE(store_->settle(kNow + 20));
  claimed = store_->claim_due(kNow + 20, 10);
  ASSERT_DONE(claimed);
  ASSERT_EQ(claimed->size(), 1u);
  const Outgoing mail = claimed->front();
  EXPECT_EQ(mail.kind, MailKind::notify);
  EXPECT_EQ(mail.from, "");
  EXPECT_THAT(mail.recipients, ElementsAre("admin@example.org", "b \xff%@example.org")) << "byte for byte";
  EXPECT_EQ(mail.cause_mid, 7u);
  EXPECT_EQ(mail.mid, 8u);
  EXPECT_EQ(mail.attempts, 0u);
  auto content = store_->content(mail.content);
  ASSERT_DONE(content);
  EXPECT_EQ(*content, "Subject: notice\r\n\r\nend\r\n");
  EXPECT_EQ(mail.size, content->size());

  ASSERT_DONE(store_->sent(mail.id));
  EXPECT_EQ(store_->sent(mail.id).error().cause(), base::Cause::not_found);
  EXPECT_EQ(store_->content(mail.content).error().cause(), base::Cause::not_found);
  EXPECT_EQ(contents(), 0u);
}

TEST_P(Outbox, UnconfirmedMailGoesOutWhenTheSenderDoesNotComeAgain) {
  ASSERT_DONE(store_->keep(notice(7, "message\r\n", "x"), policies_, kNow));
  EXPECT_THAT(*store_->claim_due(kNow + kUnconfirmedWait - 1, 10), IsEmpty());
  EXPECT_EQ(store_->claim_due(kNow + kUnconfirmedWait, 10)->size(), 1u);
}

TEST_P(Outbox, AMessageThatComesAgainLeavesOneNotice) {
  const Batch first = notice(7, "message\r\n", "first notice");
  ASSERT_DONE(store_->keep(first, policies_, kNow));
  store_ = nullptr;
  store_ = open();
  auto again = store_->keep(notice(9, "message\r\n", "second notice"), policies_, kNow + 300);
  ASSERT_DONE(again);
  EXPECT_EQ(again->again, 7u);
  store_->confirm(again->id);
  ASSERT_DONE(store_->settle(kNow + 300));
  auto claimed = store_->claim_due(kNow + 301, 10);
  ASSERT_DONE(claimed);
  ASSERT_EQ(claimed->size(), 1u);
  EXPECT_EQ(claimed->front().cause_mid, 9u);
  EXPECT_EQ(*store_->content(claimed->front().content), "first notice\r\nend\r\n");
  EXPECT_EQ(contents(), 1u);

  // It has been confirmed: the same message once more is another message.
  auto third = store_->keep(notice(10, "message\r\n", "third"), policies_, kNow + 400);
  ASSERT_DONE(third);
  EXPECT_FALSE(third->again);
}

TEST_P(Outbox, WhatWasSentIsNotSentAgainForAMessageThatComesAgain) {
  ASSERT_DONE(store_->keep(notice(7, "message\r\n", "first"), policies_, kNow));
  auto claimed = store_->claim_due(kNow + kUnconfirmedWait, 10);
  ASSERT_DONE(claimed);
  ASSERT_EQ(claimed->size(), 1u);
  ASSERT_DONE(store_->sent(claimed->front().id));
  ASSERT_DONE(store_->keep(notice(9, "message\r\n", "second"), policies_, kNow + 2 * kUnconfirmedWait));
  EXPECT_THAT(*store_->claim_due(kNow + 9 * kUnconfirmedWait, 10), IsEmpty());
}

TEST_P(Outbox, UnderOtherRulesAMessageThatComesAgainIsKeptAnew) {
  ASSERT_DONE(store_->keep(notice(7, "message\r\n", "first"), policies_, kNow));
  Batch other = notice(9, "message\r\n", "second");
  other.mails[0].recipients = {"other@example.org"};
  auto again = store_->keep(other, policies_, kNow + 300);
  ASSERT_DONE(again);
  EXPECT_EQ(again->again, 7u);
  auto all = store_->outbox(0, 10);
  ASSERT_DONE(all);
  ASSERT_EQ(all->size(), 1u);
  EXPECT_THAT(all->front().recipients, ElementsAre("other@example.org"));
  EXPECT_EQ(contents(), 1u);
}

TEST_P(Outbox, AClaimBelongsToOneGatewayUntilItsLeaseEnds) {
  for (const std::string_view text : {"one", "two", "three"}) {
    ASSERT_DONE(store_->queue({MailKind::alert, "", {"admin@example.org"}, {text}, 0}, 0, kNow));
  }
  const auto other = open("mx2");
  auto mine = store_->claim_due(kNow, 2);
  auto theirs = other->claim_due(kNow, 10);
  ASSERT_DONE(mine);
  ASSERT_DONE(theirs);
  ASSERT_EQ(mine->size(), 2u);
  ASSERT_EQ(theirs->size(), 1u);
  EXPECT_EQ(*store_->content(mine->at(0).content), "one") << "oldest first";
  EXPECT_EQ(*other->content(theirs->at(0).content), "three");
  EXPECT_THAT(*other->claim_due(kNow + kLease - 1, 10), IsEmpty());
  ASSERT_DONE(other->sent(theirs->front().id));
  EXPECT_EQ(other->claim_due(kNow + kLease, 10)->size(), 2u);
  // What is somebody else's now is not given back by the first.
  ASSERT_DONE(store_->forget_claims());
  EXPECT_THAT(*store_->claim_due(kNow + kLease + 1, 10), IsEmpty());
  ASSERT_DONE(other->forget_claims());
  EXPECT_EQ(store_->claim_due(kNow + kLease + 1, 10)->size(), 2u);
}

TEST_P(Outbox, RetriesAndFailures) {
  ASSERT_DONE(store_->queue({MailKind::bcc, "a@example.org", {"b@example.org"}, {"text"}, 3}, 2, kNow));
  const int64_t id = store_->claim_due(kNow, 10)->front().id;
  ASSERT_DONE(store_->retry(id, kNow + 60, "451 4.3.0 not \xffnow\r\n"));
  EXPECT_THAT(*store_->claim_due(kNow + 59, 10), IsEmpty());
  auto again = store_->claim_due(kNow + 60, 10);
  ASSERT_DONE(again);
  ASSERT_EQ(again->size(), 1u);
  EXPECT_EQ(again->front().attempts, 1u);
  EXPECT_EQ(again->front().last_error, "451 4.3.0 not \\xffnow");
  ASSERT_DONE(store_->failed(id, "550 5.1.1 no such user"));
  EXPECT_THAT(*store_->claim_due(kNow + 9999, 10), IsEmpty());
  auto listed = store_->outbox(0, 10);
  ASSERT_DONE(listed);
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().state, Outgoing::State::failed);
  EXPECT_EQ(listed->front().attempts, 2u);
  ASSERT_DONE(store_->remove(id));
  EXPECT_THAT(*store_->outbox(0, 10), IsEmpty());
  for (const auto& result : {store_->retry(id, kNow, ""), store_->failed(id, ""), store_->remove(id)}) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().cause(), base::Cause::not_found);
  }
}

TEST_P(Outbox, LargeAndEmptyContents) {
  std::string large(3'500'000, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 2654435761u >> 13);
  const std::string_view view = large;
  ASSERT_DONE(
      store_->queue({MailKind::bcc, "", {"b@example.org"}, {view.substr(0, 1000), view.substr(1000)}, 0}, 0, kNow));
  ASSERT_DONE(store_->queue({MailKind::bcc, "", {"b@example.org"}, {}, 0}, 0, kNow));
  ASSERT_DONE(store_->queue({MailKind::bcc, "", {"b@example.org"}, {view.substr(0, 1u << 20)}, 0}, 0, kNow));
  auto claimed = store_->claim_due(kNow, 10);
  ASSERT_DONE(claimed);
  ASSERT_EQ(claimed->size(), 3u);
  EXPECT_TRUE(*store_->content(claimed->at(0).content) == large);
  EXPECT_EQ(*store_->content(claimed->at(1).content), "");
  EXPECT_TRUE(*store_->content(claimed->at(2).content) == view.substr(0, 1u << 20));
}

TEST(StoreWhere, Faults) {
  EXPECT_EQ(Store::where_fault("sqlite:/var/lib/postern/postern.db"), "");
  EXPECT_EQ(Store::where_fault("postgresql:service=postern"), "");
  EXPECT_EQ(Store::where_fault("postgresql://db.example.org/postern"), "");
  for (const char* wrong : {"", "sqlite:", "sqlite:relative.db", "postgresql:", "/var/lib/x.db", "mysql:x"}) {
    EXPECT_NE(Store::where_fault(wrong), "") << wrong;
  }
}

POSTERN_EVERY_STORE(Outbox);

}  // namespace
}  // namespace postern::store

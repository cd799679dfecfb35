// SPDX-License-Identifier: Apache-2.0
// diff: scripts by hand for the cases an administrator would recognise, and random ones against both MTA models.
#include <gtest/gtest.h>

#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "engine/message/changes.h"
#include "test/support/changes_case.h"
#include "test/support/fake_mta.h"

namespace postern::message {
namespace {

using test::FakeMta;
using test::Field;

// One line a step: "change-header Subject 1: new".
std::vector<std::string> script(Message& message) {
  std::vector<std::string> lines;
  for (const Change& change : diff(message).changes) {
    std::string line(op_name(change.op));
    if (!change.name.empty()) line += " " + change.name;
    if (change.index != 0) line += " " + std::to_string(change.index);
    if (change.op != Op::delete_header && change.op != Op::replace_body) line += ":" + change.value;
    lines.push_back(line);
  }
  return lines;
}

class ChangesTest : public ::testing::Test {
 protected:
  void receive(const std::vector<Field>& fields) {
    for (const Field& field : fields) message_.headers.add_received(field.name, field.value);
  }
  void envelope(const std::string& from, const std::vector<std::string>& recipients) {
    message_.envelope.from = from;
    for (const std::string& address : recipients) message_.envelope.recipients.push_back({address, {}});
    message_.keep_received_envelope();
  }
  void recipients_become(const std::vector<std::string>& recipients) {
    message_.envelope.recipients.clear();
    for (const std::string& address : recipients) message_.envelope.recipients.push_back({address, {}});
  }
  base::Limits limits_;
  Message message_{limits_};
  using Lines = std::vector<std::string>;
};

TEST_F(ChangesTest, NothingEditedGivesNothing) {
  receive({{"From", " a@x"}, {"Subject", " s"}});
  envelope("a@x", {"b@y"});
  message_.set_body("body\r\n");
  EXPECT_EQ(script(message_), Lines{});
  message_.headers.change(1, "s");
  EXPECT_EQ(script(message_), Lines{}) << "the same value again is no change";
}

TEST_F(ChangesTest, OneChangeIsOneStep) {
  receive({{"From", " a@x"}, {"Subject", "no space"}, {"To", " b@y"}});
  message_.headers.change(1, "new\n folded");
  EXPECT_EQ(script(message_), (Lines{"change-header Subject 1: new\n folded"}));
}

TEST_F(ChangesTest, RepeatedFieldsGoFromTheLastInstance) {
  receive({{"Authentication-Results", " forged 1"},
           {"From", " a@x"},
           {"authentication-results", " forged 2"},
           {"Subject", " s"},
           {"Authentication-Results", " forged 3"}});
  message_.headers.remove_received("Authentication-Results");
  EXPECT_EQ(script(message_), (Lines{"delete-header Authentication-Results 3", "delete-header authentication-results 2",
                                     "delete-header Authentication-Results 1"}));
}

TEST_F(ChangesTest, InsertionsEndInTheRightOrder) {
  receive({{"From", " a@x"}});
  message_.headers.insert_top("X-One", "1");
  message_.headers.insert_top("X-Two", "2");
  message_.headers.append("X-Three", "3");
  message_.headers.append("X-Four", "4");
  EXPECT_EQ(script(message_), (Lines{"insert-header X-One: 1", "insert-header X-Two: 2", "add-header X-Three: 3",
                                     "add-header X-Four: 4"}));
}

TEST_F(ChangesTest, StrippedAndInsertedAgainInPlaceIsAChange) {
  receive({{"From", " a@x"}, {"Subject", " s"}});
  message_.headers.remove(1);
  message_.headers.append("Subject", "[tag] s");
  EXPECT_EQ(script(message_), (Lines{"change-header Subject 1: [tag] s"}));
}

TEST_F(ChangesTest, StrippedAndInsertedElsewhereIsTwoSteps) {
  receive({{"From", " a@x"}, {"Subject", " s"}, {"To", " b@y"}, {"Date", " d"}});
  message_.headers.remove(1);
  message_.headers.append("Subject", "[tag] s");
  EXPECT_EQ(script(message_), (Lines{"delete-header Subject 1", "insert-header Subject 1000000: [tag] s"}));
}

TEST_F(ChangesTest, ThreeChangesThatAreAShiftAreTwoSteps) {
  receive({{"X", " 1"}, {"X", " 2"}, {"X", " 3"}});
  for (size_t i = 0; i < 3; ++i) message_.headers.change(i, std::to_string(i + 2));
  EXPECT_EQ(script(message_), (Lines{"delete-header X 1", "insert-header X 1000000: 4"}));
}

TEST_F(ChangesTest, ThirtyStepsAtOnce) {
  std::vector<Field> fields;
  for (int i = 0; i < 30; ++i) fields.push_back({"X-" + std::to_string(i), " v"});
  receive(fields);
  for (size_t i = 0; i < 30; ++i) message_.headers.change(i, "w");
  const Lines lines = script(message_);
  ASSERT_EQ(lines.size(), 30u);
  EXPECT_EQ(lines.front(), "change-header X-29 1: w");
  EXPECT_EQ(lines.back(), "change-header X-0 1: w");
}

TEST_F(ChangesTest, RemovedAndPutBackIsNothing) {
  receive({{"From", " a@x"}, {"Subject", " s"}});
  message_.headers.remove(1);
  message_.headers.append("Subject", "s");
  EXPECT_EQ(script(message_), Lines{});
}

TEST_F(ChangesTest, AFieldOfAnotherSpellingIsAnotherField) {
  receive({{"subject", " s"}});
  message_.headers.remove(0);
  message_.headers.append("Subject", "s");
  EXPECT_EQ(script(message_), (Lines{"delete-header subject 1", "insert-header Subject 1000000: s"}));
}

TEST_F(ChangesTest, NoValueCarriesALineEnd) {
  receive({{"Subject", " s"}});
  message_.headers.change(0, "x\r\nBcc: victim@y\r\n\r\nbody");
  message_.headers.append("X-File", std::string("a\0b\rc", 5));
  for (const Change& change : diff(message_).changes) {
    EXPECT_EQ(change.value.find_first_of(std::string_view("\r\0", 2)), std::string::npos);
    EXPECT_EQ(change.value.find("\nBcc"), std::string::npos);
    EXPECT_EQ(change.value.find("\nbody"), std::string::npos);
  }
}

TEST_F(ChangesTest, FoldsOfAFileBecomeLineFeeds) {
  // The field is put back below another one, so it travels again with the fold it came with.
  receive({{"X-Long", " one\r\n two"}, {"A", " a"}, {"B", " b"}, {"C", " c"}});
  message_.headers.append("X-Long", "one\n two");
  message_.headers.remove(0);
  EXPECT_EQ(script(message_), (Lines{"delete-header X-Long 1", "insert-header X-Long 1000000: one\n two"}));
}

TEST_F(ChangesTest, SenderAndRecipients) {
  envelope("a@x", {"b@y", "c@y", "d@y"});
  message_.envelope.from = "";
  recipients_become({"c@y", "e@y", "e@y"});
  EXPECT_EQ(script(message_),
            (Lines{"change-from:", "delete-recipient:b@y", "delete-recipient:d@y", "add-recipient:e@y"}));
}

TEST_F(ChangesTest, ASenderThatWasNeverToldIsNotChanged) {
  message_.keep_received_envelope();
  EXPECT_EQ(script(message_), Lines{});
}

TEST_F(ChangesTest, OneCopyToAMailbox) {
  envelope("a@x", {"b@y", "b@y", "C@y", "d@y"});
  recipients_become({"b@y", "C@y", "c@y", "d@y", "d@y"});
  EXPECT_EQ(script(message_), Lines{}) << "copies and other spellings of what is there";
  recipients_become({"b@y", "c@y", "d@y"});
  EXPECT_EQ(script(message_), (Lines{"delete-recipient:C@y", "add-recipient:c@y"}));
  recipients_become({"d@y"});
  EXPECT_EQ(script(message_), (Lines{"delete-recipient:b@y", "delete-recipient:C@y"}));
}

TEST_F(ChangesTest, PostfixHasTheFirstSpellingOnly) {
  envelope("a@x", {"b@y", "B@y", "c@y"});
  recipients_become({"B@y", "c@y"});
  EXPECT_EQ(script(message_), (Lines{"delete-recipient:b@y", "add-recipient:B@y"}));
  recipients_become({"b@y", "c@y"});
  EXPECT_EQ(script(message_), (Lines{"delete-recipient:B@y"}));
  recipients_become({"c@y"});
  EXPECT_EQ(script(message_), (Lines{"delete-recipient:b@y", "delete-recipient:B@y"}));
}

TEST_F(ChangesTest, TheEndIsReachedByTwoWays) {
  // Sendmail puts an added field before the first of its name; only a new name may be added.
  receive({{"X", " 1"}, {"Y", " y"}});
  message_.headers.insert_top("T", "t");
  for (const char* name : {"X", "N", "n", "T", "Received"}) message_.headers.append(name, "new");
  EXPECT_EQ(script(message_), (Lines{"insert-header T: t", "insert-header X 1000000: new", "add-header N: new",
                                     "insert-header n 1000000: new", "insert-header T 1000000: new",
                                     "insert-header Received 1000000: new"}));
}

TEST_F(ChangesTest, TheBodyIsSentOnlyWhenItDiffers) {
  receive({{"Content-Type", " text/html"}, {"content-type", " text/plain"}, {"Content-Disposition", " inline"}});
  const std::string body = "one\r\ntwo\r\n";
  message_.set_body(body);
  mime::Pieces same;
  same.add_text("one\r\n");
  same.add_view(std::string_view(body).substr(5));
  message_.replace_body("text/html", "", std::move(same));
  EXPECT_EQ(script(message_), (Lines{"delete-header Content-Disposition 1", "delete-header content-type 2",
                                     "add-header MIME-Version: 1.0"}));
  mime::Pieces other;
  other.add_text("one\r\n");
  other.add_text("2wo\r\n");
  message_.replace_body("text/html", "8bit", std::move(other));
  auto list = diff(message_);
  EXPECT_EQ(list.changes.back().op, Op::replace_body);
  EXPECT_EQ(list.body.flatten(), "one\r\n2wo\r\n");
  EXPECT_EQ(message_.final_body().flatten(), "one\r\n2wo\r\n");
}

TEST_F(ChangesTest, AddingAFieldSendmailWouldMakeItselfReplacesTheDefault) {
  // Sendmail puts an added Date where its configuration has it, whatever a filter wants; the value must be there once.
  receive({{"From", " a@x"}, {"X", " 1"}});
  message_.headers.append("Date", "today");
  message_.headers.insert_top("X", "0");
  FakeMta mta(FakeMta::Dialect::sendmail, {{"From", " a@x"}, {"X", " 1"}}, {"Date", "From"});
  mta.apply(diff(message_));
  EXPECT_EQ(mta.headers(), (std::vector<Field>{{"X", " 0"}, {"Date", " today"}, {"From", " a@x"}, {"X", " 1"}}));
  EXPECT_TRUE(mta.own_received_intact());
}

TEST_F(ChangesTest, ThousandsOfEqualNamesStayFast) {
  for (int i = 0; i < 2000; ++i) message_.headers.add_received("X", " " + std::to_string(i % 7));
  for (int i = 0; i < 500; ++i) message_.headers.remove(static_cast<size_t>(i));
  for (int i = 0; i < 500; ++i) message_.headers.append("X", std::to_string(i % 5));
  const auto before = std::clock();
  const ChangeList list = diff(message_);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 5.0);
  std::vector<Field> received;
  for (const auto& field : message_.headers.received()) received.push_back({field.name, field.value});
  std::vector<Field> final;
  for (const auto& field : message_.headers) final.push_back({field.name, field.value});
  FakeMta mta(FakeMta::Dialect::postfix, received);
  mta.apply(list);
  EXPECT_EQ(mta.headers(), final);
}

TEST(FakeMtaTest, DialectsDifferWhereTheMtasDo) {
  ChangeList forwards;
  forwards.changes.push_back({Op::delete_header, "X", 1, ""});
  forwards.changes.push_back({Op::delete_header, "X", 2, ""});
  FakeMta postfix(FakeMta::Dialect::postfix, {{"X", " 1"}, {"X", " 2"}, {"X", " 3"}});
  FakeMta sendmail(FakeMta::Dialect::sendmail, {{"X", " 1"}, {"X", " 2"}, {"X", " 3"}});
  postfix.apply(forwards);
  sendmail.apply(forwards);
  EXPECT_EQ(postfix.headers(), (std::vector<Field>{{"X", " 2"}}));
  EXPECT_EQ(sendmail.headers(), (std::vector<Field>{{"X", " 3"}}));

  ChangeList early;  // an insertion before a change of Received uncovers Postfix's own
  early.changes.push_back({Op::insert_header, "A", 0, " a"});
  early.changes.push_back({Op::delete_header, "Received", 1, ""});
  FakeMta uncovered(FakeMta::Dialect::postfix, {{"Received", " 1"}});
  uncovered.apply(early);
  EXPECT_FALSE(uncovered.own_received_intact());

  ChangeList add;
  add.changes.push_back({Op::add_header, "X", 0, " new"});
  FakeMta at_end(FakeMta::Dialect::postfix, {{"X", " 1"}, {"Y", " 2"}});
  FakeMta before_first(FakeMta::Dialect::sendmail, {{"X", " 1"}, {"Y", " 2"}});
  at_end.apply(add);
  before_first.apply(add);
  EXPECT_EQ(at_end.headers(), (std::vector<Field>{{"X", " 1"}, {"Y", " 2"}, {"X", " new"}}));
  EXPECT_EQ(before_first.headers(), (std::vector<Field>{{"X", " new"}, {"X", " 1"}, {"Y", " 2"}}));

  ChangeList twice;  // an addition of what is there
  twice.changes.push_back({Op::add_recipient, "", 0, "a@x"});
  FakeMta copies(FakeMta::Dialect::postfix, {});
  FakeMta one(FakeMta::Dialect::sendmail, {});
  copies.set_envelope("", {"a@x", "A@x"});
  one.set_envelope("", {"a@x"});
  copies.apply(twice);
  one.apply(twice);
  EXPECT_EQ(copies.recipients(), (std::vector<std::string>{"a@x", "a@x"}));
  EXPECT_EQ(one.recipients(), (std::vector<std::string>{"a@x"}));
}

TEST(ChangesProperty, ScriptsGiveTheEditedMessageInBothDialects) {
  std::mt19937_64 random(20260101);
  std::vector<uint8_t> bytes;
  size_t with_steps = 0;
  for (int n = 0; n < 120000; ++n) {
    bytes.resize(20 + random() % 140);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    // Short headers are where the exhaustive comparison runs, so half of the cases are such.
    if (n % 2 == 0) bytes[0] = static_cast<uint8_t>(bytes[0] % 7);
    size_t steps = 0;
    const std::string wrong = test::check_changes(bytes, &steps);
    ASSERT_EQ(wrong, "") << "case " << n;
    with_steps += steps != 0 ? 1 : 0;
  }
  EXPECT_GT(with_steps, 100000u);
}

}  // namespace
}  // namespace postern::message

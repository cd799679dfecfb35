// SPDX-License-Identifier: Apache-2.0
// Routing by tables, and what holds where no directory answers; directories that answer are tested under a mail server
// (recipients_test.py).
#include "milter/stages/recipients.h"

#include <gtest/gtest.h>

namespace postern::stages {
namespace {

directory::Deadline soon() { return directory::Clock::now() + std::chrono::seconds(5); }

Routing by_table(std::string_view text) {
  std::vector<AddressTable::Fault> faults;
  Routing routing;
  routing.table = std::make_shared<const AddressTable>(AddressTable::read(text, faults));
  EXPECT_TRUE(faults.empty());
  return routing;
}

std::vector<std::string> recipients(const message::Message& message) {
  std::vector<std::string> out;
  for (const message::Recipient& recipient : message.envelope.recipients) out.push_back(recipient.address);
  return out;
}

TEST(Route, TableChangesRecipientsOnce) {
  message::Message message((base::Limits()));
  message.envelope.recipients = {{"Anna@old.example", {"NOTIFY=NEVER"}},
                                 {"keep@other.example", {"NOTIFY=NEVER"}},
                                 {"anna@new.example", {}},
                                 {"x@a.b.old.example", {}}};
  const RouteReport report =
      route(message, by_table("@old.example @new.example\n@new.example @newest.example\n@.old.example @sub.example\n"),
            {}, soon());
  EXPECT_FALSE(report.error);
  // What a recipient became is not looked up again.
  EXPECT_EQ(recipients(message), (std::vector<std::string>{"Anna@new.example", "keep@other.example",
                                                           "anna@newest.example", "x@sub.example"}));
  EXPECT_EQ(message.envelope.recipients[1].parameters.size(), 1u);
  ASSERT_EQ(report.changes.size(), 3u);
  EXPECT_EQ(report.changes[0].from, "Anna@old.example");
  EXPECT_EQ(report.changes[0].to, std::vector<std::string>{"Anna@new.example"});
}

TEST(Route, RecipientsThatBecomeOneAreOne) {
  message::Message message((base::Limits()));
  message.envelope.recipients = {{"a@old.example", {}}, {"a@new.example", {}}, {"A@NEW.example", {}}};
  EXPECT_FALSE(route(message, by_table("@old.example @new.example\n"), {}, soon()).error);
  EXPECT_EQ(recipients(message), std::vector<std::string>{"a@new.example"});
}

TEST(Route, NothingChangesWhereAnyQuestionHasNoAnswer) {
  message::Message message((base::Limits()));
  message.envelope.recipients = {{"a@old.example", {}}, {"b@other.example", {}}};
  Routing routing = by_table("@old.example @new.example\n");
  routing.queries.push_back({"gone", "query", {}, false, {}});
  const RouteReport report = route(message, routing, {}, soon());
  ASSERT_TRUE(report.error);
  EXPECT_TRUE(report.changes.empty());
  EXPECT_EQ(recipients(message), (std::vector<std::string>{"a@old.example", "b@other.example"}));
  // What the table answers needs no directory.
  message.envelope.recipients.pop_back();
  EXPECT_FALSE(route(message, routing, {}, soon()).error);
}

TEST(Accept, OnlyWhatAQueryIsAskedAboutCanBeUnknown) {
  Acceptance acceptance;
  EXPECT_TRUE(is_recipient(acceptance, {}, "a@in.example", "", soon()).value_or(false));
  acceptance.queries.push_back({"gone", "query", {"in.example", ".in.example"}, false, {}});
  EXPECT_TRUE(is_recipient(acceptance, {}, "a@other.example", "", soon()).value_or(false));
  EXPECT_FALSE(is_recipient(acceptance, {}, "a@in.example", "", soon()).has_value());
  EXPECT_FALSE(is_recipient(acceptance, {}, "a@SUB.in.example", "", soon()).has_value());
}

TEST(Chain, TheOtherDomainsAreThoseThatNobodyNames) {
  std::vector<QueryUse> chain;
  chain.push_back({"p", "one", {"a.example"}, false, {}});
  chain.push_back({"p", "rest", {}, true, {}});
  EXPECT_TRUE(asked_about(chain, "x@a.example"));
  EXPECT_TRUE(asked_about(chain, "x@b.example"));
  EXPECT_FALSE(asked_about({chain.data(), 1}, "x@b.example"));
  // Without profiles every question that is asked is an error: it tells which query was asked.
  const directory::Key keys[] = {{"x@a.example", {}, {}}, {"x@b.example", {}, {}}};
  const auto hits = ask_chain({}, chain, keys, soon());
  ASSERT_FALSE(hits[0].has_value());
  EXPECT_NE(hits[0].error().text().find("p.one"), std::string::npos);
  ASSERT_FALSE(hits[1].has_value());
  EXPECT_NE(hits[1].error().text().find("p.rest"), std::string::npos);
}

}  // namespace
}  // namespace postern::stages

// SPDX-License-Identifier: Apache-2.0
// The masquerade stage: which places change, in which order profiles decide, and that nothing changes where a
// directory could not be asked. Directories that answer are tested under a mail server (masquerade_test.py).
#include "milter/stages/masquerade.h"

#include <gtest/gtest.h>

#include "engine/message/changes.h"

namespace postern::stages {
namespace {

std::shared_ptr<const AddressTable> table(std::string_view text) {
  std::vector<AddressTable::Fault> faults;
  return std::make_shared<const AddressTable>(AddressTable::read(text, faults));
}

class Masquerade : public testing::Test {
 protected:
  Masquerade() : message_(base::Limits{}) {
    message_.envelope.from = "anna@in.example";
    message_.envelope.recipients = {{"bob@in.example", {}}};
    message_.keep_received_envelope();
  }

  void header(std::string_view name, std::string_view value) { message_.headers.add_received(name, value); }

  MasqueradeReport run(std::initializer_list<const MasqueradeProfile*> profiles, const Profiles& directories = {}) {
    const std::vector<const MasqueradeProfile*> list(profiles);
    return masquerade(message_, list, directories, directory::Clock::now() + std::chrono::seconds(5));
  }

  std::string value(size_t index) { return message_.headers[index].value; }

  message::Message message_;
};

TEST_F(Masquerade, ChangesEnvelopeAndFields) {
  header("From", " Anna <anna@in.example>");
  header("To", " bob@in.example, Carl <carl@out.example>");
  header("Cc", " Team: anna@in.example;");
  header("Reply-To", " anna@in.example");
  header("Sender", " anna@in.example");
  header("Subject", " anna@in.example");
  MasqueradeProfile profile;
  profile.table = table("@in.example @example.org\n");
  const MasqueradeReport report = run({&profile});
  EXPECT_FALSE(report.error);
  EXPECT_EQ(message_.envelope.from, "anna@example.org");
  EXPECT_EQ(message_.envelope.recipients[0].address, "bob@in.example");
  EXPECT_EQ(value(0), " Anna <anna@example.org>");
  EXPECT_EQ(value(1), " bob@example.org, Carl <carl@out.example>");
  EXPECT_EQ(value(2), " Team: anna@example.org;");
  EXPECT_EQ(value(3), " anna@example.org");
  EXPECT_EQ(value(4), " anna@in.example");
  EXPECT_EQ(value(5), " anna@in.example");
  ASSERT_EQ(report.changes.size(), 5u);
  EXPECT_EQ(report.changes[0].place, "envelope sender");
  EXPECT_EQ(report.changes[0].to, "anna@example.org");
}

TEST_F(Masquerade, ProfilesDecideInOrderAndOncePerAddress) {
  header("From", " anna@in.example");
  header("To", " bob@in.example");
  MasqueradeProfile first;
  first.table = table("anna@in.example  x@mid.example\n");
  first.headers = {"From"};
  MasqueradeProfile second;
  second.table = table("@in.example @example.org\n@mid.example @loop.example\n");
  second.envelope_sender = false;
  run({&first, &second});
  EXPECT_EQ(message_.envelope.from, "x@mid.example");
  EXPECT_EQ(value(0), " x@mid.example");
  EXPECT_EQ(value(1), " bob@example.org");
}

TEST_F(Masquerade, DomainsBoundWhatIsLookedAt) {
  header("From", " a@in.example");
  header("To", " a@sub.in.example, a@other.example");
  MasqueradeProfile profile;
  profile.table = table("a z@example.org\n");
  profile.domains = {".in.example"};
  run({&profile});
  EXPECT_EQ(value(0), " a@in.example");
  EXPECT_EQ(value(1), " z@example.org, a@other.example");
  EXPECT_EQ(message_.envelope.from, "anna@in.example");
}

TEST_F(Masquerade, NothingToDoLeavesNoTrace) {
  header("From", " =?utf-8?Q?anna=40keep.example?=");
  header("To", " Anna,  \n <anna@keep.example>");
  message_.envelope.from = "";
  MasqueradeProfile profile;
  profile.table = table("@in.example @example.org\n");
  const MasqueradeReport report = run({&profile});
  EXPECT_TRUE(report.changes.empty());
  EXPECT_FALSE(message_.headers.edited());
}

TEST_F(Masquerade, WhatReadersDifferAboutIsLeftAloneAndHeld) {
  header("From", " anna@in.example");
  header("To", " bob@in.example anna@in.example");
  MasqueradeProfile profile;
  profile.table = table("@in.example @example.org\n");
  profile.quarantine = "Policy";
  const MasqueradeReport report = run({&profile});
  EXPECT_EQ(value(0), " anna@example.org");
  EXPECT_EQ(value(1), " bob@in.example anna@in.example");
  ASSERT_EQ(report.left.size(), 1u);
  EXPECT_EQ(report.left[0].field, "To");
  EXPECT_EQ(report.quarantine, "Policy");
}

TEST_F(Masquerade, WithoutADirectoryNotAByteChanges) {
  header("From", " anna@in.example");
  header("To", " bob@in.example");
  directory::ProfileSettings settings;
  settings.name = "gone";
  settings.servers.push_back(*directory::read_server_url("ldapi:///nowhere"));
  settings.queries.emplace_back();
  settings.queries[0].name = "mail";
  settings.queries[0].filter = *directory::QueryTemplate::filter("(mail={a})");
  const Profiles directories{std::make_shared<directory::Profile>(settings, directory::KeySource{}, nullptr)};
  MasqueradeProfile certain;
  certain.table = table("anna@in.example anna@example.org\n");
  MasqueradeProfile asking;
  asking.queries = {{"gone", "mail", {}, false, {0, -1, -1, -1}}};
  const MasqueradeReport report = run({&certain, &asking}, directories);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->cause(), base::Cause::unavailable);
  EXPECT_TRUE(report.changes.empty());
  EXPECT_FALSE(message_.headers.edited());
  EXPECT_TRUE(message::diff(message_).changes.empty());
}

TEST(Domains, SubdomainsAreNamedByADot) {
  EXPECT_TRUE(in_domains("a.example", {}));
  EXPECT_TRUE(in_domains("A.example", {"a.example"}));
  EXPECT_FALSE(in_domains("x.a.example", {"a.example"}));
  EXPECT_TRUE(in_domains("x.a.example", {".a.example"}));
  EXPECT_FALSE(in_domains("a.example", {".a.example"}));
  EXPECT_FALSE(in_domains("xa.example", {".a.example"}));
}

}  // namespace
}  // namespace postern::stages

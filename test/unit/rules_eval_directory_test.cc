// SPDX-License-Identifier: Apache-2.0
// Rules that ask a directory: three answers, in every combination of several recipients, and never a fourth.
#include <map>

#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

// FakeDirectory knows for each address yes, no, or nothing.
class FakeDirectory : public Directory {
 public:
  std::map<std::string, char> members;  // 'y', 'n'; anything else: nobody could say
  std::string login = "ann";
  bool there = true;
  size_t questions = 0;

  std::vector<base::Result<bool>> in_group(std::span<const std::string> addresses, const std::string& group) override {
    EXPECT_EQ(group, "staff");
    ++questions;
    std::vector<base::Result<bool>> out;
    for (const std::string& address : addresses) {
      const auto found = members.find(address);
      if (found == members.end() || (found->second != 'y' && found->second != 'n')) {
        out.emplace_back(base::fail(base::Cause::unavailable, "nobody answers"));
      } else {
        out.emplace_back(found->second == 'y');
      }
    }
    return out;
  }
  base::Result<bool> is_login(const std::string& query, const std::string& address, const std::string& who) override {
    EXPECT_EQ(query, "corporate.logins");
    EXPECT_EQ(address, "sender@example.com");
    if (!there) return base::fail(base::Cause::unavailable, "nobody answers");
    return who == login;
  }
};

std::string ask_directory(std::string_view condition, Mail& mail, Directory* directory,
                          std::optional<std::string> recipient = std::nullopt) {
  const auto rules = load_filter(condition, {"no-op"}, recipient ? "phase: rcpt" : "");
  Facts facts(*mail.message, *rules, "inbound", 3);
  facts.directory = directory;
  facts.current_recipient = std::move(recipient);
  Outcome outcome;
  EvalOptions options;
  options.report_all = true;
  evaluate(*rules, facts.current_recipient ? Phase::rcpt : Phase::message, facts, options, outcome);
  return outcome.reports.empty() ? "(none)" : truth_text(outcome.reports.front().result);
}

constexpr std::string_view kText = "From: a@b.example\nSubject: x\n\nx\n";

TEST(RulesDirectory, SenderIsInAGroupOrNotOrNobodyKnows) {
  FakeDirectory directory;
  for (const auto& [answer, wanted] : {std::pair{'y', "true"}, {'n', "false"}, {'?', "unknown(directory)"}}) {
    Mail mail(kText);
    directory.members["sender@example.com"] = answer;
    EXPECT_EQ(ask_directory(R"(mail-from-group == "staff")", mail, &directory), wanted);
  }
  Mail mail(kText);
  EXPECT_EQ(ask_directory(R"(mail-from-group == "staff")", mail, nullptr), "unknown(directory)");
  EXPECT_EQ(ask_directory(R"(mail-from-group != "staff")", mail, nullptr), "unknown(directory)");
  EXPECT_EQ(ask_directory(R"(not true and mail-from-group == "staff")", mail, nullptr), "false");
  EXPECT_EQ(ask_directory(R"(true or mail-from-group == "staff")", mail, nullptr), "true");
  mail.message->envelope.from = "";
  EXPECT_EQ(ask_directory(R"(mail-from-group == "staff")", mail, nullptr), "false");
}

TEST(RulesDirectory, OneMemberDecidesForSeveralRecipients) {
  const char answers[] = {'y', 'n', '?'};
  for (const char a : answers) {
    for (const char b : answers) {
      for (const char c : answers) {
        FakeDirectory directory;
        directory.members = {{"a@x.example", a}, {"b@x.example", b}, {"c@x.example", c}};
        Mail mail(kText);
        mail.message->envelope.recipients = {{"a@x.example", {}}, {"b@x.example", {}}, {"c@x.example", {}}};
        const std::string all = {a, b, c};
        const bool yes = all.find('y') != std::string::npos;
        const bool open = all.find('?') != std::string::npos;
        EXPECT_EQ(ask_directory(R"(rcpt-to-group == "staff")", mail, &directory), yes    ? "true"
                                                                                  : open ? "unknown(directory)"
                                                                                         : "false")
            << all;
        EXPECT_EQ(ask_directory(R"(not rcpt-to-group == "staff")", mail, &directory), yes    ? "false"
                                                                                      : open ? "unknown(directory)"
                                                                                             : "true")
            << all;
        // Both in one round of questions.
        EXPECT_EQ(directory.questions, 2u);
      }
    }
  }
}

TEST(RulesDirectory, AtRcptOnlyTheRecipientInQuestionCounts) {
  FakeDirectory directory;
  directory.members = {{"a@x.example", 'y'}, {"b@x.example", 'n'}};
  Mail mail(kText);
  mail.message->envelope.recipients = {{"a@x.example", {}}};
  EXPECT_EQ(ask_directory(R"(rcpt-to-group == "staff")", mail, &directory, "b@x.example"), "false");
  EXPECT_EQ(ask_directory(R"(rcpt-to-group == "staff")", mail, &directory, "a@x.example"), "true");
  EXPECT_EQ(ask_directory(R"(rcpt-to-group == "staff")", mail, &directory, "c@x.example"), "unknown(directory)");
}

TEST(RulesDirectory, LoginsOfTheSender) {
  FakeDirectory directory;
  constexpr std::string_view kRule = R"(smtp-auth-id-in-directory == "corporate.logins")";
  Mail mail(kText);
  EXPECT_EQ(ask_directory(kRule, mail, &directory), "false");
  mail.message->envelope.auth_user = "ann";
  EXPECT_EQ(ask_directory(kRule, mail, &directory), "true");
  EXPECT_EQ(ask_directory(R"(smtp-auth-id-in-directory != "corporate.logins")", mail, &directory), "false");
  mail.message->envelope.auth_user = "bob";
  EXPECT_EQ(ask_directory(kRule, mail, &directory), "false");
  directory.there = false;
  EXPECT_EQ(ask_directory(kRule, mail, &directory), "unknown(directory)");
  EXPECT_EQ(ask_directory(kRule, mail, nullptr), "unknown(directory)");
  mail.message->envelope.from = "";
  EXPECT_EQ(ask_directory(kRule, mail, &directory), "false");
}

}  // namespace
}  // namespace postern::rules::test

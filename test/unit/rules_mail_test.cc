// SPDX-License-Identifier: Apache-2.0
// Mail that filters make: who gets it, what stands in it, and that nothing from the message becomes more than text.
#include <gmock/gmock.h>

#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

using Kind = GeneratedMail::Kind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kText =
    "From: Ann <ann@x.test>\nTo: bob@y.test\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nX-Old: yes\n\nHello.\n";

Outcome act(Mail& mail, const std::vector<std::string>& actions, std::string_view more = "") {
  const auto rules = load_filter("true", actions, more);
  return rules == nullptr ? Outcome() : run(*rules, mail);
}

std::string content(const Outcome& outcome, size_t index = 0) {
  return index < outcome.mails.size() ? lf(*outcome.mails[index].content) : std::string("(none)");
}

std::string head(const std::string& text) { return text.substr(0, text.find("\n\n")); }

TEST(RulesMail, CopyIsTheMessageAsItIsByThen) {
  Mail mail(kText);
  const Outcome outcome =
      act(mail, {"insert-header: {name: X-One, value: one}", "add-footer: below", "alt-mailhost: relay.example",
                 "bcc: {to: \"audit@mail.example\", subject: \"[copy] $Subject\", alt-mailhost: \"192.0.2.3\"}",
                 "strip-header: X-Old", "add-footer: later", "bcc-scan: two@mail.example", "archive: project-mail"});
  ASSERT_EQ(outcome.mails.size(), 3u);
  const GeneratedMail& bcc = outcome.mails[0];
  EXPECT_EQ(bcc.kind, Kind::bcc);
  EXPECT_EQ(bcc.from, "sender@example.com");
  EXPECT_THAT(bcc.recipients, ElementsAre("audit@mail.example"));
  EXPECT_EQ(bcc.host, "192.0.2.3");
  EXPECT_EQ(bcc.subject, "[copy] Grüße");
  const std::string first = content(outcome, 0);
  EXPECT_THAT(first, HasSubstr("X-Old: yes\nX-One: one\n\nHello.\nbelow\n"));
  EXPECT_THAT(first, HasSubstr("Subject: [copy] =?utf-8?b?R3LDvMOfZQ==?=\n"));
  EXPECT_THAT(first, Not(HasSubstr("later")));
  EXPECT_THAT(first, Not(HasSubstr("Alt-Mailhost")));
  const std::string second = content(outcome, 1);
  EXPECT_EQ(outcome.mails[1].kind, Kind::bcc_scan);
  EXPECT_THAT(second, HasSubstr("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n"));
  EXPECT_THAT(second, Not(HasSubstr("X-Old")));
  EXPECT_THAT(second, HasSubstr("Hello.\nbelow\nlater\n"));
  EXPECT_EQ(outcome.mails[2].kind, Kind::archive);
  EXPECT_EQ(outcome.mails[2].content, outcome.mails[1].content);  // kept once
  // The message itself goes on as if no copy had been made.
  EXPECT_EQ(mail.body(), "Hello.\nbelow\nlater\n");
  EXPECT_EQ(mail.header("Subject"), "=?utf-8?q?Gr=C3=BC=C3=9Fe?=");
}

TEST(RulesMail, BodyEditsMeetACopyBetweenThem) {
  const std::string_view with_part =
      "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\ntext\n--b\n"
      "Content-Type: application/pdf; name=a.pdf\n\npdf\n--b\nContent-Type: image/png; name=p.png\n\npng\n--b--\n";
  const std::vector<std::string> edits = {"add-footer: one", "drop-attachments-by-name: '\\.pdf$'", "add-footer: two",
                                          "drop-attachments-by-name: {pattern: '\\.png$', comment: gone}"};
  Mail plain(with_part);
  act(plain, edits);
  std::vector<std::string> with_copies;
  for (const std::string& edit : edits) {
    with_copies.push_back(edit);
    with_copies.push_back("bcc: a@b.example");
  }
  Mail copied(with_part);
  const Outcome outcome = act(copied, with_copies);
  EXPECT_EQ(copied.body(), plain.body());
  ASSERT_EQ(outcome.mails.size(), 4u);
  EXPECT_THAT(content(outcome, 0), HasSubstr("pdf"));
  EXPECT_THAT(content(outcome, 1), Not(HasSubstr("\npdf\n")));
  EXPECT_THAT(content(outcome, 1), HasSubstr("png"));
  EXPECT_THAT(content(outcome, 3), HasSubstr("gone"));
}

TEST(RulesMail, NoticeSaysWhatHappened) {
  Mail mail(kText);
  const Outcome outcome = act(mail, {"notify: postmaster@mail.example"});
  ASSERT_EQ(outcome.mails.size(), 1u);
  EXPECT_EQ(outcome.mails[0].from, "");
  const std::string text = content(outcome);
  EXPECT_THAT(head(text), HasSubstr("From: Postern <postmaster@mx1.example.org>\nTo: postmaster@mail.example\n"
                                    "Subject: Message notification\nDate: "));
  EXPECT_THAT(head(text), HasSubstr("\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n"));
  EXPECT_THAT(head(text), testing::ContainsRegex("Message-ID: <[0-9a-v]{26}\\.4711@mx1\\.example\\.org>"));
  for (const char* part : {"\"f\"", "MID 4711", "sender@example.com", "rcpt@example.org", "192.0.2.7", "X-Old: yes"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(outcome.reports[0].actions[0], "notify to postmaster@mail.example: Message notification");
}

TEST(RulesMail, NoticeWithTextAndMessage) {
  config::Sources sources;
  LoadContext context = default_context();
  context.notice_from = "Gate <gate@mail.example>";
  context.texts = {{"warn", sources.add_text("warn.txt", "Grüße an $From:\n$Header['X-Old'] is $$5\n")}};
  const uint32_t file = sources.add_text(
      "test.yaml",
      "filters:\n  - name: f\n    then: [{notify-copy: {to: \"a@b.example\", subject: \"Über $Subject\", "
      "template: warn, return-path: \"$EnvelopeFrom\"}}]\n");
  config::Diagnostics diagnostics(sources);
  const auto rules = RuleSet::load(sources, {file}, context, diagnostics);
  ASSERT_NE(rules, nullptr) << diagnostics.render();
  Mail mail(kText);
  const Outcome outcome = run(*rules, mail);
  ASSERT_EQ(outcome.mails.size(), 1u);
  EXPECT_EQ(outcome.mails[0].from, "sender@example.com");
  const std::string text = content(outcome);
  EXPECT_THAT(head(text), HasSubstr("From: Gate <gate@mail.example>\n"));
  EXPECT_THAT(head(text), HasSubstr("Subject: =?utf-8?"));
  EXPECT_THAT(text, HasSubstr("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
                              "Gr=C3=BC=C3=9Fe an Ann <ann@x.test>:\nyes is $5\n"));
  EXPECT_THAT(text, HasSubstr("Content-Type: message/rfc822\nContent-Disposition: attachment\n"
                              "Content-Transfer-Encoding: 7bit\n\n" +
                              std::string(kText)));
}

TEST(RulesMail, TooLargeAMessageIsAttachedByItsHeader) {
  base::Limits limits;
  limits.message_size = (1u << 20) + 300;
  Mail mail("Subject: big\nX-A: b\n\n" + std::string(400, 'x') + "\n", limits);
  const Outcome outcome = act(mail, {"notify-copy: a@b.example", "bcc: a@b.example"});
  EXPECT_THAT(content(outcome), HasSubstr("Content-Type: text/rfc822-headers\n"));
  EXPECT_THAT(content(outcome), HasSubstr("Subject: big\nX-A: b\n"));
  EXPECT_THAT(content(outcome), Not(HasSubstr("xxxx")));
  EXPECT_THAT(content(outcome, 1), HasSubstr("xxxx"));
}

TEST(RulesMail, RecipientsComeFromTheEnvelopeAndTheHeader) {
  Mail mail(kText);
  mail.message->envelope.recipients = {{"one@x.test", {}}, {"\"two, with@comma\"@x.test", {}}, {"ONE@x.test", {}}};
  for (int i = 0; i < 3000; ++i) mail.message->envelope.recipients.push_back({"r" + std::to_string(i) + "@x.test", {}});
  const Outcome outcome = act(mail, {"bcc: {to: $EnvelopeRecipients, return-path: ''}", "bcc: \"$From, $To, c@z.test\"",
                                     "notify: \"$Header['X-Old']\"", "notify: \"$Header['X-None']\""});
  ASSERT_EQ(outcome.mails.size(), 3u);
  EXPECT_EQ(outcome.mails[0].recipients.size(), 3002u);
  EXPECT_EQ(outcome.mails[0].recipients[1], "\"two, with@comma\"@x.test");
  EXPECT_EQ(outcome.mails[0].from, "");
  EXPECT_THAT(outcome.mails[1].recipients, ElementsAre("ann@x.test", "bob@y.test", "c@z.test"));
  EXPECT_THAT(outcome.mails[2].recipients, ElementsAre("yes"));  // a local name
  EXPECT_THAT(outcome.reports[0].detail, HasSubstr("there is no mail address to send it to"));
}

TEST(RulesMail, WhatComesFromTheMessageStaysText) {
  // Every way in which a field may carry line ends into a notice's header, its envelope or its parts.
  const std::string hostile =
      "From: =?utf-8?q?a=0D=0ABcc=3A_evil=40x.test=0D=0A?= <ann@x.test>\n"
      "Subject: =?utf-8?b?eA0KQmNjOiBldmlsQHgudGVzdA0KDQpib2R5?=\n"
      "Reply-To: \"a\r b\" <x@y.test>, evil@x.test\\\r, <a@b.test>RCPT TO:<evil@x.test>\n"
      "X-B: --=_postern_\n\nbody\n";
  Mail mail(hostile);
  mail.message->envelope.from = "a\rb@x.test";
  mail.message->envelope.recipients = {{"a@x.test>\r\nDATA", {}}, {"good@x.test", {}}, {"a b@x.test", {}}};
  const Outcome outcome =
      act(mail, {"notify: {to: \"$From\", subject: \"$Subject\", from: \"$From\", return-path: $EnvelopeFrom}",
                 "notify-copy: {to: \"$Header['Reply-To']\", from: \"$Header['Reply-To']\", subject: \"$AllHeaders\"}",
                 "bcc: {to: $EnvelopeRecipients, subject: \"$Subject\"}"});
  for (const GeneratedMail& each : outcome.mails) {
    EXPECT_EQ(each.from.find_first_of("\r\n <>"), std::string::npos) << each.from;
    for (const std::string& recipient : each.recipients) {
      EXPECT_EQ(recipient.find_first_of("\r\n <>"), std::string::npos) << recipient;
    }
    const std::string header = head(lf(*each.content));
    EXPECT_EQ(header.find('\r'), std::string::npos);
    EXPECT_THAT(header, Not(HasSubstr("\nBcc:")));
    if (each.kind == Kind::bcc) continue;
    // From, To, Subject, Date, Message-ID, Auto-Submitted, MIME-Version, Content-Type, Content-Transfer-Encoding.
    size_t fields = 1;
    for (size_t i = 0; i + 1 < header.size(); ++i) fields += header[i] == '\n' && header[i + 1] != ' ';
    EXPECT_EQ(fields, each.kind == Kind::notify ? 7u + 2u : 9u) << header;
  }
  ASSERT_EQ(outcome.mails.size(), 3u);
  EXPECT_THAT(outcome.mails[0].recipients, ElementsAre("ann@x.test"));
  EXPECT_EQ(outcome.mails[0].from, "");
  EXPECT_THAT(outcome.mails[2].recipients, ElementsAre("good@x.test"));
}

TEST(RulesMail, ObservedFiltersMakeNone) {
  Mail mail(kText);
  const Outcome outcome = act(mail,
                              {"notify: a@b.example", "notify-copy: a@b.example", "bcc: a@b.example",
                               "bcc-scan: a@b.example", "archive: project-mail"},
                              "mode: observe");
  EXPECT_TRUE(outcome.mails.empty());
  ASSERT_EQ(outcome.reports.size(), 1u);
  EXPECT_EQ(outcome.reports[0].actions.size(), 5u);
}

TEST(RulesMail, ACopyIsNotCopiedForScanningAgain) {
  const auto rules = load_filter("true", {"bcc-scan: a@b.example", "bcc: c@d.example"});
  Mail mail(kText);
  Facts facts(*mail.message, *rules, "inbound", 1);
  facts.is_copy = true;
  Outcome outcome;
  evaluate(*rules, Phase::message, facts, {}, outcome);
  ASSERT_EQ(outcome.mails.size(), 1u);
  EXPECT_EQ(outcome.mails[0].kind, Kind::bcc);
}

TEST(RulesMail, WithoutRoomTheMessageIsDeferred) {
  const auto rules = load_filter("true", {"bcc: a@b.example", "bcc: c@d.example", "notify: e@f.example"});
  Mail mail(kText);
  Facts facts(*mail.message, *rules, "inbound", 1);
  std::vector<uint64_t> asked;
  facts.reserve = [&](uint64_t bytes) {
    asked.push_back(bytes);
    return asked.size() < 2;
  };
  Outcome outcome;
  evaluate(*rules, Phase::message, facts, {}, outcome);
  EXPECT_EQ(asked.size(), 2u);  // the second copy is the first one's content
  EXPECT_EQ(outcome.mails.size(), 2u);
  EXPECT_TRUE(outcome.copies_refused);
}

TEST(RulesMail, NeedsTheBody) {
  const auto rules = load_filter("true", {"bcc: a@b.example"});
  EXPECT_EQ(rules->needs() & (kNeedBody | kNeedHeader | kNeedMail | kNeedRcpt),
            kNeedBody | kNeedHeader | kNeedMail | kNeedRcpt);
  message::Message message({});
  Facts facts(message, *rules, "inbound", 1);
  Outcome outcome;
  evaluate(*rules, Phase::message, facts, {}, outcome);
  EXPECT_TRUE(outcome.mails.empty());
}

}  // namespace
}  // namespace postern::rules::test

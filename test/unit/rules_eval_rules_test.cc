// SPDX-License-Identifier: Apache-2.0
// Every rule over messages made here: what it finds, what it does not find, and when it cannot tell.
#include <set>

#include "rules/actions.h"
#include "rules/tests.h"
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

constexpr std::string_view kPlain =
    "From: Ann <ann@example.com>\n"
    "To: Bob <bob@example.org>, \"Carl, C.\" <carl@example.org>\n"
    "Cc: team: dora@example.org, emil@example.org;\n"
    "Subject: =?utf-8?Q?[tender]_K=C3=BChlhaus?=\n"
    "X-Mailer: Bulk Sender 2.0\n"
    "X-Empty:\n"
    "X-Twice: one\n"
    "X-Twice: two\n"
    "Date: Sun, 15 Jun 2025 15:00:00 +0000\n"
    "MIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=utf-8\n"
    "\n"
    "Company  confidential. Company\nConfidential again.\n";

constexpr std::string_view kMixed =
    "From: a@example.com\n"
    "To: b@example.org\n"
    "Subject: files\n"
    "MIME-Version: 1.0\n"
    "Content-Type: multipart/mixed; boundary=\"b1\"\n"
    "\n"
    "--b1\n"
    "Content-Type: multipart/alternative; boundary=b2\n"
    "\n"
    "--b2\n"
    "Content-Type: text/plain\n"
    "\n"
    "hello red red\n"
    "--b2\n"
    "Content-Type: text/html\n"
    "\n"
    "<p>hello <b>red</b> red red</p>\n"
    "--b2--\n"
    "--b1\n"
    "Content-Type: application/octet-stream; name=\"setup.exe\"\n"
    "Content-Disposition: attachment; filename*=utf-8''Rechnung%E2%82%AC.pdf\n"
    "Content-Transfer-Encoding: base64\n"
    "\n"
    "TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAA\n"
    "--b1\n"
    "Content-Type: text/plain; name=notes.txt\n"
    "Content-Disposition: attachment\n"
    "Content-Transfer-Encoding: base64\n"
    "\n"
    "cmVkIHJlZCBibHVl\n"
    "--b1--\n";

struct Case {
  const char* condition;
  const char* expected;
};

void check(std::string_view text, const std::vector<Case>& cases) {
  for (const Case& each : cases) EXPECT_EQ(ask(each.condition, text), each.expected) << each.condition;
}

TEST(Tables, EveryRowHasCode) {
  for (const RuleRow& row : rule_table()) EXPECT_TRUE(has_evaluator(row.name)) << row.name;
  for (const ActionRow& row : action_table()) EXPECT_TRUE(has_action(row.name)) << row.name;
  for (const VariableRow& row : variable_table()) EXPECT_TRUE(has_variable(row.name)) << row.name;
  EXPECT_FALSE(has_evaluator("no-such-rule"));
  EXPECT_FALSE(has_action("no-such-action"));
  EXPECT_FALSE(has_variable("no-such-variable"));
}

TEST(Tables, EveryExampleRuns) {
  for (const RuleRow& row : rule_table()) {
    for (const std::string_view text : {kPlain, kMixed}) {
      const std::string answer = ask(row.example, text);
      // The second message has an attachment whose text nobody here can read.
      const bool unread = text == kMixed && row.cost == kCostText && answer == "unknown(unscannable)";
      // No directory is there.
      const bool open = row.cost == kCostDirectory && answer == "unknown(directory)";
      EXPECT_TRUE(answer == "true" || answer == "false" || unread || open) << row.example << " " << answer;
    }
  }
  for (const ActionRow& row : action_table()) {
    Mail mail(kMixed);
    const auto rules = load_filter("true", {std::string(row.example)});
    ASSERT_NE(rules, nullptr) << row.example;
    const Outcome outcome = run(*rules, mail);
    ASSERT_EQ(outcome.reports.size(), 1u) << row.example;
    ASSERT_EQ(outcome.reports[0].actions.size(), 1u) << row.example;
    EXPECT_TRUE(outcome.reports[0].actions[0].starts_with(row.name)) << outcome.reports[0].actions[0];
    const bool searches = row.name.starts_with("drop-attachments-where-");
    EXPECT_TRUE(outcome.reports[0].detail.empty() || searches) << row.example << " " << outcome.reports[0].detail;
  }
}

TEST(HeaderRules, Subject) {
  check(kPlain, {{R"(subject == "^\[tender\] Kühlhaus$")", "true"},
                 {R"(subject == "kühlhaus")", "false"},
                 {R"(subject == "(?i)KÜHLHAUS")", "true"},
                 {R"(subject != "tender")", "false"},
                 {R"(subject == "=\?utf-8")", "false"},
                 {R"(subject == "^")", "true"}});
  EXPECT_EQ(ask(R"(subject == "^")", "From: a@b\n\nx\n"), "false") << "an absent field has no value to match";
  EXPECT_EQ(ask(R"(subject != ".")", "From: a@b\n\nx\n"), "true");
  EXPECT_EQ(ask(R"(subject != ".")", "Subject:\n\nx\n"), "true");
}

TEST(HeaderRules, Header) {
  check(kPlain, {{R"(header("x-mailer") == "Bulk")", "true"},
                 {R"(header("X-Mailer"))", "true"},
                 {R"(header("X-None"))", "false"},
                 {R"(not header("X-None"))", "true"},
                 {R"(header("X-None") == "^")", "false"},
                 {R"(header("X-None") != "x")", "true"},
                 {R"(header("X-Empty"))", "true"},
                 {R"(header("X-Empty") == "^$")", "true"},
                 {R"(header("X-Twice") == "two")", "true"},
                 {R"(header("X-Twice") == "^one$")", "true"},
                 {R"(header("X-Twice") != "two")", "false"},
                 {R"(header("X-Twice") != "three")", "true"},
                 {R"(header-repeats("X-Twice"))", "true"},
                 {R"(header-repeats("X-Twice", 3))", "false"},
                 {R"(header-repeats("From"))", "false"},
                 {R"(header-repeats("From", 1))", "true"}});
}

TEST(HeaderRules, AddressCount) {
  check(kPlain, {{R"(addr-count("To") == 2)", "true"},
                 {R"(addr-count("Cc") == 2)", "true"},
                 {R"(addr-count("To", "Cc") > 3)", "true"},
                 {R"(addr-count("To", "Cc") > 4)", "false"},
                 {R"(addr-count("Bcc") == 0)", "true"},
                 {R"(addr-count("To") != 2)", "false"}});
}

TEST(HeaderRules, AddressCountIsALowerBoundWhenTheFieldCannotBeRead) {
  base::Limits limits;
  limits.addresses = 3;
  Mail mail("To: a@x, b@x, c@x, d@x, e@x\n\nx\n", limits);
  EXPECT_EQ(ask(R"(addr-count("To") > 2)", mail), "true");
  EXPECT_EQ(ask(R"(addr-count("To") > 4)", mail), "unknown(unscannable)");
  EXPECT_EQ(ask(R"(addr-count("To") < 3)", mail), "false");
  EXPECT_EQ(ask(R"(addr-count("To") < 100)", mail), "unknown(unscannable)");
  EXPECT_EQ(ask(R"(addr-count("To") == 1)", mail), "false");
  EXPECT_EQ(ask(R"(addr-count("To") != 1)", mail), "true");
  EXPECT_EQ(ask(R"(addr-count("To") <= 2)", mail), "false");
  EXPECT_EQ(ask(R"(addr-count("To") >= 3)", mail), "true");
}

TEST(EnvelopeRules, SenderAndRecipients) {
  check(kPlain, {{R"(mail-from == "@example\.com$")", "true"},
                 {R"(mail-from == "^$")", "false"},
                 {R"(mail-from != "@example\.com$")", "false"},
                 {R"(rcpt-to == "^rcpt@")", "true"},
                 {R"(rcpt-to != "^rcpt@")", "false"},
                 {"rcpt-count == 1", "true"},
                 {"rcpt-count > 1", "false"},
                 {R"(sendergroup == "^in")", "true"},
                 {R"(sendergroup != "outbound")", "true"}});
  Mail null(kPlain);
  null.message->envelope.from = "";
  EXPECT_EQ(ask(R"(mail-from == "^$")", null), "true");
  Mail several(kPlain);
  several.message->envelope.recipients = {{"a@x", {}}, {"b@y", {}}};
  EXPECT_EQ(ask(R"(rcpt-to == "@y$")", several), "true");
  EXPECT_EQ(ask(R"(rcpt-to != "@y$")", several), "false");
  EXPECT_EQ(ask("rcpt-count >= 2", several), "true");
  Mail unknown(kPlain);
  unknown.message->envelope.from.reset();
  EXPECT_EQ(ask(R"(mail-from == "x")", unknown), "unknown(unscannable)");
  EXPECT_EQ(ask(R"(mail-from != "x")", unknown), "unknown(unscannable)");
}

TEST(EnvelopeRules, RecipientInQuestion) {
  const auto rules = load_filter(R"(rcpt-to == "^b@")", {"reject"}, "phase: rcpt");
  ASSERT_NE(rules, nullptr);
  Mail mail(kPlain);
  mail.message->envelope.recipients = {{"b@x", {}}};
  Facts facts(*mail.message, *rules, "inbound", 0);
  Outcome outcome;
  facts.current_recipient = "a@x";
  evaluate(*rules, Phase::rcpt, facts, {}, outcome);
  EXPECT_EQ(outcome.verdict, VerdictKind::pass) << "only the recipient in question counts";
  facts.current_recipient = "b@x";
  evaluate(*rules, Phase::rcpt, facts, {}, outcome);
  EXPECT_EQ(outcome.verdict, VerdictKind::reject);
  facts.current_recipient = "c@x";
  evaluate(*rules, Phase::rcpt, facts, {}, outcome);
  EXPECT_EQ(outcome.verdict, VerdictKind::pass) << "a refused recipient says nothing about the next";
}

TEST(ConnectionRules, RemoteIp) {
  check(kPlain, {{R"(remote-ip == "192.0.2.7")", "true"},
                 {R"(remote-ip == "192.0.2.0/24")", "true"},
                 {R"(remote-ip == "192.0.2.5-9")", "true"},
                 {R"(remote-ip == "192.0.2.8-9")", "false"},
                 {R"(remote-ip == "192.0.")", "true"},
                 {R"(remote-ip == "10.0.0.0/8, 192.0.2.0/29")", "true"},
                 {R"(remote-ip != "10.0.0.0/8")", "true"},
                 {R"(remote-ip == "2001:db8::/32")", "false"}});
  Mail six(kPlain);
  six.message->connection.client_ip = "2001:db8::1";
  EXPECT_EQ(ask(R"(remote-ip == "2001:db8::/32")", six), "true");
  EXPECT_EQ(ask(R"(remote-ip == "0.0.0.0/0")", six), "false");
  six.message->connection.client_ip = "::ffff:10.1.2.3";
  EXPECT_EQ(ask(R"(remote-ip == "10.0.0.0/8")", six), "true");
  six.message->connection.client_ip.reset();
  EXPECT_EQ(ask(R"(remote-ip == "10.0.0.0/8")", six), "unknown(unscannable)");
  EXPECT_EQ(ask(R"(remote-ip != "10.0.0.0/8")", six), "unknown(unscannable)");
}

TEST(ConnectionRules, ListenerAndInterface) {
  check(kPlain, {{R"(recv-listener == "SMTP-in")", "true"},
                 {R"(recv-listener == "other")", "false"},
                 {R"(recv-listener != "other")", "true"},
                 {R"(recv-int == "192.0.2.25")", "true"}});
}

TEST(ConnectionRules, ClockAndLoad) {
  ASSERT_EQ(setenv("TZ", "UTC", 1), 0);
  tzset();
  check(kPlain, {{R"(date > "06/15/2025 15:06:39")", "true"},
                 {R"(date == "06/15/2025 15:06:40")", "true"},
                 {R"(date < "06/15/2025 15:06:40")", "false"},
                 {"workqueue-count == 3", "true"},
                 {"workqueue-count > 500", "false"},
                 {"true", "true"},
                 {"random(1)", "false"},
                 {"random(1) == 0", "true"},
                 {"random(7) < 7", "true"}});
  const auto rules = load_filter("random(2)", {"no-op"});
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    Mail mail("A: b\n\n");
    seen.insert(truth_text(run(*rules, mail).reports[0].result));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"false", "true"}));
}

TEST(ConnectionRules, AuthenticatedUser) {
  struct {
    const char* user;
    const char* from;
    const char* header;
    const char* condition;
    const char* expected;
  } const cases[] = {
      {"", "a@x", "From: a@x", R"(smtp-auth-id-matches("*None"))", "true"},
      {"", "a@x", "From: a@x", R"(smtp-auth-id-matches("*Any"))", "false"},
      {"", "a@x", "From: a@x", R"(smtp-auth-id-matches("*FromAddress"))", "false"},
      {"a@x", "a@x", "From: a@x", R"(smtp-auth-id-matches("*Any"))", "true"},
      {"a@x", "A@X", "From: b@x", R"(smtp-auth-id-matches("*EnvelopeFrom"))", "true"},
      {"a@x", "b@x", "From: b@x", R"(smtp-auth-id-matches("*EnvelopeFrom"))", "false"},
      {"a", "a@anywhere", "From: b@x", R"(smtp-auth-id-matches("*EnvelopeFrom"))", "true"},
      {"a@x", "", "From: a@x", R"(smtp-auth-id-matches("*EnvelopeFrom"))", "false"},
      {"a@x", "q@x", "From: B <b@x>, a@x", R"(smtp-auth-id-matches("*FromAddress"))", "true"},
      {"a@x", "q@x", "From: a+list@x", R"(smtp-auth-id-matches("*FromAddress"))", "false"},
      {"a@x", "q@x", "From: a+list@x", R"(smtp-auth-id-matches("*FromAddress", "+"))", "true"},
      {"a@x", "q@x", "From: =?utf-8?q?a=40x?= <evil@y>", R"(smtp-auth-id-matches("*FromAddress"))", "false"},
      {"a@x", "q@x", "Sender: a@x", R"(smtp-auth-id-matches("*Sender"))", "true"},
      {"a@x", "q@x", "From: a@x", R"(smtp-auth-id-matches("*Sender"))", "false"},
  };
  for (const auto& each : cases) {
    Mail mail(std::string(each.header) + "\n\nx\n");
    if (*each.user != '\0') mail.message->envelope.auth_user = each.user;
    mail.message->envelope.from = each.from;
    EXPECT_EQ(ask(each.condition, mail), each.expected) << each.user << " " << each.header << " " << each.condition;
  }
}

TEST(AttachmentRules, NamesTypesSizes) {
  check(kMixed, {{R"(attachment-filename == "(?i)\.EXE$")", "true"},
                 {R"(attachment-filename == "Rechnung€\.pdf$")", "true"},
                 {R"(attachment-filename == "notes")", "true"},
                 {R"(attachment-filename == "\.zip$")", "false"},
                 {R"(attachment-filename != "\.zip$")", "true"},
                 {R"(attachment-filename != "\.exe$")", "false"},
                 {R"(attachment-mimetype == "application/octet-stream")", "true"},
                 {R"(attachment-mimetype == "application/*")", "true"},
                 {R"(attachment-mimetype == "application/pdf")", "false"},
                 {R"(attachment-type == "application/pdf")", "true"},
                 {R"(attachment-type == "image/*")", "false"},
                 {R"(attachment-type != "image/*")", "true"},
                 {R"(attachment-mimetype == "text/html")", "false"},
                 {"attachment-size > 40", "true"},
                 {"attachment-size > 1k", "false"},
                 {"attachment-size < 20", "true"},
                 {"body-size > 10", "true"},
                 {"body-size > 1M", "false"}});
  check(kPlain, {{R"(attachment-filename == "^")", "false"},
                 {R"(attachment-filename != "x")", "true"},
                 {R"(attachment-mimetype == "text/*")", "false"},
                 {"attachment-size >= 0", "false"}});
  const std::string single = "Content-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n";
  check(single, {{R"(attachment-type == "image/png")", "true"}, {R"(attachment-filename == "^x\.png$")", "true"}});
  const std::string forwarded =
      "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: message/rfc822\n\n"
      "Subject: inner\nContent-Type: application/x-msdownload; name=in.exe\n\nMZ\n--b--\n";
  check(forwarded,
        {{R"(attachment-mimetype == "message/rfc822")", "true"}, {R"(attachment-filename == "in\.exe")", "true"}});
}

TEST(AttachmentRules, BehindALimitIsUnknownUnlessFound) {
  base::Limits limits;
  limits.mime_parts = 4;
  std::string text = "Content-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 20; ++i) {
    text += "--b\nContent-Type: application/x-" + std::to_string(i) + "; name=f" + std::to_string(i) + ".bin\n\nx\n";
  }
  text += "--b--\n";
  Mail mail(text, limits);
  EXPECT_EQ(ask(R"(attachment-filename == "^f0\.")", mail), "true");
  EXPECT_EQ(ask(R"(attachment-filename == "^f19\.")", mail), "unknown(unscannable)");
  EXPECT_EQ(ask(R"(attachment-filename != "^f19\.")", mail), "unknown(unscannable)");
  EXPECT_EQ(ask(R"(attachment-filename != "^f0\.")", mail), "false");
  EXPECT_EQ(ask(R"(attachment-size > 1G)", mail), "unknown(unscannable)");
  EXPECT_EQ(ask("valid", mail), "false");
  EXPECT_EQ(ask(R"(body-contains("nothing"))", mail), "unknown(unscannable)");
  EXPECT_EQ(ask("encrypted", mail), "unknown(unscannable)");
}

// A message with one part whose header fields are given, behind a first part of text.
std::string with_part(std::string_view fields, std::string_view content = "TVqQAAMA") {
  return "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n" + std::string(fields) + "\n" +
         std::string(content) + "\n--b--\n";
}

TEST(AttachmentRules, NamesOfEveryFieldAndEveryReading) {
  const std::string too_many_segments = [] {
    std::string out = "Content-Disposition: attachment";
    for (int i = 0; i < 98; ++i)
      out += ";\n filename*" + std::to_string(i) + "=" + (i < 94 ? "a" : ".exe"[i - 94] + std::string());
    return out + "\n";
  }();
  const std::string too_many_names = [] {
    std::string out = "Content-Disposition: attachment";
    for (int i = 0; i < 80; ++i) out += ";\n filename=b" + std::to_string(i);
    return out + "; filename=evil.exe\n";
  }();
  const struct {
    std::string fields;
    const char* expected;
  } cases[] = {
      {"Content-Disposition: attachment; filename=a.txt\nContent-Disposition: attachment; filename=evil.exe\n", "true"},
      {"Content-Type: text/plain; name=a.txt\nContent-Type: application/x-msdownload; name=evil.exe\n", "true"},
      {"Content-Disposition(x): attachment; filename=evil.exe\n", "true"},
      {"Content-Disposition: attachment; (x; filename=evil.exe\n", "true"},
      {"Content-Disposition: attachment (; filename=evil.exe)\n", "true"},
      {"Content-Disposition: attachment; foo=\"bar; filename=evil.exe\n", "true"},
      {"Content-Disposition: attachment;\vfilename=evil.exe\n", "true"},
      {"Content-Disposition: attachment; filename * = utf-8''evil.exe\n", "true"},
      {"Content-Type: name=evil.exe\n", "true"},
      {too_many_segments, "unknown(unscannable)"},
      {too_many_names, "unknown(unscannable)"},
      {"Content-Disposition: attachment; filename=a.txt\nContent-Disposition: attachment; filename=a.txt\n", "false"},
      {"Content-Type: text/plain; name=\"name=a.txt\"\n", "false"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(ask(R"(attachment-filename == "(?i)\.exe$")", with_part(each.fields)), each.expected) << each.fields;
  }
}

TEST(AttachmentRules, WhatReadersTakeApartDifferentlyIsNeverClean) {
  const std::string program = "Content-Type: application/x-msdownload; name=evil.exe\n\nMZ\n";
  const std::string cases[] = {
      "Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nhi\n--b\n" + program + "--b--\n--a--\n",
      "Content-Type: multipart/mixed; boundary=a\nContent-Type: multipart/mixed; boundary=b\n\n--a\n\nhi\n--b\n" +
          program + "--b--\n--a--\n",
      "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" + program + "--b--\n",
      "Content-Type: multipart; boundary=b\n\n--b\n" + program + "--b--\n",
      "Content-Type: multipart/mixed; boundary=b\n\n--bxyz\n" + program + "--bxyz--\n",
      "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n" + program + "----\n",
      "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: "
      "base64\n\nLS1iCkNvbnRlbnQtVHlwZTogYXBwbGljYXRpb24veC1tc2Rvd25sb2FkOyBuYW1lPWV2aWwuZXhlCgpNWgotLWItLQo=\n",
      with_part("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n",
                "Q29udGVudC1UeXBlOiBhcHBsaWNhdGlvbi94LW1zZG93bmxvYWQ7IG5hbWU9ZXZpbC5leGUKCk1aCg=="),
      "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + program + "--b--\n",
      "Content-Type: message/partial; id=x; number=1; total=2\n\nSubject: x\n\n" + program,
  };
  for (const std::string& each : cases) {
    EXPECT_NE(ask(R"(attachment-filename == "\.exe$")", each), "false") << each;
    EXPECT_NE(ask(R"(attachment-type != "application/x-msdownload")", each), "true") << each;
    Mail mail(each);
    const Outcome outcome = run(*load_filter("true", {R"(drop-attachments-by-name: '\.exe$')"}), mail);
    EXPECT_EQ(outcome.quarantines, std::vector<std::string>{"Policy"}) << each;
  }
}

TEST(ContentRules, TextThatReadersDecodeDifferentlyIsNeverClean) {
  const char* const kCases[] = {
      "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\nc2VjcmV0\n",
      "Content-Transfer-Encoding: 7bit base64\n\nc2VjcmV0\n",
      "Content-Transfer-Encoding: x-base64\n\nc2VjcmV0\n",
      "Content-Transfer-Encoding: x-uuencode\n\nsecret\nbegin 644 x\n#0V%T\n`\nend\n",
      "Content-Type: multipart/mixed\n\nsecret\n",
      "Content-Type: multipart/mixed; boundary=b\n\nsecret\n",
  };
  for (const char* const each : kCases) {
    EXPECT_EQ(ask(R"(body-contains("secret"))", each), "unknown(unscannable)") << each;
  }
  const char* const two_charsets = "Content-Type: text/plain; charset=utf-16; charset=us-ascii\n\nsecret\n";
  EXPECT_EQ(ask(R"(body-contains("secret"))", two_charsets), "true");
  EXPECT_EQ(ask(R"(body-contains("other"))", two_charsets), "unknown(unscannable)");
  EXPECT_EQ(
      ask(R"(body-contains("secret"))", "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: 7bit\n\nx\n"),
      "false");
}

TEST(ContentRules, BodyContains) {
  check(kPlain, {{R"(body-contains("(?i)company\s+confidential"))", "true"},
                 {R"(body-contains("(?i)company\s+confidential", 2))", "true"},
                 {R"(body-contains("(?i)company\s+confidential", 3))", "false"},
                 {R"(only-body-contains("Company"))", "true"},
                 {R"(only-body-contains("Company", 3))", "false"}});
  // The better alternative has three, the text attachment two.
  check(kMixed, {{R"(body-contains("red", 5))", "true"},
                 {R"(body-contains("red", 6))", "unknown(unscannable)"},  // the attachment may hold more
                 {R"(body-contains("blue"))", "true"},
                 {R"(body-contains("MZ"))", "unknown(unscannable)"},
                 {R"(only-body-contains("red", 2))", "true"},
                 {R"(only-body-contains("red", 3))", "false"},
                 {R"(only-body-contains("blue"))", "false"}});
}

TEST(ContentRules, DecodesBeforeItSearches) {
  check("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nK=FChl=\nhaus\n",
        {{R"(body-contains("Kühlhaus"))", "true"}});
  check("Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: base64\n\naABpACAA5AA=\n",
        {{R"(body-contains("hi ä"))", "true"}});
}

TEST(ContentRules, DamagedTextIsUnknownUnlessFound) {
  const std::string damaged =
      "Content-Type: text/plain; charset=x-no-such-charset\nContent-Transfer-Encoding: base64\n\nc2VjcmV0IHdvcmQ=\n";
  check(damaged, {{R"(body-contains("secret"))", "true"},
                  {R"(body-contains("other"))", "unknown(unscannable)"},
                  {R"(not body-contains("other"))", "unknown(unscannable)"},
                  {R"(only-body-contains("other"))", "unknown(unscannable)"},
                  {R"(only-body-contains("secret"))", "true"},
                  {R"(body-contains("other") and rcpt-count > 5)", "false"},
                  {R"(body-contains("other") or rcpt-count == 1)", "true"}});
  base::Limits limits;
  limits.decoded_text = 10;
  Mail mail("\nthis text is longer than ten bytes by far, and is not looked at when it does not fit\n", limits);
  EXPECT_EQ(ask(R"(body-contains("zzz"))", mail), "unknown(unscannable)");
}

TEST(ContentRules, BodyNeverDelivered) {
  const auto rules = load_filter(R"(body-contains("x") or valid or attachment-size > 1 or body-size > 1)", {"no-op"});
  message::Message message{base::Limits{}};
  message.headers.add_received("Subject", " x");
  Facts facts(message, *rules, "inbound", 0);
  EXPECT_EQ(truth_text(evaluate_condition(rules->filters()[0].body.condition, *rules, facts)), "unknown(unscannable)");
}

TEST(ContentRules, StructureDefects) {
  check(kPlain, {{"valid", "true"}, {"malformed-header", "false"}, {"duplicate-boundaries", "false"}});
  check(kMixed, {{"valid", "true"}, {"malformed-header", "false"}, {"duplicate-boundaries", "false"}});
  check("Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n", {{"valid", "false"}});
  check("Content-Type: multipart/mixed; boundary=b\n\nno delimiter\n", {{"valid", "false"}});
  check("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n", {{"valid", "false"}});
  check("Content-Type: text/plain\nContent-Type: text/html\n\nx\n",
        {{"valid", "false"}, {"malformed-header", "true"}, {"duplicate-boundaries", "false"}});
  check("Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nx\n--a--\n",
        {{"valid", "false"}, {"duplicate-boundaries", "true"}});
}

TEST(ContentRules, SignedAndEncrypted) {
  const auto multipart = [](std::string_view type) {
    return "Content-Type: " + std::string(type) + "; boundary=b\n\n--b\nContent-Type: text/plain\n\nx\n--b--\n";
  };
  check(multipart("multipart/signed"), {{"signed", "true"}, {"encrypted", "false"}});
  check(multipart("multipart/encrypted"), {{"signed", "false"}, {"encrypted", "true"}});
  check(kPlain, {{"signed", "false"}, {"encrypted", "false"}});
  const std::string smime =
      "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\n"
      "Content-Transfer-Encoding: base64\n\n";
  // ContentInfo with envelopedData says what it is, whatever the parameter claims.
  check(smime + "MIIBIQYJKoZIhvcNAQcDoIIBEjCCAQ4CAQA=\n", {{"signed", "false"}, {"encrypted", "true"}});
  check(smime + "MIIBIQYJKoZIhvcNAQcCoIIBEjCCAQ4CAQA=\n", {{"signed", "true"}, {"encrypted", "false"}});
  check(smime + "AAAA\n", {{"signed", "true"}, {"encrypted", "false"}});
  check(
      "Content-Type: application/octet-stream; name=smime.p7m\nContent-Transfer-Encoding: base64\n\n"
      "MIIBIQYJKoZIhvcNAQcDoIIBEjCCAQ4CAQA=\n",
      {{"encrypted", "true"}});
  check("Subject: x\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nhi\n", {{"signed", "true"}});
  check("Subject: x\n\nsee below\n-----BEGIN PGP MESSAGE-----\n\nhQ\n", {{"encrypted", "true"}, {"signed", "false"}});
  check("Subject: x\n\nI write -----BEGIN PGP MESSAGE----- inside a line\n", {{"encrypted", "false"}});
  // An encrypted attachment, or a forwarded encrypted message, does not make the message encrypted.
  check(
      "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: application/pkcs7-mime;\n"
      " smime-type=enveloped-data; name=a.p7m\n\nx\n--b--\n",
      {{"encrypted", "false"}});
  check(
      "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: message/rfc822\n\n"
      "Content-Type: multipart/encrypted; boundary=c\n\n--c\n\nx\n--c--\n\n--b--\n",
      {{"encrypted", "false"}});
}

TEST(Phases, LaterFactsAreUnknownEarlier) {
  const auto set = load_filter(R"(mail-from == "x" or subject == "x" or rcpt-to == "x")", {"no-op"});
  Mail mail(kPlain);
  mail.message->envelope.from.reset();
  Facts facts(*mail.message, *set, "inbound", 0);
  facts.phase = Phase::connect;
  for (const rules::Test& test : set->filters()[0].body.condition.tests) {
    EXPECT_EQ(truth_text(run_test(test, facts)), "unknown(unscannable)") << test.rule->name;
  }
  facts.phase = Phase::message;
  facts.headers_delivered = false;
  for (const rules::Test& test : set->filters()[0].body.condition.tests) {
    if (test.rule->name == "subject") {
      EXPECT_EQ(truth_text(run_test(test, facts)), "unknown(unscannable)");
    }
  }
}

}  // namespace
}  // namespace postern::rules::test

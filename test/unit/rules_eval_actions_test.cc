// SPDX-License-Identifier: Apache-2.0
// Every action on messages made here, and the action variables.
#include "rules/html_text.h"
#include "test/unit/rules_eval_fixture.h"

#include "engine/message/address.h"
#include "engine/mime/encoded_word.h"

namespace postern::rules::test {
namespace {

constexpr std::string_view kMessage =
    "Received: from a by b; Sun, 15 Jun 2025 15:00:00 +0000\n"
    "From: \"Doe, Jane\" <jane@example.com>\n"
    "To: bob@example.org\n"
    "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n"
    "X-Old: 1\n"
    "X-Old: 2\n"
    "MIME-Version: 1.0\n"
    "Content-Type: text/plain\n"
    "\n"
    "line one\n"
    "line two\n";

Outcome act(Mail& mail, const std::vector<std::string>& actions, std::string_view condition = "true") {
  const auto rules = load_filter(condition, actions);
  return rules == nullptr ? Outcome() : run(*rules, mail);
}

TEST(FinalActions, VerdictsAndReplies) {
  struct {
    const char* action;
    VerdictKind verdict;
    int code;
    const char* enhanced;
    const char* text;
  } const cases[] = {
      {"drop", VerdictKind::discard, 0, "", ""},
      {"bounce", VerdictKind::bounce, 550, "5.7.1", "Message refused by policy"},
      {"reject", VerdictKind::reject, 550, "5.7.1", "Message refused by policy"},
      {"reject: No thanks", VerdictKind::reject, 550, "5.7.1", "No thanks"},
      {R"(reject: {code: 554, enhanced: 5.7.0, text: "MID $MID: $Subject"})", VerdictKind::reject, 554, "5.7.0",
       "MID 4711: Grüße"},
      {"defer", VerdictKind::tempfail, 451, "4.7.1", "Message deferred by policy, please try again later"},
      {R"(defer: {code: 452, enhanced: 4.3.1, text: later})", VerdictKind::tempfail, 452, "4.3.1", "later"},
      {"skip-filters", VerdictKind::accept, 0, "", ""},
  };
  for (const auto& each : cases) {
    Mail mail(kMessage);
    const Outcome outcome = act(mail, {each.action});
    EXPECT_EQ(outcome.verdict, each.verdict) << each.action;
    EXPECT_EQ(outcome.reply.code, each.code) << each.action;
    EXPECT_EQ(outcome.reply.enhanced, each.enhanced) << each.action;
    EXPECT_EQ(outcome.reply.text, each.text) << each.action;
    EXPECT_EQ(outcome.decided_by, "f") << each.action;
  }
}

TEST(FinalActions, SkipFiltersInAnEarlyPhaseEndsThatPhaseOnly) {
  const auto rules = load("filters:\n" + filter("a", "true", {"skip-filters"}, "phase: connect") +
                          filter("b", R"(remote-ip == "192.0.2.7")", {"reject"}, "phase: connect") +
                          filter("c", R"(subject == "x")", {"no-op"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(kMessage);
  const Outcome outcome = run(*rules, mail, Phase::connect);
  EXPECT_EQ(outcome.verdict, VerdictKind::pass);
  EXPECT_EQ(outcome.reports.size(), 1u);
}

TEST(Marks, QuarantineTagLog) {
  Mail mail(kMessage);
  const Outcome outcome =
      act(mail, {"quarantine: Policy", "quarantine: Unscannable", "quarantine: Policy", "tag-message: t",
                 "tag-message: t", R"(log-entry: "$Subject from $EnvelopeFrom")", "no-op"});
  EXPECT_EQ(outcome.verdict, VerdictKind::pass);
  EXPECT_EQ(outcome.quarantines, (std::vector<std::string>{"Policy", "Unscannable"}));
  EXPECT_EQ(outcome.tags, std::vector<std::string>{"t"});
  EXPECT_EQ(outcome.log_entries, std::vector<std::string>{"f: Grüße from sender@example.com"});
}

TEST(Recipients, AltRcptToAndBcc) {
  Mail mail(kMessage);
  mail.message->envelope.recipients = {{"a@x.example", {"NOTIFY=NEVER"}}, {"b@x.example", {}}};
  mail.message->keep_received_envelope();
  act(mail, {"alt-rcpt-to: box@lab.example", "add-rcpt-to: audit@lab.example", "add-rcpt-to: AUDIT@lab.example"});
  const auto& recipients = mail.message->envelope.recipients;
  ASSERT_EQ(recipients.size(), 2u);
  EXPECT_EQ(recipients[0].address, "box@lab.example");
  EXPECT_TRUE(recipients[0].parameters.empty());
  EXPECT_EQ(recipients[1].address, "audit@lab.example");
  EXPECT_EQ(mail.headers().count("Bcc"), 0u);
}

TEST(InsertHeader, AppendsAndEncodes) {
  Mail mail(kMessage);
  act(mail,
      {R"(insert-header: {name: X-One, value: "$Subject, $MID"})", R"(insert-header: {name: X-Plain, value: "a  b"})"});
  EXPECT_EQ(mime::decode_words(mail.header("X-One")), "Grüße, 4711");
  EXPECT_TRUE(mail.header("X-One").find("=?") != std::string::npos);
  EXPECT_EQ(mail.header("X-Plain"), "a  b");
  EXPECT_EQ(mail.headers()[mail.headers().size() - 1].name, "X-Plain");
  Mail utf8(kMessage);
  utf8.message->envelope.smtputf8 = true;
  act(utf8, {R"(insert-header: {name: X-One, value: "$Subject"})"});
  EXPECT_EQ(utf8.header("X-One"), "Grüße");
}

TEST(InsertHeader, NothingCanBeSmuggledIn) {
  // The decoded subject holds line ends and a NUL; so do envelope and HELO when an MTA lets them through.
  const std::string text =
      "Subject: =?utf-8?Q?one=0D=0ABcc:_evil=40example.net=0D=0A=0D=0Abody=00x?=\n"
      "X-Long: =?utf-8?B?" +
      std::string(4000, 'A') + "?=\n\nbody\n";
  Mail mail(text);
  mail.message->envelope.from = "a\r\nX-Evil: 1\n\r\x01@example.com";
  act(mail,
      {R"(insert-header: {name: X-A, value: "$Subject"})", R"(insert-header: {name: X-B, value: "$EnvelopeFrom"})",
       R"(insert-header: {name: X-C, value: "$AllHeaders"})",
       R"(insert-header: {name: X-D, value: "$Header['X-Long']"})", R"(log-entry: "$Subject")", R"(tag-message: "x")"});
  for (const mime::HeaderField& field : mail.headers()) {
    size_t begin = 0;
    const std::string line = field.name + ":" + field.value;
    EXPECT_EQ(line.find('\r'), std::string::npos) << field.name;
    EXPECT_EQ(line.find('\0'), std::string::npos) << field.name;
    EXPECT_EQ(line.find('\x01'), std::string::npos) << field.name;
    while (begin < line.size()) {
      const size_t end = std::min(line.find('\n', begin), line.size());
      if (field.received < 0) {
        EXPECT_LE(end - begin, 998u) << field.name;
      }
      if (begin > 0) {
        EXPECT_TRUE(line[begin] == ' ' || line[begin] == '\t') << field.name;
      }
      begin = end + 1;
    }
  }
  EXPECT_EQ(mail.headers().count("Bcc"), 0u);
  EXPECT_EQ(mail.headers().count("X-Evil"), 0u);
  EXPECT_EQ(mail.headers().count("X-C"), 1u);
}

TEST(StripHeader, ReceivedInstancesGoOurTraceStays) {
  Mail mail(kMessage);
  mail.message->headers.insert_top("Received", "by mx1.example.org");
  mail.message->headers.insert_top("Authentication-Results", "mx1.example.org; spf=pass");
  mail.message->headers.append("DKIM-Signature", "v=1");
  const Outcome outcome = act(mail, {"strip-header: Received", "strip-header: Authentication-Results",
                                     "strip-header: DKIM-Signature", "strip-header: x-old", "strip-header: X-None"});
  EXPECT_EQ(mail.headers().count("Received"), 1u);
  EXPECT_EQ(mail.header("Received"), "by mx1.example.org");
  EXPECT_EQ(mail.headers().count("Authentication-Results"), 1u);
  EXPECT_EQ(mail.headers().count("DKIM-Signature"), 1u);
  EXPECT_EQ(mail.headers().count("X-Old"), 0u);
  EXPECT_EQ(outcome.reports[0].actions,
            (std::vector<std::string>{"strip-header Received (1)", "strip-header Authentication-Results (0)",
                                      "strip-header DKIM-Signature (0)", "strip-header x-old (2)",
                                      "strip-header X-None (0)"}));
}

TEST(StripHeader, SubjectCanBeRewrittenAgainAndAgain) {
  const auto rules =
      load("filters:\n" +
           filter("a", "true", {"strip-header: Subject", R"(insert-header: {name: Subject, value: "[a] $Subject"})"}) +
           filter("b", R"(subject == "^\[a\]")",
                  {"strip-header: Subject", R"(insert-header: {name: Subject, value: "[b] $Subject"})"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(kMessage);
  run(*rules, mail);
  EXPECT_EQ(mail.headers().count("Subject"), 1u);
  EXPECT_EQ(mime::decode_words(mail.header("Subject")), "[b] [a] Grüße");
}

struct EditCase {
  const char* field;
  const char* pattern;
  const char* replacement;
  const char* expected;  // decoded value
};

TEST(EditHeaderText, Unstructured) {
  const EditCase cases[] = {
      {"Subject: Re: RE: hello", "(?i)^(re:\\s*)+", "", "hello"},
      {"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus Rom", "Grüße", "Gruß", "Gruß aus Rom"},
      {"Subject: one two", "(\\w+) (\\w+)", "$2 $1", "two one"},
      {"Subject: price 5", "5", "5 €", "price 5 €"},
      {"Subject: same", "nothing", "x", "same"},
      {"Subject: gone", "^.*$", "", ""},
      {"Subject: =?utf-8?Q?a=0D=0AEvil:_1?=", "^a", "b", "b Evil: 1"},
      {"X-Code: a-b", "-", "", "ab"},
  };
  for (const EditCase& each : cases) {
    Mail mail(std::string(each.field) + "\n\nx\n");
    const std::string name(each.field, std::string_view(each.field).find(':'));
    act(mail, {"edit-header-text: {name: " + name + ", pattern: '" + each.pattern + "', replacement: '" +
               each.replacement + "'}"});
    EXPECT_EQ(mime::decode_words(mail.header(name)), each.expected) << each.field;
    EXPECT_EQ(mail.headers().size(), 1u);
    for (const char c : mail.header(name)) EXPECT_LT(static_cast<unsigned char>(c), 0x80) << each.field;
  }
}

std::string mailboxes(std::string_view value) {
  std::string out;
  const message::AddressList list = message::parse_address_list(value, 1000);
  for (const message::Mailbox& mailbox : list.mailboxes) {
    if (!out.empty()) out += "|";
    if (!mailbox.group.empty()) out += mailbox.group + ":";
    out += mailbox.display + "<" + mailbox.addr_spec() + ">";
  }
  return list.malformed ? out + " malformed" : out;
}

TEST(EditHeaderText, AddressFieldsStayAddressLists) {
  const EditCase cases[] = {
      {"From: Jane <jane@old.example>", "@old\\.example", "@new.example", "Jane<jane@new.example>"},
      {"From: \"Doe, Jane\" <jane@old.example>", "old", "new", "Doe, Jane<jane@new.example>"},
      {"From: =?utf-8?Q?Doe=2C_J=C3=A4ne?= <jane@old.example>", "old", "new", "Doe, Jäne<jane@new.example>"},
      {"From: =?utf-8?Q?J=C3=A4ne?= Smith <jane@old.example>", "Jäne", "Jörg", "Jörg Smith<jane@old.example>"},
      {"From: Jane <jane@old.example>", "Jane", "Jäne", "Jäne<jane@old.example>"},
      {"To: a@x.example, \"B, b\" <b@x.example>, =?utf-8?B?w6Q=?= <c@x.example>", "x\\.example", "y.example",
       "<a@y.example>|B, b<b@y.example>|ä<c@y.example>"},
      {"To: =?utf-8?Q?Gr=C3=BCn?=: a@x.example, B <b@x.example>;", "x\\.example", "y.example",
       "Grün:<a@y.example>|Grün:B<b@y.example>"},
      // A word that decodes to an address stays a name.
      {"From: =?utf-8?Q?ceo=40bank.example=3E=2C_?= <e@x.example>", "x\\.example", "y.example",
       "ceo@bank.example>,<e@y.example>"},
      // What would be no list any more is left alone.
      {"From: Jane <jane@old.example>", "<.*>", "<<,", "Jane<jane@old.example>"},
      {"From: Jane <jane@old.example>", "^.*$", "", "Jane<jane@old.example>"},
      {"From: Jane <jane@old.example>", "jane@", "jäne@", "Jane<jane@old.example>"},
  };
  for (const EditCase& each : cases) {
    Mail mail(std::string(each.field) + "\n\nx\n");
    const std::string name(each.field, std::string_view(each.field).find(':'));
    act(mail, {"edit-header-text: {name: " + name + ", pattern: '" + each.pattern + "', replacement: '" +
               each.replacement + "'}"});
    EXPECT_EQ(mailboxes(mail.header(name)), each.expected) << each.field;
    for (const char c : mail.header(name)) EXPECT_LT(static_cast<unsigned char>(c), 0x80) << each.field;
  }
}

TEST(EditHeaderText, RefusalIsReported) {
  Mail mail("From: Jane <jane@old.example>\n\nx\n");
  const Outcome outcome = act(mail, {"edit-header-text: {name: From, pattern: '<.*>', replacement: '<<,'}"});
  ASSERT_EQ(outcome.reports.size(), 1u);
  EXPECT_TRUE(outcome.reports[0].detail.find("left as it was") != std::string::npos) << outcome.reports[0].detail;
}

TEST(EditHeaderText, TwoHundredRecipients) {
  std::string value;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    const std::string n = std::to_string(i);
    value += (i == 0 ? "" : ",\n ") + std::string("=?utf-8?Q?M=C3=BCller=2C_") + n + "?= <u" + n + "@old.example>";
    expected += (i == 0 ? "" : "|") + std::string("Müller, ") + n + "<u" + n + "@new.example>";
  }
  Mail mail("To: " + value + "\n\nx\n");
  act(mail, {"edit-header-text: {name: To, pattern: '@old\\.example', replacement: '@new.example'}"});
  const std::string edited = mail.header("To");
  EXPECT_EQ(mailboxes(edited), expected);
  size_t begin = 0;
  while (begin < edited.size()) {
    const size_t end = std::min(edited.find('\n', begin), edited.size());
    EXPECT_LE(end - begin, 998u);
    begin = end + 1;
  }
}

TEST(RouteHeaders, OursOnly) {
  Mail mail("X-Postern-Alt-Mailhost: evil.example\nx-postern-alt-src-host: evil\nSubject: s\n\nx\n");
  act(mail, {"alt-mailhost: first.example", "alt-mailhost: second.example", "alt-src-host: 192.0.2.9"});
  EXPECT_EQ(mail.headers().count("X-Postern-Alt-Mailhost"), 1u);
  EXPECT_EQ(mail.header("X-Postern-Alt-Mailhost"), "second.example") << "the same action again overrides";
  EXPECT_EQ(mail.headers().count("X-Postern-Alt-Src-Host"), 1u);
  EXPECT_EQ(mail.header("X-Postern-Alt-Src-Host"), "192.0.2.9");
  Mail other("X-Postern-Alt-Mailhost: evil.example\nSubject: s\n\nx\n");
  act(other, {"insert-header: {name: X, value: y}"});
  EXPECT_EQ(other.headers().count("X-Postern-Alt-Mailhost"), 0u) << "a sender may not choose the route";
}

TEST(Variables, Values) {
  ASSERT_EQ(setenv("TZ", "UTC", 1), 0);
  tzset();
  const std::string text =
      "From: =?utf-8?Q?J=C3=A4ne?= <j@x.example>\nTo: b@y.example\nSubject: hi $MID\nX-V: v\n"
      "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext red\n--b\nContent-Type: image/png; name=a.png\n\nxyz\n"
      "--b\nContent-Type: application/pdf; name=b.pdf\n\npdf\n--b--\n";
  struct {
    const char* value;
    const char* expected;
  } const cases[] = {
      {"$Subject", "hi $MID"},
      {"$MID", "4711"},
      {"$QueueID", "Q1"},
      {"$EnvelopeFrom/$EnvelopeSender", "sender@example.com/sender@example.com"},
      {"$EnvelopeRecipients", "rcpt@example.org, two@example.org"},
      {"$filenames", "a.png, b.pdf"},
      {"$filesizes", "3, 3"},
      {"$filetypes", "image/png, application/pdf"},
      {"$FilterName", "f"},
      {"$MatchedContent", "red"},
      {"$Header['X-V']", "v"},
      {"$Header[\"x-v\"]", "v"},
      {"$Header['X-None']", ""},
      {"$Group $Policy", "inbound inbound"},
      {"$Hostname", "mx1.example.org"},
      {"$RecvListener $RecvInt $RemoteIP $remotehost", "smtp-in 192.0.2.25 192.0.2.7 client.example.com"},
      {"$Date $Time", "06/15/2025 15:06:40"},
      {"$GMTimeStamp", "Sun, 15 Jun 2025 15:06:40 +0000"},
      {"$Timestamp", "Sun, 15 Jun 2025 15:06:40 +0000"},
      {"$SMTPAuthID", "user1"},
      {"$From", "Jäne <j@x.example>"},
      {"$To", "b@y.example"},
      {"$dropped_filename,$dropped_filenames,$dropped_filetypes", ",,"},
      {"$envelopefrom", "sender@example.com"},
  };
  for (const auto& each : cases) {
    std::string quoted;
    for (const char* c = each.value; *c != '\0'; ++c) quoted += *c == '\'' ? std::string("''") : std::string(1, *c);
    Mail mail(text);
    mail.message->queue_id = "Q1";
    mail.message->envelope.recipients.push_back({"two@example.org", {}});
    mail.message->envelope.auth_user = "user1";
    const Outcome outcome = act(mail, {"log-entry: '" + quoted + "'"}, R"(body-contains("r.d"))");
    ASSERT_EQ(outcome.log_entries.size(), 1u) << each.value;
    EXPECT_EQ(outcome.log_entries[0], "f: " + std::string(each.expected)) << each.value;
  }
}

TEST(Variables, BodySizeAndAllHeaders) {
  Mail mail("A: 1\nB: 2\n\nxyz\n");
  const Outcome outcome = act(mail, {"log-entry: \"$BodySize $AllHeaders\""});
  EXPECT_EQ(outcome.log_entries[0], "f: 19 A: 1 B: 2");
}

TEST(Variables, AreBounded) {
  Mail mail("Subject: " + std::string(200'000, 'x') + "\n\n");
  mail.message->envelope.recipients.assign(5000, {std::string(60, 'r') + "@example.org", {}});
  const Outcome outcome =
      act(mail, {R"(insert-header: {name: X, value: "$Subject $Subject $EnvelopeRecipients $AllHeaders"})",
                 R"(log-entry: "$AllHeaders")"});
  EXPECT_LT(mail.header("X").size(), 40'000u);
  EXPECT_LT(outcome.log_entries[0].size(), 5'000u);
}

TEST(HtmlText, PlacesOfTexts) {
  struct {
    const char* html;
    const char* expected;
  } const cases[] = {
      {"<html><body>x</body></html>", "<html><body>[h]x[f]</body></html>"},
      {"<HTML><BODY bgcolor=\"a>b\">x</BODY>", "<HTML><BODY bgcolor=\"a>b\">[h]x[f]</BODY>"},
      {"x", "[h]x\r\n[f]"},
      {"<html>x</html>\n", "<html>[h]x[f]</html>\n"},
      {"<!DOCTYPE html>\n<p>x\n", "<!DOCTYPE html>[h]\n<p>x\n[f]"},
      {"<body>x<!-- </body> -->y</body>", "<body>[h]x<!-- </body> -->y[f]</body>"},
      {"<body><script>'</body>'</script>y</body>", "<body>[h]<script>'</body>'</script>y[f]</body>"},
      {"<body>a</body>b</body>", "<body>[h]a</body>b[f]</body>"},
      {"<bodyguard>x", "[h]<bodyguard>x\r\n[f]"},
      {"<body title=\"never closed>x", "<body title=\"never closed>[h]x\r\n[f]"},
      {"</body><body>x", "</body><body>[h]x\r\n[f]"},
      {"", "[h]\r\n[f]"},
  };
  for (const auto& each : cases) {
    std::string out = html_with_texts(each.html, "h", "f");
    for (const auto& [from, to] : {std::pair("<div>h</div>", "[h]"), std::pair("<div>f</div>\r\n", "[f]")}) {
      const size_t at = out.find(from);
      ASSERT_NE(at, std::string::npos) << each.html << " -> " << out;
      out.replace(at, std::string_view(from).size(), to);
    }
    EXPECT_EQ(out, each.expected);
  }
  EXPECT_EQ(html_block("a<b> & \"c\"\r\nü\n"), "<div>a&lt;b&gt; &amp; &quot;c&quot;<br>\r\n&#252;</div>");
}

}  // namespace
}  // namespace postern::rules::test

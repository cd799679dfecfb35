// SPDX-License-Identifier: Apache-2.0
// Actions on content: text replaced in each part's own charset and coding, HTML made text, attachments dropped by what
// is in them; and nothing changed where a part is signed, encrypted or unreadable.
#include "rules/dictionary_file.h"
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

Outcome act(Mail& mail, const std::vector<std::string>& actions, std::string_view more = "") {
  const auto rules = load_filter("true", actions, more);
  return rules == nullptr ? Outcome() : run(*rules, mail);
}

std::string text_mail(std::string_view headers, std::string_view body) {
  return "From: a@example.com\nSubject: s\nMIME-Version: 1.0\n" + std::string(headers) + "\n" + std::string(body);
}

const std::string kEdit = R"(edit-body-text: {pattern: '(?i)secret(s?)', replacement: "[word$1]"})";

TEST(EditBodyText, InThePartsOwnCharsetAndCoding) {
  struct {
    const char* what;
    const char* headers;
    const char* body;
    const char* expected;
  } const cases[] = {
      {"7bit", "Content-Type: text/plain\n", "a Secret here\nand secrets\n", "a [word] here\nand [words]\n"},
      {"no match", "Content-Type: text/plain\n", "nothing  \n", "nothing  \n"},
      {"quoted-printable",
       "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n",
       "K=FChl se=\ncret\n", "K=FChl [word]\n"},
      {"8bit", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n", "ü secret\n",
       "ü [word]\n"},
      {"html", "Content-Type: text/html\n", "<p class=secret>a secret &amp; <a href=\"http://secret/\">b</a>\n",
       "<p class=\"[word]\">a [word] &amp; <a href=\"http://[word]/\">b</a>\n"},
  };
  for (const auto& each : cases) {
    Mail mail(text_mail(each.headers, each.body));
    const Outcome outcome = act(mail, {kEdit});
    EXPECT_EQ(mail.body(), each.expected) << each.what;
    EXPECT_EQ(outcome.reports[0].detail, "") << each.what;
  }
  Mail base64(text_mail("Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64\n",
                        mime::encode_base64("\xD3\xC5\xCB\xD2\xC5\xD4 secret\r\n")));
  act(base64, {kEdit});
  EXPECT_EQ(base64.header("Content-Type"), "text/plain; charset=koi8-r");
  EXPECT_EQ(base64.body(), lf(mime::encode_base64("\xD3\xC5\xCB\xD2\xC5\xD4 [word]\r\n")));
  Mail wider(text_mail("Content-Type: text/plain; charset=us-ascii\n", "secret\n"));
  act(wider, {R"(edit-body-text: {pattern: secret, replacement: "Ωμέγα"})"});
  EXPECT_NE(wider.header("Content-Type").find("charset=utf-8"), std::string::npos);
  EXPECT_EQ(wider.body(), lf(mime::encode_base64("Ωμέγα\r\n")));
}

TEST(EditBodyText, TwiceAndWithAFooter) {
  Mail mail(text_mail("Content-Type: text/plain\n", "one two three\n"));
  act(mail, {R"(edit-body-text: {pattern: one, replacement: "1"})",
             R"(edit-body-text: {pattern: '1 two', replacement: "x"})", "add-footer: foot one"});
  EXPECT_EQ(mail.body(), "x three\nfoot one\n");
}

TEST(EditBodyText, BodyOnlyAndNoNewDelimiter) {
  const std::string head = "Content-Type: multipart/mixed; boundary=b1\n";
  Mail mail(text_mail(head,
                      "pre\n--b1\nContent-Type: text/plain\n\nx secret\n--b1\n"
                      "Content-Type: text/plain; name=a.txt\n\nsecret stays\n--b1--\nepi\n"));
  act(mail, {kEdit});
  EXPECT_EQ(mail.body(),
            "pre\n--b1\nContent-Type: text/plain\n\nx [word]\n--b1\n"
            "Content-Type: text/plain; name=a.txt\n\nsecret stays\n--b1--\nepi\n");
  Mail forged(text_mail(head, "--b1\nContent-Type: text/plain\n\nx\nsecret\ny\n--b1--\n"));
  act(forged, {R"(edit-body-text: {pattern: secret, replacement: "--b1--"})"});
  EXPECT_NE(forged.body().find("=2D-b1--"), std::string::npos) << forged.body();
}

TEST(EditBodyText, WhatIsClosedIsNotEdited) {
  struct {
    const char* what;
    std::string mail;
    const char* detail;
  } const cases[] = {
      {"multipart/signed",
       text_mail(
           "Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\n",
           "--b\nContent-Type: text/plain\n\na secret\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"),
       "part 1 is signed and is not edited"},
      {"clear-signed",
       text_mail("Content-Type: text/plain\n",
                 "-----BEGIN PGP SIGNED MESSAGE-----\n\na secret\n-----BEGIN PGP SIGNATURE-----\n"),
       "is signed and is not edited"},
      {"multipart/encrypted",
       text_mail("Content-Type: multipart/encrypted; boundary=b\n",
                 "--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: "
                 "application/octet-stream\n\nx\n--b--\n"),
       "is encrypted and is not edited"},
      {"S/MIME",
       text_mail("Content-Type: application/pkcs7-mime; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\n",
                 "MIAG\n"),
       "is encrypted and is not edited"},
      {"damaged",
       text_mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", "c2VjcmV0!!\n"),
       "cannot be read"},
      {"a coding that is not written again",
       text_mail("Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n",
                 "begin 644 x\n,<V5C<F5T('=O<F1S\n`\nend\n"),
       "cannot be read"},
      {"across tags", text_mail("Content-Type: text/html\n", "<p>se<b>c</b>ret\n"), "holds the pattern across markup"},
      {"across hidden text in a hidden text",
       text_mail("Content-Type: text/html\n", "<p hidden>se<b style='display:none'>x</b>cret</p>\n"),
       "holds the pattern across markup"},
      {"in a comment that some readers show",
       text_mail("Content-Type: text/html\n", "<p>x</p><!--[if mso]>secret<![endif]-->\n"),
       "holds the pattern across markup"},
      {"hidden for some", text_mail("Content-Type: text/html\n", "<body style='display:none'>x\n"),
       "hides text in a way that readers differ in"},
      {"invisible",
       text_mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n",
                 "se\xC2\xAD"
                 "cret\n"),
       "holds the pattern across markup"},
  };
  for (const auto& each : cases) {
    Mail mail(each.mail);
    const std::string before = mail.body();
    const Outcome outcome = act(mail, {kEdit}, "on-unknown: tempfail");
    EXPECT_EQ(mail.body(), before) << each.what;
    EXPECT_NE(outcome.reports[0].detail.find(each.detail), std::string::npos)
        << each.what << ": " << outcome.reports[0].detail;
    EXPECT_EQ(outcome.verdict, VerdictKind::tempfail) << each.what;
  }
  Mail innocent(text_mail(
      "Content-Type: multipart/signed; boundary=b\n",
      "--b\nContent-Type: text/plain\n\nnothing\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"));
  EXPECT_EQ(act(innocent, {kEdit}, "on-unknown: tempfail").verdict, VerdictKind::pass) << "there is nothing to edit";
}

TEST(EditBodyText, GroupsMayBringTheMatchBack) {
  constexpr const char* kKeep = R"(edit-body-text: {pattern: '(?i)secret', replacement: "[$0 of $$]"})";
  Mail mail(text_mail("Content-Type: text/plain\n", "a secret\nSECRET\n"));
  act(mail, {kKeep}, "on-unknown: tempfail");
  EXPECT_EQ(mail.body(), "a [secret of $]\n[SECRET of $]\n");
  Mail split(text_mail("Content-Type: text/html\n", "<p>secret se<b>c</b>ret\n"));
  EXPECT_EQ(act(split, {kKeep}, "on-unknown: tempfail").verdict, VerdictKind::tempfail);
}

TEST(EditBodyText, WhatIsNoUuencodedFileIsEdited) {
  Mail mail(text_mail("Content-Type: text/plain\n", "begin 644 a\nA SECRET\nend\n"));
  act(mail, {kEdit});
  EXPECT_EQ(mail.body(), "begin 644 a\nA [word]\nend\n");
}

TEST(EditBodyText, UuencodedFilesStay) {
  const std::string file = "begin 644 notes.txt\n,<V5C<F5T('=O<F1S\n`\nend\n";
  Mail mail(text_mail("Content-Type: text/plain\n", "a secret\n" + file + "V5C secret\n"));
  act(mail, {kEdit, R"(edit-body-text: {pattern: V5C, replacement: "x"})"});
  EXPECT_EQ(mail.body(), "a [word]\n" + file + "x [word]\n");
}

TEST(EditBodyText, PoisonChangesNothing) {
  Mail mail(text_mail("Content-Type: text/plain\n", std::string(60'000, 'a') + "b secret\n"));
  const std::string before = mail.body();
  const Outcome outcome =
      act(mail, {R"(edit-body-text: {pattern: '(a|aa)+$', replacement: x})"}, "on-unknown: tempfail");
  EXPECT_EQ(mail.body(), before);
  EXPECT_EQ(outcome.verdict, VerdictKind::tempfail);
  EXPECT_NE(outcome.reports[0].detail.find("unknown (regex-limit)"), std::string::npos) << outcome.reports[0].detail;
}

TEST(HtmlConvert, MakesText) {
  Mail mail(text_mail("Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n",
                      "<html><head><title>t</title></head><body><p>K=FChl &amp; co</p><ul><li>one<li>two</ul>"
                      "<a href=3D\"http://x.test/\">link</a></body></html>\n"));
  act(mail, {"html-convert"});
  EXPECT_EQ(mail.header("Content-Type"), "text/plain; charset=iso-8859-1");
  EXPECT_EQ(mail.body(), "K=FChl & co\n\n- one\n- two\nlink <http://x.test/>\n");
}

TEST(HtmlConvert, InAlternativesAfterEditsWithFooter) {
  Mail mail(text_mail("Content-Type: multipart/alternative; boundary=b\n",
                      "--b\nContent-Type: text/plain\n\nplain secret\n--b\nContent-Type: text/html; "
                      "charset=utf-8\n\n<p>html secret</p>\n--b--\n"));
  act(mail, {"html-convert", kEdit, "add-footer: foot"});
  EXPECT_EQ(mail.body(),
            "--b\nContent-Type: text/plain\n\nplain [word]\nfoot\n--b\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 7bit\n\nhtml [word]\n\nfoot\n--b--\n");
  Mail plain(text_mail("Content-Type: text/plain\n", "<p>text\n"));
  const std::string before = plain.whole();
  act(plain, {"html-convert"});
  EXPECT_EQ(plain.whole(), before);
  Mail closed(
      text_mail("Content-Type: multipart/signed; boundary=b\n",
                "--b\nContent-Type: text/html\n\n<p>x\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"));
  const Outcome outcome = act(closed, {"html-convert"}, "on-unknown: tempfail");
  EXPECT_EQ(outcome.verdict, VerdictKind::tempfail);
}

std::string attachments() {
  return text_mail(
      "Content-Type: multipart/mixed; boundary=b\n",
      "--b\nContent-Type: text/plain\n\nbody secret\n--b\nContent-Type: text/plain; name=a.txt\n\nsecret secret\n--b\n"
      "Content-Type: text/plain; name=b.txt\n\nharmless\n--b\nContent-Type: message/rfc822\n\nSubject: "
      "in\n\nsecret\n--b--\n");
}

TEST(DropWhereContains, TakesWhatHoldsIt) {
  Mail mail(attachments());
  const Outcome outcome =
      act(mail, {R"(drop-attachments-where-contains: {pattern: secret, comment: "gone: $dropped_filename"})"});
  EXPECT_EQ(mail.body(),
            "--b\nContent-Type: text/plain\n\nbody secret\n--b\nContent-Type: text/plain; charset=us-ascii\n"
            "Content-Transfer-Encoding: 7bit\nContent-Disposition: inline\n\ngone: a.txt\n--b\n"
            "Content-Type: text/plain; name=b.txt\n\nharmless\n--b\nContent-Type: text/plain; charset=us-ascii\n"
            "Content-Transfer-Encoding: 7bit\nContent-Disposition: inline\n\ngone: \n--b--\n");
  EXPECT_EQ(outcome.reports[0].detail, "");
  Mail twice(attachments());
  act(twice, {R"(drop-attachments-where-contains: {pattern: secret, threshold: 2, comment: ""})"});
  EXPECT_EQ(twice.body(),
            "--b\nContent-Type: text/plain\n\nbody secret\n--b\nContent-Type: text/plain; name=b.txt\n\nharmless\n--b\n"
            "Content-Type: message/rfc822\n\nSubject: in\n\nsecret\n--b--\n");
}

TEST(DropWhereContains, SignedPartsStayAndTheFilterIsUnknown) {
  Mail mail(text_mail("Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\n",
                      "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nhello\n--c\n"
                      "Content-Type: text/plain; name=a.txt\n\nsecret\n--c--\n"
                      "--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"));
  const std::string before = mail.body();
  const Outcome outcome = act(mail, {"drop-attachments-where-contains: secret"}, "on-unknown: tempfail");
  EXPECT_EQ(mail.body(), before);
  EXPECT_EQ(outcome.verdict, VerdictKind::tempfail);
  EXPECT_NE(outcome.reports[0].detail.find("is signed and is not edited"), std::string::npos)
      << outcome.reports[0].detail;
}

TEST(DropWhereContains, WhatCannotBeOpenedIsUnknown) {
  Mail mail(
      text_mail("Content-Type: multipart/mixed; boundary=b\n",
                "--b\nContent-Type: text/plain\n\nx\n--b\nContent-Type: application/pdf; name=a.pdf\n\n%PDF\n--b--\n"));
  const std::string before = mail.body();
  const Outcome outcome = act(mail, {"drop-attachments-where-contains: secret"});
  EXPECT_EQ(mail.body(), before);
  EXPECT_EQ(outcome.quarantines, std::vector<std::string>{"Policy"});
  EXPECT_NE(outcome.reports[0].detail.find("part 2: unscannable: unsupported"), std::string::npos)
      << outcome.reports[0].detail;
  Mail uu(text_mail("Content-Type: text/plain\n", "begin 644 notes.txt\n,<V5C<F5T('=O<F1S\n`\nend\n"));
  EXPECT_EQ(act(uu, {"drop-attachments-where-contains: secret"}).quarantines, std::vector<std::string>{"Policy"});
  EXPECT_TRUE(act(uu, {"drop-attachments-where-contains: other"}).quarantines.empty());
}

TEST(DropWhereDictionaryMatch, TakesWhatScoresEnough) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  LoadContext context = default_context();
  context.dictionaries.push_back(
      load_dictionary(sources, sources.add_text("d.txt", "secret,3\nharmless\n"), diagnostics));
  const auto rules = load(
      "filters:\n" +
          filter("f", "true", {"drop-attachments-where-dictionary-match: {dictionary: d, threshold: 6, comment: ''}"}),
      context);
  ASSERT_NE(rules, nullptr);
  Mail mail(attachments());
  run(*rules, mail);
  EXPECT_EQ(mail.body().find("a.txt"), std::string::npos);
  EXPECT_NE(mail.body().find("harmless"), std::string::npos);
}

}  // namespace
}  // namespace postern::rules::test

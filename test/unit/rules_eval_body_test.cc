// SPDX-License-Identifier: Apache-2.0
// Body edits: texts above and below, attachments dropped. Every edited message is read by Python's email package, which
// must find no fault in it and show the expected parts; untouched bytes are compared.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

// What Python's email package sees in the message as edited.
std::string judge(Mail& mail, const std::string& options = "") {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("postern-judge-" + std::to_string(getpid()) + ".eml")).string();
  std::ofstream(path, std::ios::binary) << mail.message->whole();
  const std::string command = "/usr/bin/python3 '" + std::string(POSTERN_SOURCE_DIR) + "/test/unit/message_judge.py' " +
                              options + " '" + path + "' 2>&1";
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "cannot run python3";
  char buffer[4096];
  for (size_t n = fread(buffer, 1, sizeof buffer, pipe); n > 0; n = fread(buffer, 1, sizeof buffer, pipe)) {
    out.append(buffer, n);
  }
  const int status = pclose(pipe);
  std::filesystem::remove(path);
  return status == 0 ? out : "python3 failed: " + out;
}

Outcome act(Mail& mail, const std::vector<std::string>& actions, std::string_view more = "") {
  const auto rules = load_filter("true", actions, more);
  return rules == nullptr ? Outcome() : run(*rules, mail);
}

const std::vector<std::string> kBoth = {R"(add-footer: "foot <1>\nfoot 2")", R"(add-heading: "head")"};

std::string text_message(std::string_view headers, std::string_view body) {
  return "From: a@example.com\nSubject: s\nMIME-Version: 1.0\n" + std::string(headers) + "\n" + std::string(body);
}

TEST(AddText, SinglePart) {
  struct {
    const char* what;
    std::string headers;
    std::string body;
    const char* expected;
  } const cases[] = {
      {"7bit", "Content-Type: text/plain; charset=us-ascii\n", "hello\nthere\n",
       "text/plain 'head\\nhello\\nthere\\nfoot <1>\\nfoot 2'\n"},
      {"no last line end", "Content-Type: text/plain\n", "hello", "text/plain 'head\\nhello\\nfoot <1>\\nfoot 2'\n"},
      {"no Content-Type", "", "hello\n", "text/plain 'head\\nhello\\nfoot <1>\\nfoot 2'\n"},
      {"quoted-printable",
       "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n", "K=FChl=\nhaus\n",
       "text/plain 'head\\nKühlhaus\\nfoot <1>\\nfoot 2'\n"},
      {"base64", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", "S8O8aGxoYXVz\n",
       "text/plain 'head\\nKühlhaus\\nfoot <1>\\nfoot 2'\n"},
      {"8bit", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n", "Kühlhaus\n",
       "text/plain 'head\\nKühlhaus\\nfoot <1>\\nfoot 2'\n"},
      {"html", "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n",
       "<html><body>ü</body></html>\n",
       "text/html '<html><body><div>head</div>ü<div>foot &lt;1&gt;<br>\\nfoot 2</div>\\n</body></html>'\n"},
      {"utf-16", "Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: base64\n", "aABpACAA5AA=\n",
       "text/plain 'head\\nhi ä\\nfoot <1>\\nfoot 2'\n"},
      {"empty", "Content-Type: text/plain\n", "", "text/plain 'head\\nfoot <1>\\nfoot 2'\n"},
  };
  for (const auto& each : cases) {
    Mail mail(text_message(each.headers, each.body));
    act(mail, kBoth);
    EXPECT_EQ(judge(mail), std::string("defects: none\n") + each.expected) << each.what;
  }
}

TEST(AddText, OwnCharsetWhereItFits) {
  Mail latin(text_message("Content-Type: text/plain; charset=iso-8859-1\n", "hello\n"));
  act(latin, {"add-footer: Grüße"});
  EXPECT_EQ(judge(latin), "defects: none\ntext/plain 'hello\\nGrüße'\n");
  EXPECT_EQ(latin.header("Content-Type"), "text/plain; charset=iso-8859-1");
  EXPECT_EQ(latin.header("Content-Transfer-Encoding"), "quoted-printable");
  EXPECT_NE(latin.body().find("Gr=FC=DFe"), std::string::npos);

  Mail greek(
      text_message("Content-Type: text/plain; charset=iso-8859-1; format=flowed\n"
                   "Content-Transfer-Encoding: quoted-printable\n",
                   "K=FChl\n"));
  act(greek, {"add-footer: Ωμέγα"});
  EXPECT_EQ(judge(greek), "defects: none\ntext/plain 'Kühl\\nΩμέγα'\n");
  EXPECT_NE(greek.header("Content-Type").find("charset=utf-8"), std::string::npos);
  EXPECT_NE(greek.header("Content-Type").find("format=flowed"), std::string::npos);

  Mail ebcdic(
      text_message("Content-Type: text/html; charset=cp037\nContent-Transfer-Encoding: base64\n", "yIXTk5Y=\n"));
  act(ebcdic, {"add-footer: foot"});
  EXPECT_NE(ebcdic.header("Content-Type").find("multipart/mixed"), std::string::npos) << "ASCII would be other letters";

  Mail html(text_message("Content-Type: text/html; charset=us-ascii\n", "<p>hello\n"));
  act(html, {"add-footer: Ωμέγα"});
  EXPECT_EQ(html.header("Content-Type"), "text/html; charset=us-ascii") << "character references fit any charset";
  EXPECT_NE(html.body().find("&#937;"), std::string::npos);
}

TEST(AddText, SeveralFiltersMeetInOneRewrite) {
  const auto rules = load("filters:\n" + filter("a", "true", {"add-footer: one", "add-heading: top one"}) +
                          filter("b", R"(subject == "s")", {"add-footer: two", "add-heading: top two"}) +
                          filter("c", R"(body-contains("one"))", {"tag-message: sees-own-footer"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(text_message("Content-Type: text/plain\n", "text\n"));
  const Outcome outcome = run(*rules, mail);
  EXPECT_EQ(mail.body(), "top two\ntop one\ntext\none\ntwo\n");
  EXPECT_TRUE(outcome.tags.empty()) << "content is judged as received";
}

constexpr std::string_view kAlternative =
    "Content-Type: multipart/mixed; boundary=\"b1\"\n"
    "\n"
    "preamble\n"
    "--b1\n"
    "Content-Type: multipart/alternative; boundary=b2\n"
    "\n"
    "--b2\n"
    "Content-Type: text/plain\n"
    "\n"
    "hello\n"
    "--b2\n"
    "Content-Type: text/html; charset=us-ascii\n"
    "\n"
    "<p>hello</p>\n"
    "--b2--\n"
    "--b1\n"
    "Content-Type: application/pdf; name=\"a.pdf\"\n"
    "Content-Transfer-Encoding: base64\n"
    "\n"
    "JVBERi0xLjQKJcOkw7zDtsOfCg==\n"
    "--b1\n"
    "Content-Type: text/plain; name=\"b.txt\"\n"
    "Content-Disposition: attachment\n"
    "\n"
    "attached text\n"
    "--b1--\n"
    "epilogue\n";

TEST(AddText, BothAlternativesAndNoAttachment) {
  Mail mail("From: a@example.com\nMIME-Version: 1.0\n" + std::string(kAlternative));
  act(mail, kBoth);
  EXPECT_EQ(judge(mail),
            "defects: none\n"
            "multipart/mixed\n"
            "  multipart/alternative\n"
            "    text/plain 'head\\nhello\\nfoot <1>\\nfoot 2'\n"
            "    text/html '<div>head</div><p>hello</p>\\n<div>foot &lt;1&gt;<br>\\nfoot 2</div>'\n"
            "  application/pdf a.pdf 19 bytes\n"
            "  text/plain 'attached text'\n");
  EXPECT_NE(mail.body().find("preamble\n--b1\n"), std::string::npos);
  EXPECT_TRUE(
      mail.body().ends_with("--b1\nContent-Type: text/plain; name=\"b.txt\"\n"
                            "Content-Disposition: attachment\n\nattached text\n--b1--\nepilogue\n"));
}

TEST(AddText, SignedContentIsWrappedUntouched) {
  const std::string signed_body =
      "--sig\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nhello=20\n"
      "--sig\nContent-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN PGP SIGNATURE-----\n"
      "--sig--\n";
  Mail mail(
      text_message("Content-Type: multipart/signed; micalg=pgp-sha256;\n protocol=\"application/pgp-signature\"; "
                   "boundary=\"sig\"\n",
                   signed_body));
  const std::string before(mail.message->received_body());
  act(mail, {"add-footer: below", "add-heading: above"});
  EXPECT_EQ(judge(mail),
            "defects: none\n"
            "multipart/mixed\n"
            "  text/plain 'above'\n"
            "  multipart/signed\n"
            "    text/plain 'hello'\n"
            "    application/pgp-signature signature.asc 29 bytes\n"
            "  text/plain 'below'\n");
  EXPECT_NE(mail.message->final_body().flatten().find(before), std::string::npos) << "every byte as it was";
  EXPECT_NE(mail.body().find("Content-Type: multipart/signed; micalg=pgp-sha256;\n protocol="), std::string::npos);
}

TEST(AddText, WrappedWhereNoTextCanTakeIt) {
  struct {
    const char* what;
    std::string headers;
    std::string body;
    const char* inner;
  } const cases[] = {
      {"encrypted", "Content-Type: multipart/encrypted; boundary=e; protocol=\"application/pgp-encrypted\"\n",
       "--e\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--e\nContent-Type: application/octet-stream\n\nx\n"
       "--e--\n",
       "  multipart/encrypted\n    application/pgp-encrypted None 10 bytes\n    application/octet-stream None 1 "
       "bytes\n"},
      {"single image",
       "Content-Type: image/png; name=\"x.png\"\nContent-Transfer-Encoding: base64\n"
       "Content-Disposition: attachment; filename=\"x.png\"\n",
       "iVBORw0KGgo=\n", "  image/png x.png 8 bytes\n"},
      {"S/MIME",
       "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\n"
       "Content-Transfer-Encoding: base64\n",
       "MIIBIQYJKoZIhvcNAQcCoIIBEjCCAQ4CAQA=\n", "  application/pkcs7-mime smime.p7m 26 bytes\n"},
      {"clear-signed", "Content-Type: text/plain\n", "-----BEGIN PGP SIGNED MESSAGE-----\n\nhi\n",
       "  text/plain '-----BEGIN PGP SIGNED MESSAGE-----\\n\\nhi'\n"},
      {"unknown charset and a footer it may not hold", "Content-Type: text/plain; charset=utf-16x\n", "hi\n",
       "  text/plain 'hi'\n"},
  };
  for (const auto& each : cases) {
    Mail mail(text_message(each.headers, each.body));
    const std::string before(mail.message->received_body());
    act(mail, {"add-footer: föot"});
    std::string seen = judge(mail);
    if (std::string_view(each.what).starts_with("unknown")) {
      // Python cannot decode that charset at all; the bytes are what counts.
      seen.clear();
    } else {
      EXPECT_EQ(seen, "defects: none\nmultipart/mixed\n" + std::string(each.inner) + "  text/plain 'föot'\n")
          << each.what;
    }
    EXPECT_NE(mail.message->final_body().flatten().find(before), std::string::npos) << each.what;
  }
}

TEST(AddText, EightBitContentKeepsAnEightBitContainer) {
  Mail mail(text_message("Content-Type: multipart/signed; boundary=s\nContent-Transfer-Encoding: 8bit\n",
                         "--s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nü\n--s\n"
                         "Content-Type: application/pkcs7-signature\n\nx\n--s--\n"));
  act(mail, {"add-footer: below"});
  EXPECT_EQ(mail.header("Content-Transfer-Encoding"), "8bit");
}

// A value from outside that looks like a delimiter must not become one.
TEST(AddText, NoDelimiterCanBeForged) {
  Mail mail("Subject: =?utf-8?Q?--b1--?=\nFrom: a@example.com\nMIME-Version: 1.0\n" + std::string(kAlternative));
  act(mail, {R"(add-footer: "$Subject")", R"(add-heading: "$Subject")"});
  EXPECT_EQ(judge(mail),
            "defects: none\n"
            "multipart/mixed\n"
            "  multipart/alternative\n"
            "    text/plain '--b1--\\nhello\\n--b1--'\n"
            "    text/html '<div>--b1--</div><p>hello</p>\\n<div>--b1--</div>'\n"
            "  application/pdf a.pdf 19 bytes\n"
            "  text/plain 'attached text'\n");
  Mail named(
      "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n\ntext\n--b1\n"
      "Content-Type: application/octet-stream; name=\"--b1--\"\n\nx\n--b1\nContent-Type: image/png\n\ny\n--b1--\n");
  act(named, {R"(drop-attachments-by-mimetype: {type: application/octet-stream, comment: "$dropped_filename"})"});
  EXPECT_EQ(judge(named),
            "defects: none\nmultipart/mixed\n  text/plain 'text'\n  text/plain '--b1--'\n  image/png None 1 bytes\n");
}

// What was encoded so that it is no delimiter must not become one when the part is written again.
TEST(AddText, NoDelimiterComesOutOfTheEncoding) {
  const std::string head = "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=outer\n\n";
  const std::string tail = "--outer\nContent-Type: application/pdf; name=a.pdf\n\nx\n--outer--\n";
  const std::string long_line = "-outer" + std::string(300, 'y');
  struct {
    const char* what;
    std::string part;
    std::string expected;
  } const cases[] = {
      {"quoted-printable",
       "--outer\nContent-Type: text/plain\nContent-Transfer-Encoding: "
       "quoted-printable\n\n=2D-outer--\n=2D--outer\n=2D" +
           long_line + "\n",
       "  text/plain 'head\\n--outer--\\n---outer\\n-" + long_line + "\\nfoot'\n"},
      {"utf-16",
       "--outer\nContent-Type: text/plain; charset=utf-16be\nContent-Transfer-Encoding: base64\n\n"
       "AC0ALQBvAHUAdABlAHI=\n",
       "  text/plain 'head\\n--outer\\nfoot'\n"},
      {"html", "--outer\nContent-Type: text/html\n\n<body>--outer--\nx</body>\n",
       "  text/html '<body><div>head</div>--outer--\\nx<div>foot</div>\\n</body>'\n"},
  };
  for (const auto& each : cases) {
    Mail mail(head + each.part + tail);
    act(mail, {"add-heading: head", "add-footer: foot"});
    EXPECT_EQ(judge(mail), "defects: none\nmultipart/mixed\n" + each.expected + "  application/pdf a.pdf 1 bytes\n")
        << each.what << "\n"
        << mail.whole();
    size_t begin = 0;
    const std::string body = mail.body();
    while (begin < body.size()) {
      const size_t end = std::min(body.find('\n', begin), body.size());
      EXPECT_LE(end - begin, 76u) << each.what;
      begin = end + 1;
    }
  }
}

TEST(DropAttachments, ByEachProperty) {
  struct {
    const char* action;
    const char* pdf;
    const char* txt;
  } const cases[] = {
      {R"(drop-attachments-by-name: {pattern: '\.PDF$', comment: "x"})", "  application/pdf a.pdf 19 bytes\n",
       "  text/plain 'attached text'\n"},
      {R"y(drop-attachments-by-name: {pattern: '(?i)\.PDF$', comment: "gone: $dropped_filename ($dropped_filetypes)"})y",
       "  text/plain 'gone: a.pdf (application/pdf)'\n", "  text/plain 'attached text'\n"},
      {R"(drop-attachments-by-mimetype: {type: "text/*", comment: "x"})", "  application/pdf a.pdf 19 bytes\n",
       "  text/plain 'x'\n"},
      {R"(drop-attachments-by-type: {type: "application/*", comment: "pdf\nweg ü"})", "  text/plain 'pdf\\nweg ü'\n",
       "  text/plain 'attached text'\n"},
      {R"(drop-attachments-by-size: {size: 20b, comment: ""})", "", "  text/plain 'attached text'\n"},
      {R"(drop-attachments-by-size: 13b)",
       "  text/plain 'An attachment was removed by policy: \"a.pdf\" (application/pdf, 28 bytes).'\n",
       "  text/plain 'An attachment was removed by policy: \"b.txt\" (text/plain, 13 bytes).'\n"},
      {R"(drop-attachments-by-name: {pattern: '.', comment: ""})", "", ""},
  };
  for (const auto& each : cases) {
    Mail mail("From: a@example.com\nMIME-Version: 1.0\n" + std::string(kAlternative));
    act(mail, {each.action});
    EXPECT_EQ(judge(mail),
              "defects: none\nmultipart/mixed\n  multipart/alternative\n    text/plain 'hello'\n"
              "    text/html '<p>hello</p>'\n" +
                  std::string(each.pdf) + each.txt)
        << each.action;
  }
}

TEST(DropAttachments, LaterFiltersSeeThemGone) {
  const auto rules = load("filters:\n" +
                          filter("a", "true",
                                 {R"(drop-attachments-by-name: '\.pdf$')",
                                  R"(insert-header: {name: X-Dropped, value: "$dropped_filenames; $filenames"})"}) +
                          filter("b", R"(attachment-filename == "\.pdf$")", {"tag-message: still-there"}) +
                          filter("c", R"(attachment-filename == "\.txt$")", {"tag-message: other"}) +
                          filter("d", "attachment-size > 1", {R"(drop-attachments-by-size: 1b)"}) +
                          filter("e", R"(body-contains("attached"))", {"tag-message: text"}));
  ASSERT_NE(rules, nullptr);
  Mail mail("From: a@example.com\nMIME-Version: 1.0\n" + std::string(kAlternative));
  const Outcome outcome = run(*rules, mail);
  EXPECT_EQ(outcome.tags, std::vector<std::string>{"other"});
  EXPECT_EQ(mail.header("X-Dropped"), "a.pdf; b.txt");
}

TEST(DropAttachments, SinglePartBecomesText) {
  const std::string text = text_message(
      "Content-Type: application/x-msdownload; name=\"run.exe\"\nContent-Transfer-Encoding: base64\n"
      "Content-Disposition: attachment; filename=\"run.exe\"\n",
      "TVqQAAMAAAAEAAAA\n");
  Mail mail(text);
  act(mail,
      {R"(drop-attachments-by-name: {pattern: '\.exe$', comment: "Removed: $dropped_filename"})", "add-footer: below"});
  EXPECT_EQ(judge(mail), "defects: none\ntext/plain 'Removed: run.exe\\nbelow'\n");
  EXPECT_EQ(mail.headers().count("Content-Disposition"), 0u);
  EXPECT_EQ(mail.body().find("TVq"), std::string::npos);
  Mail silent(text);
  act(silent, {R"(drop-attachments-by-name: {pattern: '\.exe$', comment: ""})"});
  EXPECT_EQ(judge(silent), "defects: none\ntext/plain ''\n");
}

TEST(DropAttachments, InAttachedMessages) {
  const std::string inner =
      "From: inner@example.com\nSubject: inner\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=c\n\n"
      "--c\n\ninner text\n--c\nContent-Type: application/x-msdownload; name=in.exe\n\nMZ\n--c--\n";
  const std::string outer =
      "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
      "--b\n\nouter\n--b\nContent-Type: message/rfc822\n\n";
  Mail mail(outer + inner + "\n--b--\n");
  act(mail, {R"(drop-attachments-by-name: {pattern: 'exe$', comment: "gone"})"});
  EXPECT_EQ(judge(mail),
            "defects: none\nmultipart/mixed\n  text/plain 'outer'\n  message/rfc822\n    multipart/mixed\n"
            "      text/plain 'inner text'\n      text/plain 'gone'\n");
  Mail bare(
      outer +
      "From: inner@example.com\nSubject: inner\nContent-Type: application/x-msdownload; name=in.exe\n\nMZ\n--b--\n");
  act(bare, {R"(drop-attachments-by-name: {pattern: 'exe$', comment: "gone"})"});
  EXPECT_EQ(judge(bare),
            "defects: none\nmultipart/mixed\n  text/plain 'outer'\n  message/rfc822\n    text/plain 'gone'\n");
  EXPECT_NE(bare.body().find("Subject: inner\n"), std::string::npos) << "the attached message's header stays";
  Mail whole(outer + inner + "\n--b--\n");
  act(whole, {R"(drop-attachments-by-mimetype: {type: message/rfc822, comment: "gone"})"});
  EXPECT_EQ(judge(whole), "defects: none\nmultipart/mixed\n  text/plain 'outer'\n  text/plain 'gone'\n");
}

TEST(DropAttachments, SignedAndEncrypted) {
  Mail broken(text_message("Content-Type: multipart/signed; boundary=s\n",
                           "--s\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\ntext\n--m\n"
                           "Content-Type: application/x-msdownload; name=a.exe\n\nMZ\n--m--\n--s\n"
                           "Content-Type: application/pgp-signature\n\nx\n--s--\n"));
  const Outcome outcome = act(broken, {R"(drop-attachments-by-name: {pattern: 'exe$', comment: "gone"})"});
  EXPECT_EQ(judge(broken),
            "defects: none\nmultipart/signed\n  multipart/mixed\n    text/plain 'text'\n    text/plain 'gone'\n"
            "  application/pgp-signature None 1 bytes\n");
  EXPECT_NE(outcome.reports[0].detail.find("breaks the signature"), std::string::npos) << outcome.reports[0].detail;

  Mail secret(text_message("Content-Type: multipart/encrypted; boundary=e\n",
                           "--e\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--e\n"
                           "Content-Type: application/octet-stream; name=encrypted.asc\n\nx\n--e--\n"));
  const std::string before = secret.whole();
  const Outcome kept = act(secret, {R"(drop-attachments-by-name: {pattern: 'asc$', comment: "gone"})"});
  EXPECT_EQ(secret.whole(), before);
  EXPECT_NE(kept.reports[0].detail.find("inside an encrypted part"), std::string::npos) << kept.reports[0].detail;
  EXPECT_FALSE(kept.quarantines.empty());  // it was to go, and stays
}

TEST(DropAttachments, AnAlternativeGoesWithoutNotice) {
  Mail mail(
      "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n"
      "--b\n\nhello\n--b\nContent-Type: text/calendar; name=invite.ics\n\nBEGIN:VCALENDAR\n--b--\n");
  act(mail, {R"(drop-attachments-by-name: {pattern: 'ics$', comment: "gone"})"});
  EXPECT_EQ(judge(mail), "defects: none\nmultipart/alternative\n  text/plain 'hello'\n");
}

TEST(DropAttachments, BehindALimitIsNotClean) {
  base::Limits limits;
  limits.mime_parts = 3;
  std::string text = "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 9; ++i) text += "--b\nContent-Type: application/x-y; name=f" + std::to_string(i) + ".exe\n\nMZ\n";
  text += "--b--\n";
  Mail mail(text, limits);
  const Outcome outcome = act(mail, {"drop-attachments-by-name: 'exe$'"});
  EXPECT_EQ(outcome.quarantines, std::vector<std::string>{"Policy"});
  EXPECT_NE(outcome.reports[0].detail.find("not every part could be seen"), std::string::npos);
  Mail deferred(text, limits);
  EXPECT_EQ(act(deferred, {"drop-attachments-by-name: 'exe$'"}, "on-unknown: tempfail").verdict, VerdictKind::tempfail);
}

TEST(DropAttachments, ThenTextsAreAdded) {
  Mail mail("From: a@example.com\nMIME-Version: 1.0\n" + std::string(kAlternative));
  act(mail, {R"(drop-attachments-by-name: {pattern: '.', comment: ""})", "add-footer: foot"});
  EXPECT_EQ(judge(mail),
            "defects: none\nmultipart/mixed\n  multipart/alternative\n    text/plain 'hello\\nfoot'\n"
            "    text/html '<p>hello</p>\\n<div>foot</div>'\n");
  // Wrapped and dropped at once.
  Mail wrapped(
      "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
      "Content-Type: image/png; name=a.png\n\nx\n--b\nContent-Type: application/pdf; name=b.pdf\n\ny\n--b--\n");
  act(wrapped, {R"(drop-attachments-by-name: {pattern: 'png', comment: "no image"})", "add-footer: foot"});
  EXPECT_EQ(judge(wrapped),
            "defects: none\nmultipart/mixed\n  multipart/mixed\n    text/plain 'no image'\n"
            "    application/pdf b.pdf 1 bytes\n  text/plain 'foot'\n");
}

TEST(AddressEdits, AnotherReaderSeesTheSameMailboxes) {
  const std::string text =
      "From: =?utf-8?Q?Doe=2C_J=C3=A4ne?= <jane@old.example>\n"
      "To: \"B, b\" <b@old.example>, =?utf-8?B?w6Q=?= <c@old.example>,\n =?utf-8?Q?ceo=40bank.example=2C?= "
      "<e@old.example>\n"
      "Cc: =?utf-8?Q?Gr=C3=BCn?=: a@old.example, \"Q \\\"x\\\"\" <q@old.example>;\nSubject: s\n\nbody\n";
  Mail mail(text);
  act(mail, {"edit-header-text: {name: From, pattern: old, replacement: new}",
             "edit-header-text: {name: To, pattern: old, replacement: new}",
             "edit-header-text: {name: Cc, pattern: old, replacement: new}"});
  EXPECT_EQ(judge(mail, "--addresses"),
            "defects: none\n"
            "From: Doe, Jäne <jane@new.example>\n"
            "To: B, b <b@new.example> | ä <c@new.example> | ceo@bank.example, <e@new.example>\n"
            "Cc:  <a@new.example> | Q \"x\" <q@new.example>\n"
            "text/plain 'body'\n");
}

TEST(BodyEdits, NothingChangesWithoutAnEdit) {
  for (const char* action : {"no-op", "drop-attachments-by-name: 'no such name'", "add-footer: \"$SMTPAuthID\""}) {
    Mail mail("From: a@example.com\nMIME-Version: 1.0\n" + std::string(kAlternative));
    const std::string before = mail.whole();
    act(mail, {action});
    EXPECT_FALSE(mail.message->body_edited()) << action;
    EXPECT_EQ(mail.whole(), before) << action;
    EXPECT_TRUE(message::diff(*mail.message).changes.empty()) << action;
  }
}

}  // namespace
}  // namespace postern::rules::test

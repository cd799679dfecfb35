// SPDX-License-Identifier: Apache-2.0
// Content rules: what a reader sees in HTML, between invisible characters, in uuencoded files, attachments and attached
// messages; what cannot be read is unknown; thresholds; dictionaries; and the same answers with the prefilter.
#include "rules/content.h"

#include <ctime>

#include "rules/dictionary_file.h"
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

TEST(Visible, TakesOutWhatDoesNotShow) {
  EXPECT_EQ(visible("plain text\r\n\ttabs\n"), std::nullopt);
  EXPECT_EQ(visible("na\xC3\xAFve \xE2\x82\xAC"), std::nullopt);
  EXPECT_EQ(visible("EV\xC2\xADIL"), "EVIL");
  EXPECT_EQ(visible("EV\xE2\x80\x8BIL"), "EVIL");
  EXPECT_EQ(visible(std::string_view("EV\0IL", 5)), "EVIL");
  EXPECT_EQ(visible("EV\rIL\r\nx"), "EVIL\r\nx");
  EXPECT_EQ(visible("E\xEF\xBB\xBFV\xE2\x81\xA0I\xE2\x80\x8DL\xF3\xA0\x81\x81\xEF\xB8\x8F"), "EVIL");
}

TEST(Uuencode, FilesAreFound) {
  bool more = false;
  const std::string text =
      "hello\nbegin 644 notes.txt\n,<V5C<F5T('=O<F1S\n`\nend\nbye\nbegin reading here\nbegin 644 \nend\n";
  const auto files = find_uuencoded(text, more);
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].name, "notes.txt");
  EXPECT_TRUE(files[0].whole);
  EXPECT_EQ(text.substr(files[0].end), "bye\nbegin reading here\nbegin 644 \nend\n");
}

TEST(Uuencode, WhatIsNoDataIsText) {
  const auto found = [](std::string_view text) {
    bool more = false;
    std::string out;
    for (const UuFile& file : find_uuencoded(text, more)) {
      out += (file.whole ? "whole " : "broken ") + std::string(text.substr(file.begin, file.end - file.begin));
    }
    return out;
  };
  const std::string begin = "begin 644 a\n";
  const std::string data = ",<V5C<F5T('=O<F1S\n";
  EXPECT_EQ(found(begin + "THE SECRET PLAN\nend\n"), "");
  EXPECT_EQ(found(begin + "the secret plan\nend\n"), "");
  EXPECT_EQ(found(begin + "end\n"), "");
  EXPECT_EQ(found(begin + "`\nend\n"), "whole " + begin + "`\nend\n");
  EXPECT_EQ(found(begin + "\nend\n"), "whole " + begin + "\nend\n");
  EXPECT_EQ(found("begin 0644 a b\n" + data + "end"), "whole begin 0644 a b\n" + data + "end");
  EXPECT_EQ(found(begin + "#0V%T1\n \nend\n"), "whole " + begin + "#0V%T1\n \nend\n") << "a check character";
  EXPECT_EQ(found(begin + "!0P\n`\nend\n"), "whole " + begin + "!0P\n`\nend\n") << "not filled up";
  EXPECT_EQ(found(begin + data), "broken " + begin + data);
  EXPECT_EQ(found(begin + data + "THE SECRET PLAN\n" + data + "end\n"), "broken " + begin + data);
  EXPECT_EQ(found(begin + data + "\n" + data + "end\n"), "broken " + begin + data + "\n");
  EXPECT_EQ(found("begin 644 a\r" + data + "`\rend\rx"), "whole begin 644 a\r" + data + "`\rend\r");
}

TEST(Uuencode, IsLinear) {
  for (const std::string_view piece :
       {"begin 644 a\n", "begin 644 a\n,<V5C<F5T('=O<F1S\n", "begin ", "begin 644 a\n\n"}) {
    std::string text;
    while (text.size() < (1u << 20)) text += piece;
    bool more = false;
    const std::clock_t before = std::clock();
    find_uuencoded(text, more);
    EXPECT_LT(std::clock() - before, std::clock_t{10} * CLOCKS_PER_SEC) << piece;
  }
}

std::string text_mail(std::string_view type, std::string_view body) {
  return "From: a@example.com\nSubject: s\nMIME-Version: 1.0\nContent-Type: " + std::string(type) + "\n\n" +
         std::string(body);
}

void check(const std::string& mail, const std::vector<std::pair<std::string, std::string>>& cases) {
  for (const auto& [condition, expected] : cases) EXPECT_EQ(ask(condition, mail), expected) << condition;
}

TEST(BodyContains, HtmlAsSourceAndAsShown) {
  check(text_mail("text/html; charset=utf-8",
                  "<p>EVIL<b></b>WORD c&#97;sino</p><a href=\"http://bad.test/\">x</a>"
                  "EV<span style=display:none>x</span>IL\xE2\x80\x8BTWO\n"),
        {{R"(body-contains("EVILWORD"))", "true"},
         {R"(body-contains("casino"))", "true"},
         {R"(body-contains("bad\.test"))", "true"},
         {R"(body-contains("EVILTWO"))", "true"},
         {R"(only-body-contains("EVILWORD"))", "true"},
         {R"(body-contains("EVIL", 3))", "false"},
         {R"(body-contains("nothing"))", "false"}});
}

TEST(BodyContains, HtmlThatReadersDifferInIsUnknown) {
  check(text_mail("text/html",
                  "<p style=display:none>x<p>EV<i style=display:none>x</i>IL<table><tr style=display:none><td>x<tr><td>"
                  "EV<b></b>ENT</table>\n"),
        {{R"(body-contains("EVIL"))", "true"},
         {R"(body-contains("EVENT"))", "true"},
         {R"(body-contains("absent"))", "false"}});
  check(text_mail("text/html", "<select><div style=display:none>x</select>EVIL\n"),
        {{R"(body-contains("EVIL"))", "true"}, {R"(body-contains("absent"))", "unknown(unscannable)"}});
  // A preview text and markup that does not nest are everyday mail.
  check(text_mail("text/html",
                  "<div style=display:none>preview</div><b><p>one<font></b></p></td></div><li>two<td></a>\n"),
        {{R"(body-contains("absent"))", "false"}});
}

TEST(BodyContains, UuencodedFilesHideNothing) {
  const std::string begin = "begin 644 a.txt\n";
  const std::string data = ",<V5C<F5T('=O<F1S\n";  // "secret words"
  check(text_mail("text/plain", begin + "THE HIDDEN PLAN\nend\n"), {{R"(body-contains("HIDDEN"))", "true"},
                                                                    {R"(only-body-contains("HIDDEN"))", "true"},
                                                                    {R"(attachment-contains("absent"))", "false"}});
  check(text_mail("text/plain", begin + data + "`\nend\n"), {{R"(only-body-contains("F5T.*F1S"))", "true"},
                                                             {R"(only-body-contains("secret"))", "false"},
                                                             {R"(attachment-contains("secret words"))", "true"},
                                                             {R"(attachment-contains("absent"))", "false"}});
  check(text_mail("text/plain", begin + data + "the hidden plan\n" + data + "end\n"),
        {{R"(only-body-contains("hidden"))", "true"},
         {R"(attachment-contains("secret words"))", "true"},
         {R"(attachment-contains("absent"))", "unknown(unscannable)"}});
}

TEST(BodyContains, InvisibleCharacters) {
  check(text_mail("text/plain; charset=utf-8", "EV\xC2\xADIL and ca\xE2\x80\x8Bsi\xE2\x80\x8Bno\n"),
        {{R"(body-contains("EVIL"))", "true"},
         {R"(body-contains("casino"))", "true"},
         {R"(body-contains("EV\x{AD}IL"))", "true"}});
}

std::string base64_mail(std::string_view type, std::string_view bytes) {
  return "From: a@example.com\nMIME-Version: 1.0\nContent-Type: " + std::string(type) +
         "\nContent-Transfer-Encoding: base64\n\n" + mime::encode_base64(bytes);
}

std::string utf16(std::string_view ascii, bool little) {
  std::string out;
  for (const char c : ascii) {
    if (!little) out += '\0';
    out += c;
    if (little) out += '\0';
  }
  return out;
}

TEST(BodyContains, CharsetsAsLabelledAndAsSniffed) {
  for (const bool little : {false, true}) {
    for (const char* type : {"text/plain", "text/plain; charset=us-ascii", "text/plain; charset=iso-8859-1",
                             "text/plain; charset=utf-8", "text/plain; charset=utf-16"}) {
      EXPECT_EQ(ask(R"(body-contains("the secret word"))", base64_mail(type, utf16("this is the secret word", little))),
                "true")
          << type << ' ' << little;
    }
  }
  EXPECT_EQ(ask(R"(body-contains("secret"))", base64_mail("text/plain; charset=utf-16le", "a secret in ASCII")),
            "true");
  EXPECT_EQ(ask(R"(body-contains("секрет"))",
                base64_mail("text/html", "<meta charset=windows-1251><p>\xF1\xE5\xEA\xF0\xE5\xF2")),
            "true");
  EXPECT_EQ(ask(R"(body-contains("x"))", base64_mail("text/plain; charset=ebcdic-x", "\xA7")), "unknown(unscannable)");
}

TEST(BodyContains, InvalidWideTextEnds) {
  std::string junk;
  for (uint32_t i = 0; i < 1u << 20; ++i) junk += static_cast<char>(i * 7919 >> 3);
  for (const char* charset : {"utf-32", "utf-32be", "utf-16", "utf-16le", "utf-7", "hz-gb-2312", "iso-2022-jp"}) {
    const std::string mail = base64_mail(std::string("text/plain; charset=") + charset, junk + "secret");
    EXPECT_EQ(ask(R"(body-contains("zq[0-9]zq"))", mail), "unknown(unscannable)") << charset;
  }
}

std::string mixed(const std::vector<std::string>& parts) {
  std::string out =
      "From: a@example.com\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1\n\n";
  for (const std::string& part : parts) out += "--b1\n" + part + "\n";
  return out + "--b1--\n";
}

const std::string kBody = "Content-Type: text/plain\n\nsee attachment DRAFT\n";
std::string attached(std::string_view type, std::string_view name, std::string_view bytes) {
  return "Content-Type: " + std::string(type) + "; name=\"" + std::string(name) +
         "\"\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n" + mime::encode_base64(bytes);
}

TEST(AttachmentContains, TextOfAttachments) {
  const std::string two = mixed({kBody, attached("text/plain", "a.txt", "red secret red"),
                                 attached("application/octet-stream", "b.txt", "another secret")});
  check(two, {{R"(attachment-contains("secret"))", "true"},
              {R"(attachment-contains("secret", 2))", "true"},
              {R"(attachment-contains("secret", 3))", "false"},
              {R"(attachment-contains("DRAFT"))", "false"},
              {R"(body-contains("DRAFT"))", "true"},
              {R"(every-attachment-contains("secret"))", "true"},
              {R"(every-attachment-contains("red"))", "false"},
              {R"(only-body-contains("secret"))", "false"},
              {R"(only-body-contains("DRAFT"))", "true"}});
  const std::string pdf =
      mixed({kBody, attached("text/plain", "a.txt", "secret"), attached("application/pdf", "b.pdf", "%PDF-1")});
  check(pdf, {{R"(attachment-contains("secret"))", "true"},
              {R"(attachment-contains("other"))", "unknown(unscannable)"},
              {R"(not attachment-contains("other"))", "unknown(unscannable)"},
              {R"(body-contains("other"))", "unknown(unscannable)"},
              {R"(only-body-contains("other"))", "false"},
              {R"(every-attachment-contains("secret"))", "unknown(unscannable)"},
              {R"(every-attachment-contains("red"))", "false"}});
  const std::string picture =
      mixed({kBody, attached("image/png", "b.png", std::string("\x89PNG\r\n\x1A\n", 8) + "xx")});
  check(picture, {{R"(attachment-contains("other"))", "false"}, {R"(body-contains("other"))", "false"}});
  const std::string liar = mixed({kBody, attached("image/png", "b.docx", std::string("\x89PNG\r\n\x1A\n", 8) + "xx")});
  check(liar, {{R"(attachment-contains("other"))", "unknown(unscannable)"}});
  check(text_mail("text/plain", "no attachment\n"),
        {{R"(attachment-contains("x"))", "false"}, {R"(every-attachment-contains("x"))", "false"}});
}

const std::string kUnread = "unknown(unscannable)";

TEST(AttachmentContains, ALabelOfTextDoesNotHideADocument) {
  using namespace std::string_literals;
  std::string packed = "\x1F\x8B\b\0\0\1\2\3"s;
  for (int i = 0; i < 999; ++i) packed += static_cast<char>(i * 7919 >> 3);
  struct {
    const char* what;
    std::string part;
    std::string expected;
  } const cases[] = {
      {"by name", attached("text/plain; charset=iso-8859-15", "plans.docx", "secret"), kUnread},
      {"by its second name", attached("text/plain; x=y; filename=b.txt; name=\"a.pdf\"", "a.txt", "x"), kUnread},
      {"ZIP", attached("text/plain; charset=iso-8859-15", "a.txt", "PK\3\4plans"), kUnread},
      {"PDF as JSON", attached("application/json", "a.json", "%PDF-1.7 plans"), kUnread},
      {"RTF", attached("text/rtf", "a.txt", "{\\rtf1 s{\\b e}cret}"), kUnread},
      {"OLE2", attached("text/csv", "a.csv", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), kUnread},
      {"ZIP as UTF-16", attached("text/plain; charset=utf-16", "a.txt", "PK\3\4plan"), kUnread},
      {"gzip", attached("text/plain; charset=iso-8859-1", "a.txt", packed), kUnread},
      {"text", attached("text/plain; charset=iso-8859-1", "a.txt", "caf\xE9 plans\r\n"), "false"},
      {"one control", attached("text/plain", "a.log", std::string(400, 'x') + "\x08"), "false"},
      {"UTF-16", attached("text/plain", "a.txt", utf16("these are the plans", true)), "false"},
      {"ISO-2022-JP", attached("text/plain; charset=iso-2022-jp", "a.txt", "\x1B$B%F%9%H\x1B(B"), "false"},
      {"a known name of text", attached("text/plain", "a.json", "{}"), "false"},
      {"a script", attached("text/plain", "a.bat", "dir"), "false"},
      {"PDF in EBCDIC", attached("text/plain; charset=ibm037", "a.txt", "%PDF-1.7 plans"), kUnread},
  };
  for (const auto& each : cases) {
    const std::string mail = mixed({kBody, each.part});
    EXPECT_EQ(ask(R"(attachment-contains("absent"))", mail), each.expected) << each.what;
    EXPECT_EQ(ask(R"(body-contains("absent"))", mail), each.expected) << each.what;
  }
  check(mixed({kBody, attached("text/plain", "plans.docx", "secret")}), {{R"(attachment-contains("secret"))", "true"}});
}

TEST(UuFiles, AreAttachmentsWithANameAndBytes) {
  const std::string file = "begin 644 calc.exe\n#35HA\n`\nend\n";  // MZ and a byte
  check(text_mail("text/plain", "hello\n" + file), {{R"(attachment-filename == "\.exe$")", "true"},
                                                    {R"(attachment-filename == "\.pdf$")", "false"},
                                                    {R"(attachment-type == "application/*")", "true"},
                                                    {R"(attachment-type == "image/*")", "false"},
                                                    {R"(attachment-binary-contains("^MZ"))", "true"},
                                                    {R"(attachment-binary-contains("^PK"))", "false"}});
  check(text_mail("text/html", file), {{R"(attachment-filename == "\.exe$")", "false"}});
  // What breaks off gives no certainty about its bytes.
  check(text_mail("text/plain", "begin 644 calc.exe\n#35HA\nx\n"),
        {{R"(attachment-binary-contains("^MZ"))", "true"}, {R"(attachment-binary-contains("^PK"))", kUnread}});
  std::string many;
  for (size_t i = 0; i <= kMaxUuFiles; ++i) many += file;
  check(text_mail("text/plain", many), {{R"(attachment-filename == "\.pdf$")", kUnread}});
}

TEST(AttachmentContains, HtmlByItsName) {
  for (const char* type : {"application/octet-stream", "text/plain", "text/html"}) {
    for (const char* name : {"a.html", "a.HTM", "a.svg"}) {
      EXPECT_EQ(ask(R"(attachment-contains("secret"))", mixed({kBody, attached(type, name, "se<b></b>cr&#101;t")})),
                "true")
          << type << ' ' << name;
    }
  }
  // As a browser tells it, from its beginning.
  check(mixed({kBody, attached("text/plain", "a", "\r\n<!DOCTYPE html>se<b></b>cret")}),
        {{R"(attachment-contains("secret"))", "true"}});
}

TEST(AttachmentContains, AnAttachedHeaderThatIsCut) {
  std::string mail = "Content-Type: message/rfc822\n\n";
  for (int i = 0; i < 80; ++i) mail += "To: " + std::string(900, 'a') + "@example.com\n";
  check(mixed({kBody, mail + "Subject: secret\n\ntext\n"}),
        {{R"(attachment-contains("secret"))", kUnread}, {R"(attachment-contains("text"))", "true"}});
  check(mixed({kBody, mail + "\ntext\n"}), {{R"(attachment-contains("secret"))", kUnread}});
}

// Two boundaries: readers differ in which parts there are.
TEST(EveryPart, IsUnknownWhereReadersDiffer) {
  const std::string mail =
      "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1; boundary=b2\n\n"
      "--b1\n\nred DRAFT\n--b1\nContent-Disposition: attachment; filename=a.txt\n\nred\n--b1--\n"
      "--b2\n\nblue\n--b2\nContent-Disposition: attachment; filename=a.txt\n\nblue\n--b2--\n";
  check(mail, {{R"(only-body-contains("green"))", kUnread},
               {R"(only-body-contains("DRAFT"))", kUnread},
               {R"(every-attachment-contains("green"))", kUnread},
               {R"(every-attachment-contains("red"))", kUnread}});
  check(
      "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1; boundary=b2\n\n"
      "--b1\n\nred\n--b1--\n--b2\nContent-Disposition: attachment; filename=a.txt\n\nblue\n--b2--\n",
      {{R"(every-attachment-contains("blue"))", kUnread}});
}

TEST(AttachmentContains, AttachedMessagesAreOneAttachment) {
  const std::string mail = mixed({kBody,
                                  "Content-Type: message/rfc822\n\nFrom: b@example.com\nSubject: "
                                  "=?utf-8?q?hidden_s=C3=BCbject?=\nMIME-Version: 1.0\n"
                                  "Content-Type: multipart/mixed; boundary=b2\n\n--b2\n\ninner "
                                  "secret\n--b2\nContent-Type: text/html\n\n<p>se<i>cret</i>\n--b2--\n"});
  check(mail, {{R"(attachment-contains("secret", 2))", "true"},
               {R"(attachment-contains("hidden sübject"))", "true"},
               {R"(every-attachment-contains("inner"))", "true"},
               {R"(only-body-contains("secret"))", "false"}});
}

TEST(AttachmentContains, UuencodedFilesAreAttachments) {
  const std::string mail =
      text_mail("text/plain", "hello DRAFT\nbegin 644 notes.txt\n,<V5C<F5T('=O<F1S\n`\nend\nbye\n");
  check(mail, {{R"(attachment-contains("secret word"))", "true"},
               {R"(body-contains("secret words"))", "true"},
               {R"(only-body-contains("secret"))", "false"},
               {R"(only-body-contains("DRAFT\s+bye"))", "true"},
               {R"(every-attachment-contains("secret"))", "true"},
               {R"(attachment-contains("DRAFT"))", "false"}});
  const std::string binary = text_mail("text/plain", "begin 644 x.exe\n$35J0``` \n`\nend\n");
  check(binary,
        {{R"(attachment-contains("secret"))", "unknown(unscannable)"}, {R"(only-body-contains("secret"))", "false"}});
}

TEST(AttachmentBinaryContains, LooksAtBytes) {
  const std::string mail =
      mixed({kBody, attached("application/zip", "a.zip", std::string("PK\x03\x04\xFF\xFE\x80tail", 11))});
  check(mail, {{R"(attachment-binary-contains("^PK\x03\x04"))", "true"},
               {R"(attachment-binary-contains("\xFF\xFE\x80"))", "true"},
               {R"(attachment-binary-contains("\x80tail$"))", "true"},
               {R"(attachment-binary-contains("DRAFT"))", "false"},
               {R"(attachment-binary-contains("\xFF\x80"))", "false"}});
  std::string far(100'000, 'x');
  for (size_t i = 0; i < far.size(); i += 3) far[i] = '\x80';
  far += "\x80\x81needle";
  EXPECT_EQ(
      ask(R"(attachment-binary-contains("\x80\x81needle"))", mixed({kBody, attached("application/zip", "a", far)})),
      "true");
}

TEST(Thresholds, AlternativesCountOnce) {
  const std::string mail =
      "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n"
      "Content-Type: multipart/alternative; boundary=b2\n\n--b2\nContent-Type: text/plain\n\nred red\n--b2\n"
      "Content-Type: text/html\n\n<b>red</b> red red\n--b2--\n--b1\nContent-Type: text/plain; name=a.txt\n\nred "
      "red\n--b1--\n";
  check(mail, {{R"(body-contains("red", 5))", "true"},
               {R"(body-contains("red", 6))", "false"},
               {R"(attachment-contains("red", 3))", "false"},
               {R"(only-body-contains("red", 3))", "false"},
               {R"(only-body-contains("red", 2))", "true"}});
}

TEST(SmartIdentifiers, InContentRules) {
  check(text_mail("text/html", "<td>4111 1111</td><p>card 4111&nbsp;1111&nbsp;1111&nbsp;1111, 219-09-9999</p>\n"),
        {{R"(body-contains("*credit"))", "true"},
         {R"(body-contains("*credit", 2))", "false"},
         {R"(only-body-contains("*SSN"))", "true"},
         {R"(body-contains("*iban"))", "false"}});
}

// A context with the dictionaries whose texts are given.
LoadContext with_dictionaries(const std::vector<std::pair<std::string, std::string>>& files) {
  LoadContext context = default_context();
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  for (const auto& [name, text] : files) {
    auto dictionary = load_dictionary(sources, sources.add_text(name, text), diagnostics);
    EXPECT_NE(dictionary, nullptr) << diagnostics.render();
    if (dictionary) context.dictionaries.push_back(std::move(dictionary));
  }
  return context;
}

const LoadContext& dictionaries() {
  static const LoadContext context = with_dictionaries({
      {"dictionaries.d/colours.txt", "# colours\n%whole-words\nred,2\nblue\n/gr[ae]y/,5\n*credit,10\n"},
      {"people.yaml", "case-sensitive: true\nentries:\n  - Müller\n  - {text: 'rival.test', weight: 3}\n"},
  });
  return context;
}

std::string ask_dictionary(const std::string& condition, const std::string& text, bool prepared) {
  const auto rules = load("filters:\n" + filter("f", condition, {"log-entry: 'saw $MatchedContent'"}), dictionaries());
  if (rules == nullptr) return "(does not load)";
  if (prepared) rules->prepare();
  Mail mail(text);
  mail.message->envelope.from = "sales@rival.test";
  return truth_text(run(*rules, mail).reports[0].result);
}

TEST(Dictionaries, InRules) {
  const std::string mail =
      "Subject: =?utf-8?q?An_M=C3=BCller?=\n" + mixed({"Content-Type: text/plain\n\nred and redder, Blue\n",
                                                       attached("text/plain", "a.txt", "a grey 4111111111111111")});
  struct {
    const char* condition;
    const char* expected;
  } const cases[] = {
      {R"(dictionary-match("colours"))", "true"},
      {R"(dictionary-match("colours", 18))", "true"},
      {R"(dictionary-match("colours", 19))", "false"},
      {R"(body-dictionary-match("colours", 3))", "true"},
      {R"(body-dictionary-match("colours", 4))", "false"},
      {R"(attachment-dictionary-match("colours", 15))", "true"},
      {R"(attachment-dictionary-match("colours", 16))", "false"},
      {R"(subject-dictionary-match("people"))", "true"},
      {R"(header-dictionary-match("people", "Subject"))", "true"},
      {R"(header-dictionary-match("people", "From"))", "false"},
      {R"(mail-from-dictionary-match("people"))", "true"},
      {R"(rcpt-to-dictionary-match("people"))", "false"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(ask_dictionary(each.condition, mail, false), each.expected) << each.condition;
    EXPECT_EQ(ask_dictionary(each.condition, mail, true), each.expected) << each.condition << ", with the prefilter";
  }
}

TEST(Dictionaries, MatchedContentNamesTheHit) {
  const auto rules =
      load("filters:\n" + filter("f", R"(dictionary-match("colours"))", {"log-entry: 'saw $MatchedContent'"}),
           dictionaries());
  ASSERT_NE(rules, nullptr);
  Mail mail(text_mail("text/plain", "a GREY one\n"));
  const Outcome outcome = run(*rules, mail);
  ASSERT_EQ(outcome.log_entries.size(), 1u);
  EXPECT_EQ(outcome.log_entries[0], "f: saw GREY");
}

// A scanner that knows one format.
struct FakeScanner : scan::Scanner {
  int asked = 0;
  scan::Verdict scan(const scan::Job& job) override {
    ++asked;
    scan::Verdict verdict = scan::unscannable(scan::Reason::unsupported, job.name, job.declared_mime, job.bytes.size());
    if (!job.bytes.starts_with("%PDF")) return verdict;
    verdict.leaves[0].reason = scan::Reason::none;
    verdict.leaves[0].text = job.bytes.substr(5);
    verdict.leaves.push_back(verdict.leaves[0]);
    verdict.leaves[1].text = "second secret";
    return verdict;
  }
};

// run evaluates `rules` with every report, asking `scanner` for the text of documents.
Outcome run(const RuleSet& rules, Mail& mail, FakeScanner& scanner) {
  const scan::ScanSettings settings;
  Facts facts(*mail.message, rules, "inbound", 0);
  facts.inspection().set(&scanner, &settings, true);
  Outcome outcome;
  EvalOptions options;
  options.report_all = true;
  evaluate(rules, Phase::message, facts, options, outcome);
  return outcome;
}

TEST(ScannedText, IsAskedOncePerLeaf) {
  const auto rules = load("filters:\n" + filter("a", R"(attachment-contains("secret", 2))", {"tag-message: two"}) +
                          filter("b", R"(attachment-contains("secret", 3))", {"tag-message: three"}) +
                          filter("c", R"(attachment-contains("x") or attachment-contains("y"))", {"no-op"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(mixed({kBody, attached("application/pdf", "a.pdf", "%PDF-a secret")}));
  FakeScanner scanner;
  const Outcome outcome = run(*rules, mail, scanner);
  EXPECT_EQ(outcome.tags, std::vector<std::string>{"two"});
  EXPECT_EQ(scanner.asked, 1);
  EXPECT_EQ(truth_text(outcome.reports[1].result), "false");
  EXPECT_EQ(truth_text(outcome.reports[2].result), "false");
}

TEST(ScannedText, IsAskedBesideTextThatIsADocument) {
  const auto rules = load("filters:\n" + filter("a", R"(attachment-contains("one secret"))", {"no-op"}) +
                          filter("b", R"(attachment-contains("secret", 4))", {"no-op"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(mixed({kBody, attached("text/plain", "a.txt", "%PDF-one secret")}));
  FakeScanner scanner;
  const Outcome outcome = run(*rules, mail, scanner);
  EXPECT_EQ(scanner.asked, 1);
  EXPECT_EQ(truth_text(outcome.reports[0].result), "true");
  EXPECT_EQ(truth_text(outcome.reports[1].result), "false");
}

TEST(ContentBytes, AreDecodedOnce) {
  const std::string text =
      mixed({kBody, attached("image/x-a", "a", std::string(3000, 'a')), attached("image/x-b", "b", "short")});
  for (const uint64_t most : {uint64_t{1} << 20, uint64_t{100}}) {
    base::Limits limits;
    limits.decoded_text = most;
    Mail mail(text, limits);
    Inspection content(*mail.message);
    bool damaged = false;
    const char* const second = content.bytes(2, damaged).data();
    EXPECT_EQ(content.bytes(3, damaged), "short");
    const std::string_view again = content.bytes(2, damaged);
    EXPECT_EQ(again, std::string(3000, 'a'));
    EXPECT_TRUE(most < 3000 || again.data() == second);
    EXPECT_FALSE(damaged);
    EXPECT_EQ(content.bytes(3, damaged), "short");
  }
}

// What a rule says of a message for which only `most` bytes of text may be kept.
std::string ask_within(uint64_t most, const std::string& condition, const std::string& text) {
  const auto rules = load_filter(condition, {"no-op"});
  if (rules == nullptr) return "(does not load)";
  base::Limits limits;
  limits.decoded_text = most;
  Mail mail(text, limits);
  FakeScanner scanner;
  const Outcome outcome = run(*rules, mail, scanner);
  return truth_text(outcome.reports[0].result);
}

TEST(DecodedText, PastTheLimitIsUnknown) {
  const std::string document = attached("application/pdf", "a.pdf", "%PDF-" + std::string(3000, 'x'));
  std::string file = "begin 644 a.txt\n";
  for (int i = 0; i < 100; ++i) file += ",<V5C<F5T('=O<F1S\n";
  file += "`\nend\n";
  const std::string header = "Content-Type: message/rfc822\n\nSubject: " + std::string(900, 's') + "\n\ntext\n";
  struct {
    const char* what;
    std::string mail;
    uint64_t enough;
  } const cases[] = {
      {"a document", mixed({kBody, document}), 4096},
      {"two documents", mixed({kBody, document, document}), 8192},
      {"a uuencoded file", text_mail("text/plain", file), 4096},
      {"text round one", text_mail("text/plain", std::string(2000, 'x') + "\n" + file), 8192},
      {"another charset", base64_mail("text/plain", utf16(std::string(900, 'x'), true)), 4096},
      {"shown header fields", mixed({kBody, header}), 1024},
      {"invisible characters", text_mail("text/plain; charset=utf-8", std::string(900, 'x') + "\xC2\xAD"), 1024},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(ask_within(each.enough, R"(body-contains("absent"))", each.mail), "false") << each.what;
    EXPECT_EQ(ask_within(800, R"(body-contains("absent"))", each.mail), kUnread) << each.what;
  }
  EXPECT_EQ(ask_within(4096, R"(body-contains("absent"))", cases[1].mail), kUnread);
}

}  // namespace
}  // namespace postern::rules::test

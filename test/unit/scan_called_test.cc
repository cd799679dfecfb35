// SPDX-License-Identifier: Apache-2.0
// What a file is called counts whatever its content looks like, where what opens it goes by the name: pages, mail,
// cards and calendars behind junk, scripts behind other heads, archives that nobody recognizes here. And text that zero
// bytes make look like UTF-16.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <string>

#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/scan_job.h"
#include "test/unit/scan_support.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;
using test::le32;

Verdict scan(std::string_view bytes, std::string_view name, std::string_view mime = "application/octet-stream") {
  Job job;
  job.bytes = bytes;
  job.name = name;
  job.declared_mime = mime;
  return scan_job(job);
}
std::string types(std::string_view bytes, std::string_view name, std::string_view declared = "") {
  std::string out;
  for (const FileType type : guess_types(bytes, name, declared).types) {
    out += (out.empty() ? "" : " ") + std::string(info(type).name);
  }
  return out;
}
bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }
bool finds(const Verdict& verdict, std::string_view text) {
  return std::ranges::any_of(verdict.leaves, [&](const Leaf& leaf) { return has(leaf.text, text); });
}
bool has_mark(const Leaf& leaf, Mark mark) { return (leaf.marks & static_cast<uint16_t>(mark)) != 0; }

uint32_t crc(std::string_view bytes) {
  return static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}
std::string empty_7z() {
  const std::string start(20, '\0');
  return "7z\xbc\xaf\x27\x1c\0\4"s + le32(crc(start)) + start;
}
std::string empty_rar() {
  const std::string main = "\x03\x01\0\0"s;
  const std::string end = "\x03\x05\0\0"s;
  return "Rar!\x1a\x07\x01\0"s + le32(crc(main)) + main + le32(crc(end)) + end;
}

const std::string kJpeg = "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"s;
const std::string kFont = "\0\1\0\0\0\x0c\0\x80"s;
const std::string kPage = "<html><body>shown secret</body></html>";
// "Cat" in base64.
const std::string kMail =
    "From: a@example.com\r\nTo: b@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    "--b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Transfer-Encoding: base64\r\n\r\nQ2F0\r\n--b--\r\n";

TEST(ScanCalled, APageIsOneWhateverStandsBeforeIt) {
  const std::string junk[] = {"\0"s, "\1\2\3\4\5", kJpeg, kFont, "{\\rtf1 }\n", std::string(75000, 'a')};
  for (const std::string& before : junk) {
    for (const std::string_view name : {"a.html", "a.htm", "a.shtml"}) {
      const Verdict verdict = scan(before + kPage, name);
      EXPECT_TRUE(verdict.leaves[0].is(FileType::html)) << before.substr(0, 8) << name;
      EXPECT_TRUE(has(verdict.leaves[0].text, "shown secret")) << before.substr(0, 8) << name;
    }
    EXPECT_TRUE(has(types(before + kPage, "", "text/html"), "html"));
    EXPECT_TRUE(has(types(before + kPage, "a.xht"), "xhtml"));
    EXPECT_TRUE(has(types(before + kPage, "a.svg"), "svg"));
  }
  EXPECT_EQ(types(kJpeg, "a.jpg", "image/jpeg"), "jpeg");
  EXPECT_EQ(types(kPage, "a.html", "text/html"), "html");
  EXPECT_EQ(types("", "a.html"), "unknown");
}

TEST(ScanCalled, TextThatIsCalledAPageIsBoth) {
  const Verdict verdict = scan("prose <and more> of it", "a.html", "text/plain");
  EXPECT_TRUE(has(verdict.leaves[0].text, "<and more>"));
  EXPECT_FALSE(has(scan("prose <and more> of it", "", "text/html").leaves[0].text, "<and more>"));
}

TEST(ScanCalled, MailIsReadWhateverStandsInOrBeforeIt) {
  std::string inside = kMail;
  inside.replace(inside.find("Subject: x"), 10, "Subject:\0x"s);
  for (const std::string& mail : {inside, "\xff\xfe" + kMail, "hello\r\n" + kMail, "\xef\xbb\xbf" + kMail,
                                  "ID3\x03: x\r\n" + kMail, kJpeg + "\r\n" + kMail, "\xfe\0junk\r\n\r\n"s + kMail}) {
    for (const std::string_view name : {"a.eml", "a.mht"}) {
      const Verdict verdict = scan(mail, name);
      EXPECT_TRUE(verdict.leaves[0].is(FileType::rfc822)) << mail.substr(0, 8);
      EXPECT_TRUE(finds(verdict, "Cat")) << mail.substr(0, 8);
      EXPECT_TRUE(std::ranges::none_of(verdict.leaves, [](const Leaf& leaf) { return leaf.reason == Reason::depth; }));
    }
    EXPECT_TRUE(finds(scan(mail, "", "message/rfc822"), "Cat"));
  }
  EXPECT_TRUE(finds(scan("\xfe\0junk\r\n\r\n"s + kMail, "a.doc"), "Cat"));
  EXPECT_TRUE(finds(scan("%PDF-1.4\r\n" + kMail, "a.doc"), "Cat"));
}

TEST(ScanCalled, AMessageIsNotReadInItself) {
  EXPECT_EQ(scan("\xef\xbb\xbf" + kMail, "a.eml").leaves.size(), 3u);
  std::string wide = "\xff\xfe";
  for (const char c : kMail) wide += std::string(1, c) + '\0';
  const Verdict verdict = scan(wide, "a.eml");
  EXPECT_EQ(verdict.leaves.size(), 3u);
  EXPECT_TRUE(finds(verdict, "Cat"));
  EXPECT_EQ(scan("no header at all", "a.eml").leaves.size(), 1u);
  EXPECT_TRUE(finds(scan("no header at all", "a.eml"), "no header"));
  EXPECT_TRUE(finds(scan("secret words\0\r\n"s + kMail, "a.eml"), "secret words")) << "before the header";
  EXPECT_TRUE(finds(scan("\r\n" + kMail, "a.eml"), "Cat"));
  EXPECT_TRUE(finds(scan("no header\0 secret words"s, "a.eml"), "secret words"));
}

TEST(ScanCalled, CardsAndCalendarsAreReadBehindJunk) {
  const std::string card = "BEGIN:VCARD\r\nVERSION:3.0\r\nPHOTO;ENCODING=b:Q2F0\r\nEND:VCARD\r\n";
  for (const std::string& before : {"\0"s, "a line\r\n"s, "GIF89a\r\n"s}) {
    EXPECT_TRUE(finds(scan(before + card, "a.vcf"), "Cat")) << before;
    EXPECT_TRUE(has(types(before + card, "a.ics"), "ics")) << before;
    EXPECT_TRUE(has(types(before, "", "text/calendar"), "ics")) << before;
  }
}

TEST(ScanCalled, AScriptIsOneBehindAnyHead) {
  for (const std::string& head : {kJpeg, kFont, "SQLite format 3\0"s, "PK\3\4"s + std::string(60, '\0')}) {
    for (const std::string_view name : {"a.bat", "a.cmd", "a.js", "a.vbs", "a.wsf", "a.reg", "a.ps1", "a.sh", "a.py"}) {
      EXPECT_TRUE(scan(head + "\r\n@echo off\r\n", name).leaves[0].in_group(Group::executable)) << name;
    }
    EXPECT_TRUE(scan(head + "\r\n[InternetShortcut]\r\n", "a.url").leaves[0].is(FileType::url));
    const Leaf page = scan(head + "<script language=vbscript>x</script>shown", "a.hta").leaves[0];
    EXPECT_TRUE(page.is(FileType::hta));
    EXPECT_TRUE(has(page.text, "shown"));
  }
}

TEST(ScanCalled, WhatRunsCommandsIsAProgram) {
  for (const std::string_view name : {"a.settingcontent-ms",
                                      "a.msc",
                                      "a.scf",
                                      "a.desktop",
                                      "a.command",
                                      "a.tool",
                                      "a.terminal",
                                      "a.inetloc",
                                      "a.pyw",
                                      "a.pyc",
                                      "a.scpt",
                                      "a.hlp",
                                      "a.appref-ms",
                                      "a.application",
                                      "a.jnlp",
                                      "a.library-ms",
                                      "a.theme",
                                      "a.inf",
                                      "a.rdp",
                                      "a.vb",
                                      "a.htc",
                                      "a.mst",
                                      "a.ps1xml",
                                      "a.psd1",
                                      "a.bash",
                                      "a.zsh",
                                      "a.run",
                                      "a.ahk"}) {
    EXPECT_TRUE(scan("x", name).leaves[0].in_group(Group::executable)) << name;
    EXPECT_TRUE(scan("\x01\0\x02"s, name).leaves[0].in_group(Group::executable)) << name;
    EXPECT_TRUE(scan("<?xml version=\"1.0\"?><a></a>", name).leaves[0].in_group(Group::executable)) << name;
  }
}

TEST(ScanCalled, ArchivesBehindOtherHeads) {
  for (const std::string& head : {"hello world\r\n"s, "<html><p>x</html>\n"s, "{\\rtf1 x}"s, kFont, "From: a\r\n"s}) {
    EXPECT_TRUE(has(types(head + empty_rar(), "x.rar"), "rar")) << head;
    EXPECT_TRUE(has(types(head + empty_7z(), "x.7z"), "7z")) << head;
    EXPECT_TRUE(has(types(head + empty_7z(), ""), "7z")) << head;
  }
  test::Zip zip;
  zip.add("a.rar", empty_rar());
  EXPECT_EQ(types(zip.bytes(), "x.zip"), "zip") << "what an archive holds is not what it is";
  EXPECT_EQ(types(std::string(200, 'x') + "Rar! is what archives begin with, and 7z\xbc\xaf\x27\x1c", "x.txt"), "txt");
  EXPECT_EQ(scan("<html>x</html>MSCF\0\0\0\0"s, "x.cab").leaves[0].reason, Reason::unsupported);
}

TEST(ScanCalled, AnArchiveThatNobodyRecognizesIsUnsupported) {
  std::string odd;
  for (int i = 0; i < 50; ++i) odd += "\xfe\0\x12\x99\0\1\0"s;
  for (const std::string_view name :
       {"a.lzma", "a.zip", "a.7z.002", "a.003", "a.r07", "a.img", "a.iso", "a.br", "a.pmd"}) {
    EXPECT_EQ(scan(odd, name).leaves[0].reason, Reason::unsupported) << name;
  }
  for (const std::string_view name : {"a.bin", "a.dat", "a", "a.r0", "a.2024", "a.v12"}) {
    EXPECT_EQ(scan(odd, name).leaves[0].reason, Reason::none) << name;
  }
  for (const std::string_view name : {"a.b64", "a.7z.001", "a.rar"}) {
    EXPECT_EQ(scan("7", name).leaves[0].reason, Reason::unsupported) << name;
  }
  EXPECT_EQ(scan("UNA:+.? 'UNB+UNOC:3'", "INVOIC.001").leaves[0].reason, Reason::none);
  EXPECT_EQ(scan("<?xml version=\"1.0\"?><feedback></feedback>", "report.xml.gz").leaves[0].reason, Reason::none);
  for (const std::string& image : {"pbzx"s + odd, "shsq"s + odd, "ITOLITLS"s + odd, std::string(512, '\0') + "EFI PART",
                                   std::string(32, '\1') + "NXSB"}) {
    EXPECT_EQ(scan(image, "x.bin").leaves[0].reason, Reason::unsupported) << image.substr(0, 8);
  }
}

TEST(ScanCalled, ZeroBytesDoNotTurnTextIntoUtf16) {
  std::string zeros;
  for (int i = 0; i < 300; ++i) zeros += "\0x"s;
  EXPECT_TRUE(has(scan("<html><!--" + zeros + "-->" + kPage, "a.html").leaves[0].text, "shown secret"));
  EXPECT_TRUE(has(scan("<html><!--" + zeros + "-->" + kPage, "").leaves[0].text, "shown secret"));
  EXPECT_TRUE(has(scan("hello \0 secret words"s, "a.txt").leaves[0].text, "secret words"));
  EXPECT_TRUE(
      has_mark(scan("a,b\n" + zeros.substr(0, 60) + "\n=cmd|'/c calc'!A0,b\n", "a.csv").leaves[0], Mark::macro_dde));
  EXPECT_TRUE(finds(scan("x " + zeros.substr(0, 60) + "\nbegin 644 inner.txt\n#0V%T\n`\nend\n", "a.txt"), "Cat"));
  std::string wide;
  for (const char c : "plain words of latin text"s) wide += std::string(1, c) + '\0';
  EXPECT_EQ(scan(wide, "a.txt").leaves[0].text, "plain words of latin text");
}

TEST(ScanCalled, ZerosBetweenPackedStreamsHideNone) {
  const std::string bytes = test::gzip("one") + std::string(100, '\0') + test::gzip("the secret");
  EXPECT_TRUE(finds(scan(bytes, "a.gz"), "the secret"));
}

}  // namespace
}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// What is text to who opens it is read as text, whatever mark it begins with and whatever bytes stand in it; what text
// carries is found however far down it stands. And things that begin as few do: workbooks without a compound file,
// OpenPGP without salt, signed content that calls itself detached.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/scan_job.h"
#include "test/unit/scan_support.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;
using test::le16;
using test::le32;

Verdict scan(std::string_view bytes, std::string_view name, std::string_view mime = "application/octet-stream",
             bool want_text = true) {
  Job job;
  job.bytes = bytes;
  job.name = name;
  job.declared_mime = mime;
  job.want_text = want_text;
  return scan_job(job);
}
bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }
bool finds(const Verdict& verdict, std::string_view text) {
  return std::ranges::any_of(verdict.leaves, [&](const Leaf& leaf) { return has(leaf.text, text); });
}
const std::string kUuencoded = "begin 644 inner.txt\n#0V%T\n`\nend\n";

std::string utf16(std::string_view ascii) {
  std::string out = "\xff\xfe";
  for (const char c : ascii) out += std::string(1, c) + '\0';
  return out;
}

TEST(ScanTextual, AMarkOfAFewLettersHidesNoScript) {
  const std::string script = "=1;new ActiveXObject(\"WScript.Shell\").Run(\"calc\")\n";
  for (const std::string mark : {"ID3", "FWS", "CWS", "AC10", "GIF89a", "ITSF", "070701", "fLaC", "LRZI"}) {
    for (const std::string_view name : {"a.js", "a.vbs", "a.bat", "a.hta", "a.url", "a.ps1"}) {
      const Verdict verdict = scan(mark + script, name);
      EXPECT_TRUE(verdict.leaves[0].in_group(Group::executable)) << mark << " " << name;
      EXPECT_TRUE(has(verdict.leaves[0].text, "WScript.Shell")) << mark << " " << name;
    }
  }
  const Verdict page = scan("GIF89a<script>x</script>shown", "a.html");
  EXPECT_TRUE(page.leaves[0].is(FileType::gif));
  EXPECT_TRUE(page.leaves[0].is(FileType::html));
}

TEST(ScanTextual, AMarkOfAFewLettersHidesNoText) {
  EXPECT_EQ(scan("AC10,secret,1\n", "london.csv").leaves[0].text, "AC10,secret,1\n");
  EXPECT_EQ(scan("AC1015,secret\n", "london.csv").leaves[0].text, "AC1015,secret\n");
  EXPECT_EQ(scan("ID3,secret\n", "tags.csv").leaves[0].text, "ID3,secret\n");
  EXPECT_TRUE(scan("GIF89a is what secret pictures begin with", "").leaves[0].is(FileType::txt));
}

TEST(ScanTextual, PicturesAndSoundAreNoText) {
  EXPECT_EQ(scan("ID3\x03\0\0\0\0\x02\0TIT2\0\0\0\x05\0\0\0abc"s, "a.mp3").leaves[0].types, std::vector{FileType::mp3});
  EXPECT_EQ(scan("CWS\x09\x40\x01\0\0x\xda"s, "a.swf").leaves[0].types, std::vector{FileType::flash});
  EXPECT_EQ(scan("GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0;"s, "a.txt", "image/gif").leaves[0].text, "");
}

TEST(ScanTextual, ABatchFileRunsFromItsFirstLine) {
  const Verdict verdict = scan("@start calc&exit\r\n" + std::string(600, '\0'), "a.bat");
  EXPECT_TRUE(verdict.leaves[0].is(FileType::bat));
  EXPECT_TRUE(scan("%PDF-1.4\r\nstart calc\r\n", "a.bat").leaves[0].is(FileType::bat));
}

TEST(ScanTextual, OddBytesHideNothingInWhatIsCalledText) {
  const std::string odd = "hello\0 secret words\n"s + kUuencoded;
  for (const std::string_view name : {"notes.txt", "server.log", "list.csv", "page.html"}) {
    const Verdict verdict = scan(odd, name);
    EXPECT_TRUE(has(verdict.leaves[0].text, "secret words")) << name;
    EXPECT_TRUE(finds(verdict, "Cat")) << name;
  }
  EXPECT_EQ(scan("\x01\x02\x03secret\x01\x04\n", "server.log").leaves[0].text, "\x01\x02\x03secret\x01\x04\n");
  EXPECT_EQ(scan("\x01\x02\x03secret\x01\x04\n", "server.bin").leaves[0].text, "");
}

TEST(ScanTextual, CarriersAreFoundFarDown) {
  std::string line;
  while (line.size() < (64u << 10)) line += "words that say nothing and are no end of it\n";
  std::string text;
  while (text.size() < (17u << 20)) text += line;
  text += kUuencoded;
  const Verdict verdict = scan(text, "a.txt", "text/plain", false);
  EXPECT_TRUE(verdict.leaves[0].is(FileType::uuencode));
  ASSERT_EQ(verdict.leaves.size(), 2u);
  EXPECT_EQ(verdict.leaves[1].name, "inner.txt");
}

TEST(ScanTextual, CarriersAreFoundInWideText) {
  std::string text;
  while (text.size() < (1u << 20)) text += "words that say nothing\n";
  EXPECT_TRUE(finds(scan(utf16(text + kUuencoded), "a.txt"), "Cat"));
  EXPECT_TRUE(finds(
      scan(utf16(text + "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nQ2F0cw==\n"), "a"), "Cats"));
}

TEST(ScanTextual, WorkbooksWithoutACompoundFile) {
  const auto record = [](uint32_t type, std::string_view body) {
    return le16(type) + le16(body.size()) + std::string(body);
  };
  const std::string label2 = record(0x04, le16(0) + le16(0) + "\0\0\0\6secret"s);
  const std::string label = record(0x204, le16(0) + le16(0) + le16(0) + le16(6) + "secret");
  const std::string books[] = {
      record(0x0009, le16(2) + le16(0x10)) + label2,
      record(0x0009, le16(2) + le16(0x40)) + label2,
      record(0x0209, le16(0) + le16(0x10) + le16(0)) + label,
      record(0x0409, le16(0) + le16(0x10) + le16(0)) + label,
      record(0x0409, le16(0) + le16(0x100) + le16(0)) + label,
      record(0x0809, le16(0x500) + le16(0x05) + le16(0) + le16(0)) + label,
  };
  for (const std::string& book : books) {
    const Verdict verdict = scan(book + record(0x0a, ""), "a.dat");
    EXPECT_TRUE(verdict.leaves[0].is(FileType::xls));
    EXPECT_EQ(verdict.leaves[0].text, "secret");
  }
  EXPECT_TRUE(scan(books[1] + record(0x0a, ""), "a.dat").leaves[0].has(Mark::macro_xlm));
}

TEST(ScanTextual, OpenPgpWithoutSaltOrSessionKey) {
  std::string noise;
  for (int i = 0; i < 60; ++i) noise += static_cast<char>(i * 37 + 11);
  // What gpg --symmetric --s2k-mode 0 begins with.
  EXPECT_TRUE(scan("\x8c\x04\x04\x09\x00\x02\xd2\x3d\x01"s + noise, "a").leaves[0].is(FileType::pgp));
  EXPECT_TRUE(scan("\xd2\x3d\x01"s + noise, "a").leaves[0].is(FileType::pgp));
  const Verdict legacy = scan("\xc9\x3c"s + noise, "a");
  EXPECT_TRUE(legacy.leaves[0].is(FileType::pgp));
  EXPECT_EQ(legacy.leaves[0].reason, Reason::password);
  // In parts, of which the first is 2^5 bytes long.
  EXPECT_TRUE(scan("\xc9\xe5"s + noise.substr(0, 32) + "\x1c" + noise.substr(32), "a").leaves[0].is(FileType::pgp));
  EXPECT_FALSE(scan("\xd2\x3e\x01"s + noise, "a").leaves[0].is(FileType::pgp)) << "is longer than the file";
}

TEST(ScanTextual, ContentThatCallsItselfDetachedIsRead) {
  const auto der = [](char tag, const std::string& body) {
    return std::string(1, tag) + static_cast<char>(body.size()) + body;
  };
  const std::string data = "\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"s;
  const auto made = [&](const std::string& content) {
    const std::string inner = der('\x30', "\x02\x01\x01"s + der('\x31', data) + content + der('\x31', ""));
    return der('\x30', "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"s + der('\xa0', inner));
  };
  const std::string opaque = der('\x30', data.substr(2) + der('\xa0', der('\x04', "secret words")));
  EXPECT_TRUE(finds(scan(made(opaque), "smime.p7s", "application/pkcs7-signature"), "secret words"));
  const Verdict detached = scan(made(data), "smime.p7s", "application/pkcs7-signature");
  EXPECT_EQ(detached.leaves.size(), 1u);
  EXPECT_EQ(detached.leaves[0].reason, Reason::none);
}

// The attributes of TNEF: a level, what it is, its length, itself, a checksum that nobody looks at.
std::string attribute(char level, uint32_t id, std::string_view data) {
  return level + le32(id) + le32(data.size()) + std::string(data) + le16(0);
}
std::string property(uint32_t tag, std::string_view value) {
  std::string padded(value);
  padded.resize((padded.size() + 3) / 4 * 4);
  return le32(tag) + ((tag & 0xffff) == 3 ? std::string() : le32(1) + le32(value.size())) + padded;
}
const std::string kTnef = "\x78\x9f\x3e\x22"s + le16(1);

TEST(ScanTextual, TnefIsReadInTheCodePageThatItStates) {
  const std::string word = "\xf1\xe5\xea\xf0\xe5\xf2"s;  // in windows-1251
  const std::string page = attribute(1, 0x00069007, le32(1251) + le32(0));
  for (const std::string& tnef : {
           kTnef + page + attribute(1, 0x0002800c, word),
           kTnef + attribute(1, 0x0002800c, word) + page,
           kTnef + attribute(1, 0x00069003, le32(2) + property(0x3fde0003, le32(1251)) + property(0x1000001e, word)),
           kTnef + attribute(1, 0x00069007, le32(1252) + le32(0)) +
               attribute(1, 0x00069003, le32(2) + property(0x1000001e, word) + property(0x3fde0003, le32(1251))),
       }) {
    const Verdict verdict = scan(tnef, "winmail.dat", "application/ms-tnef");
    ASSERT_EQ(verdict.leaves.size(), 2u);
    EXPECT_EQ(verdict.leaves[1].text, "секрет");
  }
  const Verdict japanese =
      scan(kTnef + attribute(1, 0x00069007, le32(932) + le32(0)) + attribute(1, 0x0002800c, "\x94\xe9\x96\xa7"s) +
               attribute(2, 0x00069002, "") + attribute(2, 0x00018010, "\x94\xe9.txt"s) + attribute(2, 0x0006800f, "x"),
           "winmail.dat");
  ASSERT_EQ(japanese.leaves.size(), 3u);
  EXPECT_EQ(japanese.leaves[1].text, "秘密");
  EXPECT_EQ(japanese.leaves[2].name, "秘.txt");
}

TEST(ScanTextual, SubjectAndPeopleOfTnefAreItsText) {
  const std::string row = le32(2) + property(0x3001001e, "A Recipient") + property(0x39fe001e, "r@example.org");
  const Verdict verdict = scan(
      kTnef + attribute(1, 0x00018004, "old subject\0"s) +
          attribute(1, 0x00008000, le16(4) + le16(36) + le16(8) + le16(20) + "A Sender" + "SMTP:s@example.org\0\0"s) +
          attribute(1, 0x00069004, le32(1) + row) +
          attribute(1, 0x00069003, le32(1) + property(0x0037001f, "n\0e\0w\0"s)),
      "winmail.dat");
  EXPECT_EQ(verdict.leaves[0].text, "old subject\nA Sender\nSMTP:s@example.org\nA Recipient\nr@example.org\nnew");
  EXPECT_EQ(verdict.leaves[0].reason, Reason::none);
}

TEST(ScanTextual, LongJsonAndDamagedWideTextAreReadInPieces) {
  std::string json = "[\"";
  while (json.size() < 100000) json += "\\u00e4ö ";
  json += "pass\\u0077ord\"]";
  const Verdict verdict = scan(json, "a.json");
  EXPECT_TRUE(has(verdict.leaves[0].text, "ää") || has(verdict.leaves[0].text, "äö äö"));
  EXPECT_TRUE(has(verdict.leaves[0].text, "password\"]"));
  EXPECT_FALSE(has(verdict.leaves[0].text, "\xef\xbf\xbd"));
  // Called UTF-16, and UTF-32 without a mark behind its beginning.
  std::string wide;
  for (int i = 0; i < 200000; ++i) wide += std::string("\0\1\xf6", 3) + static_cast<char>(0xd8 + i % 8);
  Job job;
  job.bytes = wide;
  job.name = "a.txt";
  job.declared_mime = "text/plain";
  job.charset = "utf-16le";
  EXPECT_TRUE(has(scan_job(job).leaves[0].text, "\xf0\x9f\x9b\x98"));
}

TEST(ScanTextual, ArchivesBehindPictures) {
  const std::string picture = "\xff\xd8\xff\xe0\0\x10JFIF\0"s + std::string(5u << 20, '\1');
  // The CRC-32 of twenty zero bytes makes a header.
  const std::string header = "7z\xbc\xaf\x27\x1c\0\4"s + le32(0x0fd59b8d) + std::string(20, '\0');
  EXPECT_TRUE(scan(picture + header, "a.jpg", "image/jpeg").leaves[0].is(FileType::type_7z));
  EXPECT_FALSE(scan(picture + "7z\xbc\xaf\x27\x1c\0\4", "a.jpg", "image/jpeg").leaves[0].is(FileType::type_7z));
}

TEST(ScanTextual, ArchivesWithoutAReaderAreUnscannable) {
  EXPECT_EQ(scan("7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3zPQ\x02\x01" + std::string(50, '\0'), "a").leaves[0].reason,
            Reason::unsupported);
  ASSERT_TRUE(prepare_types());
  EXPECT_EQ(scan("qpress10" + std::string(50, '\0'), "a").leaves[0].reason, Reason::unsupported);
  EXPECT_EQ(scan(std::string(50, '\5'), "a").leaves[0].reason, Reason::none);
}

}  // namespace
}  // namespace postern::scan::worker

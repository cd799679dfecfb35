// SPDX-License-Identifier: Apache-2.0
// Other readings: which there are of a fault, none without one, and that every bound holds.
#include "engine/mime/readings.h"

#include <algorithm>

#include "mime_support.h"

namespace postern::mime {
namespace {

// Found is a message with what other readers see in it.
struct Found {
  test::Mail mail;
  OtherReadings others;
  Defects decoding;
};

Found find(std::string_view file, const ReadingBounds& bounds = {}) {
  Found out;
  out.mail = test::read(file);
  std::vector<uint32_t> odd;
  for (uint32_t i = 0; i < out.mail.structure.parts.size(); ++i) {
    const Part& part = out.mail.structure.parts[i];
    if (!part.is_leaf()) continue;
    const Decoded decoded = decode_content(part, out.mail.body);
    if (decoded.odd) odd.push_back(i);
    if (is_ambiguous_damage(part, decoded)) out.decoding.add(Defect::damaged_encoding);
  }
  out.others = other_readings(out.mail.header, out.mail.structure, out.mail.body, {}, odd, bounds);
  return out;
}

const OtherReading* reading(const Found& found, std::string_view content) {
  for (const OtherReading& each : found.others.list) {
    std::string_view bytes = each.bytes(found.mail.body);
    while (bytes.ends_with('\n') || bytes.ends_with('\r')) bytes.remove_suffix(1);
    if (bytes == content) return &each;
  }
  return nullptr;
}

bool is_ambiguous(const Found& found) { return ambiguous(found.mail.structure, found.decoding); }

constexpr std::string_view kSecret = "SECRET payload of the part";
constexpr std::string_view kCoded = "U0VDUkVUIHBheWxvYWQgb2YgdGhlIHBhcnQ=";
constexpr std::string_view kMixed = "Content-Type: multipart/mixed; boundary=bnd\n\n";

std::string coded_part(std::string_view encoding_field) {
  return "Content-Type: application/octet-stream; name=a.exe\n" + std::string(encoding_field) + "\n\n" +
         std::string(kCoded) + "\n";
}

TEST(Readings, SecretIsFound) {
  const std::string mixed(kMixed);
  const std::string part = coded_part("Content-Transfer-Encoding: base64");
  const std::string parts = "--bnd\n\nhello\n--bnd\n" + part + "--bnd--\n";
  const std::string table[] = {
      // Which boundary.
      "Content-Type: multipart/mixed; boundary=x; boundary=bnd\n\n" + parts,
      "Content-Type: multipart/mixed; boundary='bnd'\n\n" + parts,
      "Content-Type: multipart/mixed\n\n" + parts,
      "Content-Type: multipart/mixed; boundary=x; boundary=\"b\\nd\"\n\n" + parts,
      "Content-Type: multipart/mixed; boundary=\"\"\n\n" + parts,
      "Content-Type: multipart/mixed; boundary=\"bnd(x)\"\n\n" + parts,
      // Which type.
      "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=bnd\n\n" + parts,
      "Content_Type: multipart/mixed; boundary=bnd\n\n" + parts,
      // Where the header ends.
      "Subject: x\nno field\nContent-Type: multipart/mixed; boundary=bnd\n\n" + parts,
      mixed + "--bnd\n\n" + part + "--bnd--\n",
      mixed + "--bnd\n" + coded_part("Content-Transfer-Encoding: base64\njunk") + "--bnd--\n",
      // Which delimiters.
      mixed + "--bnd\n\nhello\n---bnd\n" + part + "--bnd--\n",
      mixed + "--bnd\n\nhello\n-bnd\n" + part + "--bnd--\n",
      mixed + "--bnd\n\nhello\n --bnd\n" + part + "--bnd--\n",
      mixed + "--bnd\n\nhello--bnd\n" + part + "--bnd--\n",
      mixed + "--bnd\n\nhello\n--bndx\n" + part + "--bnd--\n",
      mixed + "--bnd\n\nhello\n--bnd--\n" + part,
      // Which encoding.
      mixed + "--bnd\n" + coded_part("Content-Transfer-Encoding: foo") + "--bnd--\n",
      mixed + "--bnd\n" + coded_part("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64") +
          "--bnd--\n",
      mixed + "--bnd\n" + coded_part("Content-Transfer-Encoding: ba(x)se64") + "--bnd--\n",
      mixed + "--bnd\n" + coded_part("Content_Transfer_Encoding: base64") + "--bnd--\n",
      mixed + "--bnd\n" + coded_part(std::string("Content-Transfer-Encoding") + '\0' + ": base64") + "--bnd--\n",
      // What is encoded.
      "Content-Type: multipart/mixed; boundary=bnd\nContent-Transfer-Encoding: base64\n\n" +
          encode_base64(test::crlf(parts)),
      "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" +
          encode_base64(test::crlf("Subject: x\n" + part)),
  };
  for (const std::string& each : table) {
    const Found found = find(test::crlf(each));
    const OtherReading* secret = reading(found, kSecret);
    EXPECT_NE(secret, nullptr) << each;
    EXPECT_TRUE(is_ambiguous(found)) << each;
    EXPECT_TRUE(found.others.complete) << each;
    if (secret == nullptr) continue;
    EXPECT_FALSE(secret->why.empty());
    EXPECT_EQ(secret->file_names, std::vector<std::string>{"a.exe"}) << each;
    EXPECT_EQ(secret->type, "application/octet-stream") << each;
  }
}

TEST(Readings, Decodings) {
  struct Case {
    std::string_view encoding;
    std::string_view content;
    std::vector<std::string_view> expected;
  };
  const Case table[] = {
      {"base64", "QUJD\n!!!!\nREVG", {"ABC"}},                   // stops at junk
      {"base64", "QUI=\nREVG", {"AB"}},                          // stops at padding
      {"base64", "QUJD\n*REVG\nR0hJ", {"ABCGHI"}},               // drops the line
      {"base64", "QUJD\n\n\nREVG", {"ABC"}},                     // stops at the gap
      {"base64", "QUJD_-REVG", {"ABCDEF"}},                      // not the alphabet for URLs
      {"quoted-printable", "a=ZZb=\nc", {"aZZbc", "abc", "a"}},  // drops the sign, or what follows too, or stops
      {"quoted-printable", "a= \nb", {"a= \r\nb"}},              // no soft break with a blank
      {"quoted-printable", "a=\rbc\nd", {"ad"}},                 // to the line feed
      {"quoted-printable", "=4=\n1", {"A"}},                     // soft breaks first
  };
  for (const Case& each : table) {
    const Found found =
        find(test::crlf("Content-Type: application/x\nContent-Transfer-Encoding: " + std::string(each.encoding) +
                        "\n\n" + std::string(each.content)));
    EXPECT_TRUE(found.mail.structure.one_reading);
    for (const std::string_view expected : each.expected) {
      EXPECT_NE(reading(found, expected), nullptr) << each.content << " as " << expected;
    }
  }
}

// A line is decoded for itself, however short the first one is.
TEST(Readings, ShortFirstLine) {
  const Found found = find("Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nTQ\r\nWpAA\r\n");
  EXPECT_TRUE(found.others.complete);
  EXPECT_NE(reading(found, std::string_view("MZ\x90\0", 4)), nullptr);
}

// Two encodings of what holds parts: either is decoded, whatever the other gives.
TEST(Readings, ContainersInEitherEncoding) {
  const std::string parts = "--bnd\n\nhello\n--bnd\n" + coded_part("Content-Transfer-Encoding: base64") + "--bnd--\n";
  const std::string inner = "Subject: x\nContent-Type: multipart/mixed; boundary=bnd\n\n" + parts;
  for (const char* fields :
       {"base64\nContent-Transfer-Encoding: quoted-printable", "quoted-printable\nContent-Transfer-Encoding: base64"}) {
    const std::string field = "Content-Transfer-Encoding: " + std::string(fields) + "\n";
    for (const std::string& each :
         {"Content-Type: multipart/mixed; boundary=bnd\n" + field + "\n" + encode_base64(test::crlf(parts)),
          "Content-Type: message/rfc822\n" + field + "\n" + encode_base64(test::crlf(inner))}) {
      const Found found = find(test::crlf(each));
      EXPECT_TRUE(found.others.complete) << each;
      EXPECT_NE(reading(found, kSecret), nullptr) << each;
    }
  }
}

TEST(Readings, Charsets) {
  const Found found = find("Content-Type: text/plain; charset=utf-8; charset=utf-7\r\n\r\n+AEE-");
  ASSERT_EQ(found.others.list.size(), 1u);
  EXPECT_EQ(found.others.list[0].charset, "utf-7");
  EXPECT_EQ(found.others.list[0].why, "charset");
}

TEST(Readings, NoneWithoutAmbiguity) {
  const std::string mixed(kMixed);
  const std::string table[] = {
      "Subject: x\n\nhello\n",
      "Content-Type: text/plain; charset=utf-8\n\n--hello\n--\n",
      mixed + "pre\n--bnd\n\n\nhello\nbnd is a word\n--bnd\n" + coded_part("Content-Transfer-Encoding: base64") +
          "--bnd--\nepilogue\n",
      mixed + "--bnd\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\na=3Db=\nc\n--bnd--\n",
      mixed + "--bnd\nContent-Type: message/rfc822\n\nContent-Type: text/html\n\n<p>\n--bnd--\n",
      "Content-Type: message/rfc822\n\nContent-Type: text/html\n\n<p>\n",
      "Content-Type: text/rfc822-headers\n\nContent-Type: text/html\n\n",
      mixed + "--bnd\nX: caf\xc3\xa9\nContent-Transfer-Encoding: 7-bit\n\n" + std::string(2000, 'x') + "\n--bnd--\n",
  };
  for (const std::string& each : table) {
    for (const bool line_feeds : {false, true}) {
      const Found found = find(line_feeds ? each : test::crlf(each));
      EXPECT_TRUE(found.others.list.empty()) << each;
      EXPECT_TRUE(found.others.complete);
      EXPECT_FALSE(is_ambiguous(found)) << each;
    }
  }
  // Unescaped signs differ from reader to reader, and are no reason to call a text ambiguous.
  const Found text = find("Content-Transfer-Encoding: quoted-printable\r\n\r\n<a href=x>");
  EXPECT_FALSE(text.others.list.empty());
  EXPECT_FALSE(is_ambiguous(text));
}

TEST(Readings, Bounds) {
  std::string many = "Content-Type: multipart/mixed; boundary=bnd; boundary=x\r\n\r\n";
  for (int i = 0; i < 300; ++i) many += "--x\r\n\r\ntext " + std::to_string(i) + "\r\n";
  ReadingBounds bounds;
  bounds.count = 10;
  Found found = find(many, bounds);
  EXPECT_FALSE(found.others.complete);
  EXPECT_EQ(found.others.list.size(), 10u);

  bounds = {};
  bounds.work = 10000;
  EXPECT_FALSE(find(many, bounds).others.complete);

  const std::string coded = "Content-Transfer-Encoding: foo\r\n\r\n" + encode_base64(std::string(30000, 'x'));
  bounds = {};
  bounds.bytes = 10000;
  found = find(coded, bounds);
  EXPECT_FALSE(found.others.complete);
  EXPECT_TRUE(found.others.list.empty());
  EXPECT_TRUE(find(coded).others.complete);
}

// Damage at the end of a large part is looked at in every way, and costs little besides the room for what differs.
TEST(Readings, DamageAtTheEnd) {
  constexpr std::string_view kTail =
      "QUJD\r\n!QUJDRA\r\n\r\nQUI=QUJDREVG\r\nQ-_QUJD\r\n\r\n\x80Q=QUJDQQ\r\nQUJD*QUJD=\r\n==QUJD\r\nQU==QUJD\r\n";
  const auto part = [&](size_t size) {
    return "Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
           encode_base64(std::string(size, 'x')) + std::string(kTail);
  };
  const Found small = find(part(57));
  EXPECT_TRUE(small.others.complete);
  EXPECT_GT(small.others.list.size(), 20u);
  // The same readings, whatever stands before.
  const Found large = find(part(57 * 1000));
  ASSERT_EQ(large.others.list.size(), small.others.list.size());
  EXPECT_TRUE(large.others.complete);
  for (size_t i = 0; i < small.others.list.size(); ++i) {
    EXPECT_EQ(large.others.list[i].decoded, std::string(57 * 999, 'x') + small.others.list[i].decoded);
  }
  const std::string huge = part(57 * 270000);
  const test::CpuTime cpu;
  uint64_t kept = 0;
  ReadingBounds bounds;
  bounds.reserve = [&](uint64_t bytes) {
    kept += bytes;
    return true;
  };
  EXPECT_FALSE(find(huge, bounds).others.complete);
  EXPECT_LT(cpu.seconds(), test::kCpuBound * 4);
  EXPECT_LE(kept, bounds.bytes);
  EXPECT_GT(kept, bounds.bytes / 2);
  bounds.reserve = [](uint64_t) { return false; };
  const Found none = find(huge, bounds);
  EXPECT_TRUE(none.others.list.empty());
  EXPECT_FALSE(none.others.complete);
}

// The costliest shapes: time grows with the size alone, and what does not fit is reported.
TEST(Readings, IsLinear) {
  constexpr size_t kSize = 4u << 20;
  const auto repeated = [](std::string head, std::string_view line) {
    while (head.size() < kSize) head += line;
    return head;
  };
  std::string boundaries = "Content-Type: multipart/mixed";
  for (int i = 0; i < 60; ++i) boundaries += "; boundary=b" + std::string(static_cast<size_t>(i), 'b');
  const std::string table[] = {
      repeated("Content-Type: multipart/mixed; boundary=bnd; boundary=b\r\n\r\n", "--b\r\n"),
      repeated("Content-Type: multipart/mixed; boundary=bnd; boundary=b\r\n\r\n", "--bnd\r\nContent-Type: x/y\r\n"),
      repeated(boundaries + "\r\n\r\n", "--bbbbb\r\n\r\nx\r\n"),
      repeated(boundaries + "\r\n\r\n", "x--bnd\r\n"),
      repeated("Content-Type: multipart/mixed\r\n\r\n", "--a\rContent-Type: multipart/mixed\r\r"),
      repeated("Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: foo\r\n\r\n", "QUI=\r\n*\xff_\r\n"),
      repeated("Content-Transfer-Encoding: quoted-printable\r\n\r\n", "==\r=4 = \r\n"),
      repeated("no field\r\n", "Content-Type: multipart/mixed; boundary=b\r\n"),
  };
  for (const std::string& each : table) {
    const test::CpuTime cpu;
    const Found found = find(each);
    EXPECT_LT(cpu.seconds(), test::kCpuBound * 30) << each.substr(0, 100);
    EXPECT_LE(found.others.list.size(), ReadingBounds().count);
  }
}

}  // namespace
}  // namespace postern::mime

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

// The labels under which a content is read besides the structure's: "type charset names", in order.
std::vector<std::string> labels(const Found& found, std::string_view content) {
  std::vector<std::string> out;
  for (const OtherReading& each : found.others.list) {
    std::string_view bytes = each.bytes(found.mail.body);
    while (bytes.ends_with('\n') || bytes.ends_with('\r')) bytes.remove_suffix(1);
    if (bytes != content) continue;
    std::string label = each.type + " " + each.charset;
    for (const std::string& name : each.file_names) label += " " + name;
    out.push_back(label);
  }
  std::ranges::sort(out);
  return out;
}

using Strings = std::vector<std::string>;

TEST(Readings, Charsets) {
  const Found found = find("Content-Type: text/plain; charset=utf-8; charset=utf-7\r\n\r\n+AEE-");
  ASSERT_EQ(found.others.list.size(), 1u);
  EXPECT_EQ(found.others.list[0].charset, "utf-7");
  EXPECT_EQ(found.others.list[0].why, "charset");
  EXPECT_TRUE(found.others.list[0].in_body);
  // In a part that is decoded, and of what is not called text but may be shown as such.
  const Found part = find(test::crlf(std::string(kMixed) +
                                     "--bnd\nContent-Type: application/x; charset=utf-8; charset=utf-7; charset=hz\n"
                                     "Content-Transfer-Encoding: base64\n\nK0FFRS0=\n--bnd--\n"));
  EXPECT_EQ(labels(part, "+AEE-"), (Strings{"application/x hz", "application/x utf-7"}));
  ASSERT_EQ(part.others.list.size(), 2u);
  EXPECT_EQ(part.others.list[0].decoded, part.others.list[1].decoded);  // one copy
  EXPECT_TRUE(part.others.complete);

  std::string many = "Content-Type: text/plain";
  for (int i = 1; i <= 12; ++i) many += "; charset=iso-8859-" + std::to_string(i);
  EXPECT_EQ(find(many + "\r\n\r\ntext").others.list.size(), 11u);
  EXPECT_TRUE(find(many + "\r\n\r\ntext").others.complete);
  for (int i = 0; i < 9; ++i) many += "; charset=windows-125" + std::to_string(i);
  EXPECT_FALSE(find(many + "\r\n\r\ntext").others.complete);
}

// The same bytes under another header are another reading of them.
TEST(Readings, LabelsOfOneContent) {
  const struct {
    std::string mail;
    Strings labels;
    std::string_view why;
  } table[] = {
      {"Content-Type: text/plain; charset=us-ascii\nContent-Type: text/plain; charset=utf-7\n\ntext",
       {"text/plain utf-7"},
       "charset"},
      {"Content-Type: text/plain\nContent-Type: text/html\n\ntext", {"text/html "}, "type"},
      {"Content-Type: text/plain\nContent-Type: application/x-msdownload\nContent-Type: image/png\n\ntext",
       {"application/x-msdownload ", "image/png "},
       "type"},
      // Either type with either character set.
      {"Content-Type: text/plain; charset=us-ascii\nContent-Type: text/html; charset=utf-7\n\ntext",
       {"text/html us-ascii", "text/html utf-7", "text/plain utf-7"},
       "type"},
      {std::string(kMixed) + "--bnd\nContent-Type: text/plain\nContent_Type: text/html; charset=utf-7\n\ntext\n--bnd--",
       {"text/html ", "text/html utf-7", "text/plain utf-7"},
       "type"},
      {std::string(kMixed) + "--bnd\nContent-Type: text/plain; name=a.txt\nContent-Type: text/html; name=b.htm\n"
                             "Content-Transfer-Encoding: base64\n\ndGV4dA==\n--bnd--",
       {"text/html  a.txt b.htm"},
       "type"},
      // Another part, for who takes the other boundary.
      {"Content-Type: multipart/mixed; boundary=aa; boundary=bb\n\n--aa\nContent-Disposition: attachment; "
       "filename=ok.txt\n\ntext\n--aa--\n--bb\nContent-Disposition: attachment; filename=evil.bat\n\ntext\n--bb--\n",
       {" "
        " evil.bat"},
       "name"},
      // Nothing is new of it.
      {"Content-Type: text/plain; charset=UTF-8\nContent-Type: text/plain;charset=\"utf-8\"\n\ntext", {}, ""},
      {"Content-Type: multipart/mixed; boundary=aa; boundary=bb\n\n--aa\nContent-Disposition: attachment; "
       "filename=ok.txt\n\ntext\n--aa--\n--bb\nContent-Type: text/plain; name=ok.txt\n\ntext\n--bb--\n",
       {},
       ""},
  };
  for (const auto& each : table) {
    const Found found = find(test::crlf(each.mail));
    EXPECT_EQ(labels(found, "text"), each.labels) << each.mail;
    EXPECT_TRUE(found.others.complete) << each.mail;
    EXPECT_TRUE(is_ambiguous(found)) << each.mail;
    const OtherReading* first = reading(found, "text");
    if (first != nullptr) {
      EXPECT_EQ(first->why, each.why) << each.mail;
    }
  }
}

// Labels count where the encoding is damaged as well, and in what is only read so.
TEST(Readings, LabelsOfOtherDecodings) {
  const Found found = find(
      "Content-Type: text/plain\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nQUI=\r\nREVG");
  EXPECT_EQ(labels(found, "ABDEF"), Strings{"text/html "});
  EXPECT_EQ(labels(found, "AB"), (Strings{"text/html ", "text/plain "}));
}

TEST(Readings, LabelsAreBounded) {
  std::string many = "Content-Type: multipart/mixed; boundary=aa; boundary=bb\r\n\r\n--aa\r\n\r\ntext\r\n--aa--\r\n";
  for (int i = 0; i < 300; ++i) {
    many += "--bb\r\nContent-Type: image/png; name=" + std::to_string(i) + ".png\r\n\r\ntext\r\n";
  }
  ReadingBounds bounds;
  uint64_t kept = 0;
  bounds.reserve = [&](uint64_t bytes) {
    kept += bytes;
    return true;
  };
  const Found found = find(many, bounds);
  EXPECT_EQ(found.others.list.size(), bounds.count);
  EXPECT_FALSE(found.others.complete);
  EXPECT_GT(kept, 256u * 5);
  // Names take room, too.
  bounds.bytes = 1000;
  EXPECT_LT(find(many, bounds).others.list.size(), 20u);
  EXPECT_FALSE(find(many, bounds).others.complete);
  std::string types;
  for (int i = 0; i < 5; ++i)
    types += "Content-Type: text/x" + std::to_string(i) + "; charset=c" + std::to_string(i) + "\r\n";
  EXPECT_FALSE(find(types + "\r\ntext").others.complete);
}

TEST(Readings, BlankLinesBeforeTheHeader) {
  for (const int blanks : {1, 31, 32, 33, 2000}) {
    for (const std::string_view line : {"\n", " \t\n"}) {
      std::string mail = std::string(kMixed) + "--bnd\n\n";
      for (int i = 1; i < blanks; ++i) mail += line;
      mail += coded_part("Content-Transfer-Encoding: base64") + "--bnd--\n";
      if (line != "\n" && blanks > 8) mail.insert(0, "Content-Type: text/plain\n");
      const Found found = find(test::crlf(mail));
      EXPECT_NE(reading(found, kSecret), nullptr) << blanks;
      EXPECT_TRUE(found.others.complete) << blanks;
    }
  }
  // A header that is longer than is looked at.
  const Found found =
      find("Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--b\r\n\r\n\r\nX: " +
           std::string(base::Limits().header_size, 'x') + "\r\nContent-Type: application/x\r\n\r\ntext\r\n--b--\r\n");
  EXPECT_FALSE(found.others.complete);
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
    EXPECT_EQ(large.others.list[i].bytes(large.mail.body),
              std::string(57 * 999, 'x') + std::string(small.others.list[i].bytes(small.mail.body)));
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
  EXPECT_LT(cpu.seconds(), test::kCpuBound * 2);
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
    EXPECT_LT(cpu.seconds(), test::kCpuBound * 6) << each.substr(0, 100);
    EXPECT_LE(found.others.list.size(), ReadingBounds().count);
  }
}

}  // namespace
}  // namespace postern::mime

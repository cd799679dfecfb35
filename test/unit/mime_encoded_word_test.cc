// SPDX-License-Identifier: Apache-2.0
// Encoded words: decoding of good and broken forms, encoding as a round trip, and GMime as a second opinion.
#include "engine/mime/encoded_word.h"

#include <gmime/gmime.h>

#include <random>

#include "engine/base/text.h"
#include "engine/mime/header.h"
#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using namespace std::string_literals;

TEST(DecodeWords, ReadsAsReadersDo) {
  const struct {
    std::string raw;
    std::string utf8;
  } table[] = {
      {"plain", "plain"},
      {" folded\r\n text ", "folded text"},
      {"=?utf-8?Q?=C3=A9?=", "é"},
      {"=?UTF-8?b?w6k=?=", "é"},
      {"=?iso-8859-1?q?caf=E9_x?=", "café x"},
      {"=?us-ascii*en?Q?a?=", "a"},
      {"a =?utf-8?Q?b?= c", "a b c"},
      {"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"},
      {"=?utf-8?Q?a?=\r\n\t=?iso-8859-1?Q?=E9?=", "aé"},
      {"=?utf-8?Q?a?= x =?utf-8?Q?b?=", "a x b"},
      {"=?utf-8?Q?a_?= =?utf-8?Q?b?=", "a b"},
      // Broken forms.
      {"=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "é"},
      {"=?utf-8?B?w?= =?utf-8?B?6k=?=", "\xEF\xBF\xBD"},
      {"=?utf-8?B?w6k?=", "é"},
      {"=?utf-8?Q?a b?=", "a b"},
      {"x=?utf-8?Q?a?=y", "xay"},
      {"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"},
      {"=?utf-8?Q?a=3?=", "a=3"},
      {"=?utf-8?Q?a=ZZ?=", "a=ZZ"},
      {"=?foo?Q?=E9?=", "é"},
      {"=?foo?Q?=C3=A9?=", "é"},
      {"=?utf-8?Q?"
       "?=",
       ""},
      {"=?utf-8?X?a?=", "=?utf-8?X?a?="},
      {"=?utf-8?Q?a", "=?utf-8?Q?a"},
      {"=??Q?a?=", "=??Q?a?="},
      {"=?*en?Q?a?=", "=?*en?Q?a?="},
      {"=?utf-8?Qx?a?=", "=?utf-8?Qx?a?="},
      {"=?=?utf-8?Q?a?=", "=?a"},
      {"=?utf-8?Q?a =?utf-8?Q?b?=", "=?utf-8?Q?a b"},
      {"\xC3\xA9", "é"},
      {"\xE9", "é"},
      {"\xE9 =?utf-8?Q?=C3=A9?=", "é é"},
      {"=?utf-8?Q?=0D=0ABcc:_x?=", "\r\nBcc: x"},
      {"=?utf-8?Q?=00?=", "\0"s},
      {"=?iso-2022-jp?B?GyRCRnwbKEI=?=", "日"},
      {"=?utf-7?Q?+AOk-?=", "é"},
      {"=?utf-8?Q?=FF?=", "\xEF\xBF\xBD"},
      {"", ""},
  };
  for (const auto& row : table) EXPECT_EQ(decode_words(row.raw), row.utf8) << row.raw;
  EXPECT_EQ(decode_words("\xCF", "windows-1251"), "П");
}

// agrees_with_gmime compares with an independent decoder.
TEST(DecodeWords, AgreesWithGmime) {
  g_mime_init();
  for (const std::string_view raw :
       {"a =?utf-8?Q?=C3=A9?= b", "=?iso-8859-1?Q?a?= =?iso-8859-1?Q?b?=", "=?koi8-r?B?89DJ08/L?=",
        "=?utf-8?B?w6k=?= plain", "=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "=?us-ascii*en?Q?Keith_Moore?= <x>",
        "=?windows-1251?Q?=CF=F0=E8?=", "no words at all",
        "=?big5?B?p0E=?=", "=?gb2312?B?xOM=?=", "=?shift_jis?B?k/o=?=", "=?euc-kr?Q?=B0=A1?="}) {
    char* theirs = g_mime_utils_header_decode_text(nullptr, std::string(raw).c_str());
    EXPECT_EQ(decode_words(raw), theirs) << raw;
    g_free(theirs);
  }
}

TEST(DecodeWords, IsLinearAndAlwaysUtf8) {
  test::CpuTime cpu;
  for (const std::string& unit : {"=?utf-8?q?a?= "s, "=?utf-8?q?"s, "=?"s, "?="s, "=?a?b?"s, "=?utf-8?b?=?= "s,
                                  "=?x?q?=E9?="s, "=?utf-8?q?a?=\r\n "s, "\xE9"s, "=?utf-16?b?AGE=?= "s}) {
    std::string attack;
    for (int i = 0; i < 1'000'000 / static_cast<int>(unit.size()); ++i) attack += unit;
    EXPECT_TRUE(base::is_valid_utf8(decode_words(attack))) << unit;
  }
  std::string million;
  for (int i = 0; i < 1'000'000; ++i) million += "=?utf-8?q?a?= ";
  EXPECT_EQ(decode_words(million).size(), 1'000'000u);
  EXPECT_LT(cpu.seconds(), test::kCpuBound);
}

std::string random_text(std::mt19937& random, int round) {
  const std::vector<std::string> alphabet = {"a", "b",  "Z",  "0",  ".",  "_",          "?",
                                             "=", "=?", "?=", " ",  " ",  "          ", "\"",
                                             ",", "(",  "é",  "日", "😀", "word",       "longerword"};
  std::string text;
  const size_t size = random() % (round % 10 == 0 ? 400 : 20);
  for (size_t i = 0; i < size; ++i) {
    // Mostly ASCII in half of the texts.
    const size_t pick = round % 2 == 0 && random() % 8 != 0 ? random() % 15 : random() % alphabet.size();
    text += alphabet[pick];
  }
  return text;
}

TEST(EncodeWords, RoundTripsInShortLines) {
  std::mt19937 random(9);
  for (int round = 0; round < 20000; ++round) {
    const std::string text = random_text(random, round);
    const std::string written = encode_words(text, 9);
    ASSERT_EQ(decode_words(written), text) << written;
    ASSERT_EQ(fold_value("Subject", written), written);
    if (written == text) continue;
    size_t used = 9;
    for (const char c : written) {
      used = c == '\n' ? 0 : used + 1;
      ASSERT_LE(used, 76u) << written;
      ASSERT_TRUE(c == '\n' || (c >= ' ' && c < 127)) << written;
    }
  }
}

TEST(EncodeWords, ControlsCannotLeave) {
  for (const std::string& text : {"a\r\nBcc: x"s, "a\nb"s, "a\0b"s, "\x1B[1m"s, "a\rb"s, "\x7F"s}) {
    const std::string written = encode_words(text);
    EXPECT_EQ(written.find_first_of("\r\n\0\x1B\x7F"s), std::string::npos) << written;
    EXPECT_EQ(decode_words(written), text);
  }
}

TEST(EncodeWords, LeavesPlainTextAndChoosesTheShorterForm) {
  EXPECT_EQ(encode_words("hello world"), "hello world");
  EXPECT_EQ(encode_words("a =?b"), "a =?utf-8?b?PT9i?=");
  EXPECT_EQ(encode_words("Grüße an alle"), "=?utf-8?b?R3LDvMOfZQ==?= an alle");
  EXPECT_EQ(encode_words("Ein schöner Sonntagnachmittag"), "Ein =?utf-8?q?sch=C3=B6ner?= Sonntagnachmittag");
  EXPECT_EQ(encode_words("日本語"), "=?utf-8?b?5pel5pys6Kqe?=");
  EXPECT_EQ(encode_words("\xFF"), "=?utf-8?b?77+9?=");
  EXPECT_EQ(encode_words("é", 76), "\n =?utf-8?b?w6k=?=");
}

TEST(EncodePhrase, QuotesAndEncodes) {
  EXPECT_EQ(encode_phrase("John Doe"), "John Doe");
  EXPECT_EQ(encode_phrase("Doe, John"), "\"Doe, John\"");
  EXPECT_EQ(encode_phrase("a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
  EXPECT_EQ(encode_phrase(""), "\"\"");
  EXPECT_EQ(encode_phrase(" a"), "\" a\"");
  EXPECT_EQ(encode_phrase("Jürgen"), "=?utf-8?q?J=C3=BCrgen?=");
  EXPECT_EQ(encode_phrase("a\r\nb"), "=?utf-8?q?a=0D=0Ab?=");
  std::mt19937 random(13);
  for (int round = 0; round < 5000; ++round) {
    const std::string text = random_text(random, round);
    const std::string written = encode_phrase(text);
    // Only what RFC 2047 section 5 (3) allows stands in the encoded words, so that no special can end the phrase.
    if (written.starts_with('"')) continue;
    ASSERT_EQ(written.find_first_of("\",;:<>@()[]\\"), std::string::npos) << written;
    ASSERT_EQ(decode_words(written), text) << written;
  }
}

}  // namespace
}  // namespace postern::mime

// SPDX-License-Identifier: Apache-2.0
// Transfer encodings and charsets: what readers accept, what is called damage, round trips.
#include <random>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/transfer_coding.h"
#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using namespace std::string_literals;

TEST(TransferEncoding, Names) {
  const struct {
    std::string raw;
    TransferEncoding encoding;
  } table[] = {
      {"", TransferEncoding::identity},           {"7bit", TransferEncoding::identity},
      {" 8BIT\r\n", TransferEncoding::identity},  {"binary", TransferEncoding::identity},
      {" Base64", TransferEncoding::base64},      {"base64;", TransferEncoding::base64},
      {"base64, 7bit", TransferEncoding::base64}, {"(x) base64 (y)", TransferEncoding::base64},
      {"base64\0"s, TransferEncoding::base64},    {"\r\n quoted-printable", TransferEncoding::quoted_printable},
      {"x-uuencode", TransferEncoding::uuencode}, {"base(x)64", TransferEncoding::unknown},
      {"foo", TransferEncoding::unknown},         {"(base64)", TransferEncoding::unknown},
      {";", TransferEncoding::unknown},           {std::string(100000, '('), TransferEncoding::unknown},
  };
  for (const auto& row : table) EXPECT_EQ(parse_transfer_encoding(row.raw), row.encoding) << row.raw.substr(0, 40);
}

TEST(Base64, DecodesAsReadersDo) {
  const struct {
    std::string in;
    std::string out;
    bool damaged;
  } table[] = {
      {"", "", false},
      {"aGVsbG8=", "hello", false},
      {"aGVsbG8", "hello", false},
      {"aGVs\r\nbG8=\r\n", "hello", false},
      {"a G\tV s\nbG8 =", "hello", false},
      {"aGVs*bG8=", "hello", true},
      {"aGVs\0bG8="s, "hello", true},
      {"aGVs\xC3\xA9"s + "bG8=", "hello", true},
      {"aGU=bGxv", "hello", true},
      {"aGVsbG8==", "hello", false},
      {"=", "", true},
      {"a", "", true},
      {"aGVsbG8=a", "hello", true},
      {"_-8=", "\xFF\xEF", true},
      {"/+8=", "\xFF\xEF", false},
  };
  for (const auto& row : table) {
    const Decoded decoded = decode_transfer(TransferEncoding::base64, row.in);
    EXPECT_EQ(decoded.bytes, row.out) << row.in;
    EXPECT_EQ(decoded.damaged, row.damaged) << row.in;
  }
}

TEST(QuotedPrintable, DecodesAsReadersDo) {
  const struct {
    std::string in;
    std::string out;
    bool damaged;
  } table[] = {
      {"a=3Db", "a=b", false},
      {"a=3db", "a=b", false},
      {"a=\r\nb", "ab", false},
      {"a=\nb", "ab", false},
      {"a= \t\r\nb", "ab", false},
      {"a=\rb", "ab", false},
      {"a=", "a", false},
      {"a =20 \r\nb", "a  \r\nb", false},
      {"a \t\r\nb", "a\r\nb", false},
      {"a=XYb", "a=XYb", true},
      {"a=4", "a=4", true},
      {"a==3Db", "a==b", true},
      {"\xC3\xA9=C3=A9", "\xC3\xA9\xC3\xA9", false},
      {"a\nb", "a\nb", false},
      {"==\r\n", "=", true},
  };
  for (const auto& row : table) {
    const Decoded decoded = decode_transfer(TransferEncoding::quoted_printable, row.in);
    EXPECT_EQ(decoded.bytes, row.out) << row.in;
    EXPECT_EQ(decoded.damaged, row.damaged) << row.in;
  }
}

TEST(Uuencode, DecodesAsReadersDo) {
  const auto decode = [](std::string_view in) { return decode_transfer(TransferEncoding::uuencode, in); };
  EXPECT_EQ(decode("begin 644 cat.txt\n#0V%T\n`\nend\n").bytes, "Cat");
  EXPECT_FALSE(decode("begin 644 cat.txt\n#0V%T\n`\nend\n").damaged);
  EXPECT_EQ(decode("text\r\nbegin 0644 a b\r\n#0V%T\r\n`\r\nend\r\ntext").bytes, "Cat");
  EXPECT_TRUE(decode("begin 644 cat.txt\n#0V%T\n").damaged) << "no end";
  EXPECT_EQ(decode("begin 644 x\nM0V%T\n`\nend\n").bytes, "Cat") << "never more than the characters hold";
  EXPECT_TRUE(decode("begin 644 x\nM0V%T\n`\nend\n").damaged);
  EXPECT_EQ(decode("no file").bytes, "no file");
  EXPECT_TRUE(decode("no file").damaged);
}

TEST(TransferCoding, RoundTripsAndNeverGrows) {
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes(random() % 400, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % (round % 2 == 0 ? 256 : 64));
    const std::string base64 = encode_base64(bytes);
    ASSERT_EQ(decode_transfer(TransferEncoding::base64, base64).bytes, bytes);
    for (const auto encoding :
         {TransferEncoding::base64, TransferEncoding::quoted_printable, TransferEncoding::uuencode}) {
      ASSERT_LE(decode_transfer(encoding, bytes).bytes.size(), bytes.size());
    }
    // Text: line ends become CRLF, everything else comes back.
    std::erase(bytes, '\r');
    const std::string quoted = encode_quoted_printable(bytes);
    ASSERT_EQ(decode_transfer(TransferEncoding::quoted_printable, quoted).bytes, test::crlf(bytes));
    ASSERT_FALSE(decode_transfer(TransferEncoding::quoted_printable, quoted).damaged);
    for (const std::string& text : {base64, quoted}) {
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find("\r\n", begin), text.size());
        ASSERT_LE(end - begin, 76u);
        begin = end + 2;
      }
    }
  }
  EXPECT_EQ(encode_quoted_printable("From me\n.\na \n"), "=46rom me\r\n=2E\r\na=20\r\n");
}

TEST(Charset, DecodesEachFamily) {
  const struct {
    std::string_view charset;
    std::string bytes;
    std::string_view utf8;
  } table[] = {
      {"", "plain", "plain"},
      {"", "\xC3\xA9", "é"},
      {"", "\xE9", "é"},
      {"us-ascii", "\x80", "€"},
      {"UTF-8", "\xEF\xBB\xBFx", "\xEF\xBB\xBFx"},
      {"ISO-8859-1", "\xE9\x80", "é€"},
      {"iso8859-1", "\xE9", "é"},
      {"latin1", "\xE9", "é"},
      {"ISO-8859-2", "\xB1", "ą"},
      {"iso-8859-5", "\xB0", "А"},
      {"iso-8859-7", "\xE1", "α"},
      {"iso-8859-8-i", "\xE0", "א"},
      {"iso-8859-15", "\xA4", "€"},
      {"windows-1250", "\xB9", "ą"},
      {"windows-1251", "\xCF", "П"},
      {"\"Windows-1251\"", "\xCF", "П"},
      {"cp1252", "\x93", "“"},
      {"koi8-r", "\xF0", "П"},
      {"KOI8-U", "\xA4", "є"},
      {"ibm866", "\x8F", "П"},
      {"macintosh", "\x8E", "é"},
      {"gb2312", "\xC4\xE3", "你"},
      {"GBK", "\xC4\xE3", "你"},
      {"gb18030", "\x81\x30\x81\x30", "\xC2\x80"},
      {"hz-gb-2312", "~{Dc~}", "你"},
      {"big5", "\xA7\x41", "你"},
      {"euc-jp", "\xC6\xFC", "日"},
      {"Shift_JIS", "\x93\xFA", "日"},
      {"x-sjis", "\x93\xFA", "日"},
      {"iso-2022-jp", "\x1B$BF|\x1B(B", "日"},
      {"iso-2022-jp", "\x1B(I1\x1B(B", "ｱ"},
      {"euc-kr", "\xB0\xA1", "가"},
      {"ks_c_5601-1987", "\xB0\xA1", "가"},
      {"tis-620", "\xA1", "ก"},
      {"utf-7", "+AOk-", "é"},
      {"unicode-1-1-utf-7", "a+-b", "a+b"},
      {"utf-16", "\xFE\xFF\0a"s, "a"},
      {"utf-16", "\xFF\xFE"s + "a\0"s, "a"},
      {"utf-16", "\0a\0b"s, "ab"},
      {"utf-16", "a\0b\0"s, "ab"},
      {"utf-16le", "a\0"s, "a"},
      {"utf-16be", "\xD8\x3D\xDE\x00"s, "😀"},
      {"utf-16le", "\xFE\xFF\0a"s, "a"},
      {"utf-32", "\0\0\xFE\xFF\0\0\0a"s, "a"},
      {"utf-32", "a\0\0\0"s, "a"},
      {"utf-32be", "\0\x01\xF6\0"s, "😀"},
  };
  for (const auto& row : table) {
    const Converted converted = to_utf8(row.bytes, row.charset);
    EXPECT_EQ(converted.utf8, row.utf8) << row.charset;
    EXPECT_TRUE(converted.known) << row.charset;
    EXPECT_FALSE(converted.damaged) << row.charset;
  }
}

TEST(Charset, ReportsDamage) {
  const struct {
    std::string_view charset;
    std::string bytes;
    std::string_view utf8;
  } table[] = {
      {"utf-8",
       "a\xFF"
       "b",
       "a\xEF\xBF\xBD"
       "b"},
      {"utf-8",
       "\xE2\x82"
       "x",
       "\xEF\xBF\xBDx"},
      {"utf-8", "\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"utf-8", "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"utf-16be", "\xD8\x00\0a"s,
       "\xEF\xBF\xBD"
       "a"},
      {"utf-16be", "\0a\0"s, "a\xEF\xBF\xBD"},
      {"utf-32be", "\0\x11\0\0"s, "\xEF\xBF\xBD"},
      {"utf-32be", "\0\0\xD8\0"s, "\xEF\xBF\xBD"},
      {"utf-32", "\0\0\0"s, "\xEF\xBF\xBD"},
      {"euc-jp", "\xFF", "\xEF\xBF\xBD"},
  };
  for (const auto& row : table) {
    const Converted converted = to_utf8(row.bytes, row.charset);
    EXPECT_EQ(converted.utf8, row.utf8) << row.charset;
    EXPECT_TRUE(converted.damaged) << row.charset;
  }
}

TEST(Charset, UnknownIsLatin1AndSaysSo) {
  for (const std::string& charset :
       {"foo"s, "x"s + std::string(10000, 'y'), "../etc/passwd"s, "ISO_2022,locale=ja"s, "?"s}) {
    const Converted converted = to_utf8("a\xE9", charset);
    EXPECT_FALSE(converted.known) << charset.substr(0, 40);
    EXPECT_EQ(converted.utf8, "aé");
    EXPECT_FALSE(is_known_charset(charset));
  }
}

TEST(Charset, AliasesOfTheRegistryAreKnown) {
  for (const std::string_view charset :
       {"csISOLatin1", "csISOLatin2", "csISOLatinCyrillic", "csISOLatinGreek", "csISO885915", "cswindows1252",
        "csWindows31J", "csPC850Multilingual", "csIBM866", "csKOI8U", "csUTF16LE", "csUTF7", "csTIS620"}) {
    EXPECT_TRUE(is_known_charset(charset)) << charset;
  }
  EXPECT_EQ(to_utf8("\xe9", "csISOLatin1").utf8, "é");
}

TEST(Charset, AnyBytesGiveUtf8) {
  std::mt19937 random(3);
  for (const std::string_view charset :
       {"utf-8",         "utf-7",        "utf-16",      "utf-16le",    "utf-32",  "iso-2022-jp",
        "iso-2022-jp-2", "iso-2022-kr",  "iso-2022-cn", "hz",          "gb18030", "gbk",
        "gb2312",        "big5",         "big5-hkscs",  "euc-jp",      "euc-kr",  "euc-tw",
        "shift_jis",     "windows-1258", "koi8-r",      "windows-874", "foo"}) {
    for (int round = 0; round < 300; ++round) {
      std::string bytes(random() % 200, '\0');
      const unsigned range = round % 3 == 0 ? 256 : round % 3 == 1 ? 128 : 64;
      for (char& c : bytes) c = static_cast<char>(random() % range);
      if (round % 4 == 0) bytes.insert(0, "\x1B$B");
      ASSERT_TRUE(base::is_valid_utf8(to_utf8(bytes, charset).utf8)) << charset;
    }
  }
}

TEST(Charset, WritesWhatItCanAndRefusesTheRest) {
  std::string out;
  for (const std::string_view charset : {"utf-8", "iso-8859-1", "windows-1252", "iso-8859-15", "gb2312"}) {
    ASSERT_TRUE(from_utf8("é", charset, out)) << charset;
    EXPECT_EQ(to_utf8(out, charset).utf8, "é") << charset;
  }
  ASSERT_TRUE(from_utf8("日本", "iso-2022-jp", out));
  EXPECT_EQ(out, "\x1B$BF|K\\\x1B(B");
  EXPECT_TRUE(from_utf8("abc", "us-ascii", out));
  EXPECT_FALSE(from_utf8("é", "us-ascii", out));
  EXPECT_FALSE(from_utf8("€", "iso-8859-1", out));
  EXPECT_FALSE(from_utf8("日", "koi8-r", out));
  EXPECT_FALSE(from_utf8("a", "foo", out));
  EXPECT_FALSE(from_utf8("a", "utf-16", out));
  EXPECT_FALSE(from_utf8("\xFF", "utf-8", out));
  EXPECT_TRUE(from_utf8(std::string(100000, 'a') + "é", "windows-1252", out));
  EXPECT_EQ(out.size(), 100001u);
}

TEST(Charset, IsLinear) {
  test::CpuTime cpu;
  const std::string big(4'000'000, '\xE9');
  for (const std::string_view charset : {"utf-8", "utf-16", "utf-32", "foo"}) to_utf8(big, charset);
  to_utf8(big, "iso-2022-jp");
  decode_transfer(TransferEncoding::base64, std::string(4'000'000, '='));
  decode_transfer(TransferEncoding::quoted_printable, std::string(4'000'000, '='));
  decode_transfer(TransferEncoding::quoted_printable, std::string(4'000'000, ' '));
  decode_transfer(TransferEncoding::uuencode, std::string(4'000'000, '\n'));
  EXPECT_LT(cpu.seconds(), test::kCpuBound);
}

}  // namespace
}  // namespace postern::mime

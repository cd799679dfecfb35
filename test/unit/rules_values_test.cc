// SPDX-License-Identifier: Apache-2.0
// Lexer, readers of values and templates: what they accept and what they say about the rest.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

#include "rules/lexer.h"
#include "rules/templates.h"
#include "rules/values.h"

namespace postern::rules {
namespace {

std::string tokens(std::string_view text) {
  Lexer lexer(text);
  std::string out;
  for (;;) {
    const Token token = lexer.next();
    if (token.kind == TokenKind::end) return out;
    if (!out.empty()) out += ' ';
    switch (token.kind) {
      case TokenKind::word:
        out += "w:";
        break;
      case TokenKind::text:
        out += "t:";
        break;
      case TokenKind::number:
        out += "n:";
        break;
      case TokenKind::bad:
        return out + "bad@" + std::to_string(token.offset) + "+" + std::to_string(token.length);
      default:
        break;
    }
    out += token.value;
  }
}

TEST(Lexer, Table) {
  struct Row {
    std::string_view text;
    std::string_view expected;
  };
  const Row rows[] = {
      {"", ""},
      {"  \t\r\n ", ""},
      {"subject == \"x\"", "w:subject == t:x"},
      {"body-size>=20M", "w:body-size >= n:20M"},
      {"a_b(1,'c d')", "w:a_b ( n:1 , t:c d )"},
      {R"("\.exe$")", R"(t:\.exe$)"},
      {R"("a\"b")", R"(t:a"b)"},
      {R"('a\'b"c')", R"(t:a'b"c)"},
      {R"("a\\")", R"(t:a\\)"},
      {R"("\\\"")", R"(t:\\")"},
      {"< <= > >= == !=", "< <= > >= == !="},
      {"a = b", "w:a bad@2+1"},
      {"a =~ b", "w:a bad@2+2"},
      {"a <> b", "w:a bad@2+2"},
      {"!a", "bad@0+1"},
      {"a && b", "w:a bad@2+2"},
      {"a || b", "w:a bad@2+2"},
      {"\"open", "bad@0+1"},
      {"\"open\\\"", "bad@0+1"},
      {"a == \u201Cb\u201D", "w:a == bad@5+3"},
      {"a\u00A0b", "w:a bad@1+2"},
      {"a # b", "w:a bad@2+1"},
      {"-5", "n:-5"},
      {"1.5", "n:1.5"},
      {"\xFF", "bad@0+1"},
      {"\xF0\x9F", "bad@0+2"},
  };
  for (const Row& row : rows) EXPECT_EQ(tokens(row.text), row.expected) << row.text;
}

TEST(Lexer, NothingFollowsABadToken) {
  Lexer lexer("= subject");
  EXPECT_EQ(lexer.next().kind, TokenKind::bad);
  EXPECT_EQ(lexer.next().kind, TokenKind::end);
  EXPECT_EQ(lexer.next().kind, TokenKind::end);
}

TEST(Lexer, OffsetsOfAStringFollowItsEscapes) {
  const std::string_view source = R"(x == "a\"b\d(")";
  Lexer lexer(source);
  lexer.next();
  lexer.next();
  const Token token = lexer.next();
  ASSERT_EQ(token.value, R"(a"b\d()");
  const std::string_view expected = R"(a"b\d()";
  for (size_t i = 0; i < expected.size(); ++i) {
    // An escaped quote begins at its backslash.
    EXPECT_EQ(source[text_offset(source, token.offset, i)], expected[i] == '"' ? '\\' : expected[i]) << i;
  }
  EXPECT_EQ(source[text_offset(source, token.offset, expected.size())], '"');
}

std::string show(const std::optional<std::vector<IpPattern>>& patterns, const ValueFault& fault) {
  if (!patterns) return "fault@" + std::to_string(fault.offset) + "+" + std::to_string(fault.length);
  std::string out;
  char text[64];
  for (const IpPattern& pattern : *patterns) {
    const size_t size = pattern.v6 ? 16 : 4;
    if (!out.empty()) out += ' ';
    for (const uint8_t* bytes : {pattern.low, pattern.high}) {
      if (bytes == pattern.high) out += '-';
      for (size_t i = 0; i < size; ++i) {
        std::snprintf(text, sizeof text, pattern.v6 ? "%02x" : (i == 0 ? "%u" : ".%u"), unsigned{bytes[i]});
        out += text;
      }
    }
  }
  return out;
}

TEST(Values, IpPatterns) {
  struct Row {
    std::string_view text;
    std::string_view expected;
  };
  const Row rows[] = {
      {"192.0.2.1", "192.0.2.1-192.0.2.1"},
      {"10.0.0.0/8", "10.0.0.0-10.255.255.255"},
      {"10.1.2.3/9", "10.0.0.0-10.127.255.255"},
      {"10.1.2.3/32", "10.1.2.3-10.1.2.3"},
      {"0.0.0.0/0", "0.0.0.0-255.255.255.255"},
      {"10.1.", "10.1.0.0-10.1.255.255"},
      {"10.", "10.0.0.0-10.255.255.255"},
      {"10.1.1.50-55", "10.1.1.50-10.1.1.55"},
      {"10.1.1-3", "10.1.1.0-10.1.3.255"},
      {"10.1.1-3.", "10.1.1.0-10.1.3.255"},
      {"10.1.1.5-10.1.2.7", "10.1.1.5-10.1.2.7"},
      {"192.0.2.1, 198.51.100.0/24", "192.0.2.1-192.0.2.1 198.51.100.0-198.51.100.255"},
      {"::1", "00000000000000000000000000000001-00000000000000000000000000000001"},
      {"2001:db8::/33", "20010db8000000000000000000000000-20010db87fffffffffffffffffffffff"},
      {"2001:db8:", "20010db8000000000000000000000000-20010db8ffffffffffffffffffffffff"},
      {"2001:db8::1-a", "20010db8000000000000000000000001-20010db800000000000000000000000a"},
      {"2001:db8::1-2001:db8::2:1", "20010db8000000000000000000000001-20010db8000000000000000000020001"},
      {"::ffff:192.0.2.1", "192.0.2.1-192.0.2.1"},
      {"::ffff:192.0.2.0/120", "192.0.2.0-192.0.2.255"},
      {"10.1", "fault@0+4"},
      {"10.1.1", "fault@0+6"},
      {"10.1.1.256", "fault@0+10"},
      {"10.1.1.5-1", "fault@0+10"},
      {"10.1.1-2.3", "fault@0+10"},
      {"10.1.1.1.", "fault@0+9"},
      {"10.1.1.1/33", "fault@0+11"},
      {"10.1.1.1/", "fault@0+9"},
      {"10.1./16", "fault@0+8"},
      {"::1/129", "fault@0+7"},
      {"2001:db8::", "20010db8000000000000000000000000-20010db8000000000000000000000000"},
      {"mail.example", "fault@0+12"},
      {"192.0.2.1,,10.", "fault@10+1"},
      {"192.0.2.1, nonsense", "fault@11+8"},
      {"", "fault@0+1"},
      {":", "fault@0+1"},
      {"1:2:3:4:5:6:7:8:", "fault@0+16"},
      {"-", "fault@0+1"},
      {"/", "fault@0+1"},
  };
  for (const Row& row : rows) {
    ValueFault fault;
    const auto patterns = read_ip_patterns(row.text, fault);
    EXPECT_EQ(show(patterns, fault), row.expected) << row.text;
    EXPECT_EQ(patterns.has_value(), fault.message.empty()) << row.text;
  }
}

TEST(Values, Dates) {
  setenv("TZ", "UTC", 1);
  tzset();
  ValueFault fault;
  EXPECT_EQ(read_date("01/01/1970 00:00:00", fault), 0);
  EXPECT_EQ(read_date("03/01/2024 12:00:01", fault), 1709294401);
  EXPECT_EQ(read_date("02/29/2024 00:00:00", fault), 1709164800);
  EXPECT_EQ(read_date("02/29/2000 00:00:00", fault), 951782400);
  for (const std::string_view bad :
       {"", "2024-03-01 12:00:00", "3/1/2024 12:00:00", "13/01/2024 00:00:00", "00/01/2024 00:00:00",
        "02/29/2023 00:00:00", "02/29/1900 00:00:00", "04/31/2024 00:00:00", "01/01/2024 24:00:00",
        "01/01/2024 00:60:00", "01/01/1969 00:00:00", "01/01/2024", "01/01/2024 00:00:00 "}) {
    EXPECT_FALSE(read_date(bad, fault)) << bad;
  }
}

TEST(Values, MimeTypesHostsAndCodes) {
  ValueFault fault;
  EXPECT_EQ(read_mime_type("Video/*", fault), "video/*");
  EXPECT_EQ(read_mime_type("*/pdf", fault), "*/pdf");
  EXPECT_EQ(read_mime_type("application/vnd.ms-excel", fault), "application/vnd.ms-excel");
  for (const std::string_view bad : {"", "video", "video/", "/x", "a/b/c", "vid*/x", "a /b", "text/html; charset=x"}) {
    EXPECT_FALSE(read_mime_type(bad, fault)) << bad;
  }
  for (const std::string_view good : {"relay", "relay.example.org", "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]",
                                      "[2001:db8::1]", "2001:db8::1", "3com.example", "a_b.example", "[relay]"}) {
    EXPECT_EQ(read_host(good, fault), good) << good;
  }
  for (const std::string_view bad :
       {"", "relay:25", "[relay:25]", "[[relay]]", "[]", "relay.example.org:587", "-a", "a-", "a..b", "a b", "192.0.2",
        "192.0.2.256", "a%s", "$EnvelopeFrom", "[192.0.2.1]:25", "relay.", "a/b"}) {
    EXPECT_FALSE(read_host(bad, fault)) << bad;
  }
  EXPECT_EQ(read_enhanced_code("5.7.1", '5', fault), "5.7.1");
  EXPECT_EQ(read_enhanced_code("4.7.100", '4', fault), "4.7.100");
  for (const std::string_view bad :
       {"", "5", "5.7", "5.7.1.1", "5.7.x", "5.7.01", "5.7.1000", "55.7.1", "4.7.1", "5..1"}) {
    EXPECT_FALSE(read_enhanced_code(bad, '5', fault)) << bad;
  }
}

TEST(Values, NumbersAndSizes) {
  ValueFault fault;
  EXPECT_EQ(read_size("10b", fault), 10);
  EXPECT_EQ(read_size("10", fault), 10);
  EXPECT_EQ(read_size("9500k", fault), 9500 * 1024);
  EXPECT_EQ(read_size("20M", fault), 20 << 20);
  EXPECT_EQ(read_size("2G", fault), int64_t{2} << 30);
  for (const std::string_view bad : {"", "M", "10x", "10kb", "1e3", "99999999999999999999", "9999999999G", "-1"}) {
    EXPECT_FALSE(read_size(bad, fault)) << bad;
  }
  EXPECT_EQ(read_count("0", 0, 9, fault), 0);
  EXPECT_EQ(read_count("9", 0, 9, fault), 9);
  for (const std::string_view bad : {"", "10", "10k", "x", "1x", "-1", "99999999999999999999"}) {
    EXPECT_FALSE(read_count(bad, 0, 9, fault)) << bad;
  }
}

TEST(Values, WhiteSpaceIsTrimmedAtBothEnds) {
  for (const std::string_view blank : {" ", "\t", "\r", "\n", "\u00A0", " \u00A0\t", "\u200B", "\uFEFF", "\u3000"}) {
    size_t front = 0;
    const std::string text = std::string(blank) + "a b" + std::string(blank);
    EXPECT_EQ(trim_value(text, &front), "a b");
    EXPECT_EQ(front, blank.size());
    EXPECT_EQ(trim_value(blank), "");
  }
  EXPECT_EQ(trim_value("\xA0"), "\xA0");
  EXPECT_EQ(trim_value("\u00E0"), "\u00E0");  // ends in the byte A0
}

std::string pieces(std::string_view text) {
  std::string faults;
  const Template result = read_template(
      text, [](uint16_t, size_t, size_t) {},
      [&](const ValueFault& fault) {
        faults += "[" + std::to_string(fault.offset) + "+" + std::to_string(fault.length) + " " + fault.message + "|" +
                  fault.hint + "]";
      });
  if (!faults.empty()) return faults;
  std::string out;
  for (const Template::Piece& piece : result.pieces) {
    if (piece.kind == Template::Piece::Kind::literal) out += "<" + piece.text + ">";
    if (piece.kind == Template::Piece::Kind::variable) {
      out += "{" + piece.text + "}";
      EXPECT_EQ(variable_table()[piece.variable].name, piece.text);
    }
    if (piece.kind == Template::Piece::Kind::header) out += "{H:" + piece.text + "}";
  }
  return out;
}

TEST(Templates, Table) {
  struct Row {
    std::string_view text;
    std::string_view expected;
  };
  const Row rows[] = {
      {"", ""},
      {"plain", "<plain>"},
      {"$Subject", "{Subject}"},
      {"[x] $subject!", "<[x] >{Subject}<!>"},
      {"$MID$MID", "{MID}{MID}"},
      {"costs $5, $ 5, $$5 and $", "<costs $5, $ 5, $5 and $>"},
      {"$$Subject", "<$Subject>"},
      {"$$$Subject", "<$>{Subject}"},
      {"${Subject}", "<${Subject}>"},
      {"$Header['X-A']$header[\"X-B\"]", "{H:X-A}{H:X-B}"},
      {"$EnvelopeFrom->$EnvelopeRecipients", "{EnvelopeFrom}<->>{EnvelopeRecipients}"},
      {"$dropped_filename.", "{dropped_filename}<.>"},
      {"a $Subjet",
       "[2+7 unknown variable '$Subjet'|did you mean '$Subject'? A dollar sign that is meant is written $$]"},
      {"$USDollarsAndCents", "[0+18 unknown variable '$USDollarsAndCents'|a dollar sign that is meant is written $$]"},
      {"$Header", "[0+7 '$Header' needs the name of a field|write $Header['X-Name']]"},
      {"$Header['X", "[0+7 '$Header' needs the name of a field|write $Header['X-Name']]"},
      {"$Header['X'", "[0+7 '$Header' needs the name of a field|write $Header['X-Name']]"},
      {"$Header['X: y']", "[9+4 'X: y' is no header field name|]"},
  };
  for (const Row& row : rows) EXPECT_EQ(pieces(row.text), row.expected) << row.text;
}

}  // namespace
}  // namespace postern::rules

// SPDX-License-Identifier: Apache-2.0
// Canonical forms: the examples of RFC 6376, tables of odd bodies, and every way of cutting a body into pieces.
#include "engine/auth/dkim_canon.h"

#include <gtest/gtest.h>

#include <random>

#include "test/support/soft_keys.h"

namespace postern::auth {
namespace {

class Collect final : public ByteSink {
 public:
  void take(std::string_view bytes) override { text += bytes; }
  std::string text;
};

std::string body_of(Canonicalisation form, const std::vector<std::string_view>& pieces, uint64_t most = UINT64_MAX) {
  mime::Pieces body;
  for (const std::string_view piece : pieces) body.add_view(piece);
  Collect sink;
  const uint64_t bytes = canonical_body(form, body, most, sink);
  EXPECT_EQ(bytes, sink.text.size());
  return sink.text;
}

std::string header_of(Canonicalisation form, std::string_view name, std::string_view value, bool last = false) {
  std::string out;
  append_canonical_header(form, name, value, last, out);
  return out;
}

constexpr auto kSimple = Canonicalisation::simple;
constexpr auto kRelaxed = Canonicalisation::relaxed;

TEST(DkimCanon, ExamplesOfTheRfc) {
  EXPECT_EQ(header_of(kRelaxed, "A", " X"), "a:X\r\n");
  EXPECT_EQ(header_of(kRelaxed, "B ", " Y\t\n\tZ  "), "b:Y Z\r\n");
  EXPECT_EQ(header_of(kSimple, "A", " X"), "A: X\r\n");
  EXPECT_EQ(header_of(kSimple, "B ", " Y\t\r\n\tZ  "), "B : Y\t\r\n\tZ  \r\n");
  EXPECT_EQ(body_of(kRelaxed, {" C \r\nD \t E\r\n\r\n\r\n"}), " C\r\nD E\r\n");
  EXPECT_EQ(body_of(kSimple, {" C \r\nD \t E\r\n\r\n\r\n"}), " C \r\nD \t E\r\n");
}

TEST(DkimCanon, Headers) {
  const struct {
    std::string_view value;
    std::string_view simple;
    std::string_view relaxed;
  } cases[] = {
      {"", "N:", "n:"},
      {" ", "N: ", "n:"},
      {"x", "N:x", "n:x"},
      {"  x \t y  ", "N:  x \t y  ", "n:x y"},
      {" a\n b", "N: a\r\n b", "n:a b"},
      {" a\r\n\t b", "N: a\r\n\t b", "n:a b"},
      {" a \n \t\n b\n ", "N: a \r\n \t\r\n b\r\n ", "n:a b"},
      {"\n a", "N:\r\n a", "n:a"},
      {" a\rb", "N: a\rb", "n:a\rb"},
      {" caf\xC3\xA9 \xFF", "N: caf\xC3\xA9 \xFF", "n:caf\xC3\xA9 \xFF"},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(header_of(kSimple, "N", test.value, true), test.simple);
    EXPECT_EQ(header_of(kRelaxed, "N", test.value, true), test.relaxed);
    EXPECT_EQ(header_of(kRelaxed, "N", test.value), std::string(test.relaxed) + "\r\n");
  }
}

TEST(DkimCanon, Bodies) {
  const struct {
    std::string_view body;
    std::string_view simple;
    std::string_view relaxed;
  } cases[] = {
      {"", "\r\n", ""},
      {"\r\n", "\r\n", ""},
      {"\r\n\r\n\r\n", "\r\n", ""},
      {"a", "a\r\n", "a\r\n"},
      {"a\r\n", "a\r\n", "a\r\n"},
      {"a\r\n\r\n", "a\r\n", "a\r\n"},
      {"\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
      {" ", " \r\n", ""},
      {" \t\r\n \r\n", " \t\r\n \r\n", ""},
      {"a \t\r\n  b\t\tc \r\n \r\n", "a \t\r\n  b\t\tc \r\n \r\n", "a\r\n b c\r\n"},
      {"a\r\n \t\r\nb\r\n", "a\r\n \t\r\nb\r\n", "a\r\n\r\nb\r\n"},
      {"\ta\r\n", "\ta\r\n", " a\r\n"},
      {"a\tb\r\n", "a\tb\r\n", "a b\r\n"},
      {"a  ", "a  \r\n", "a\r\n"},
      // As SMTP sends them: LF ends a line, CR alone does not.
      {"a\nb \n\n", "a\r\nb \r\n", "a\r\nb\r\n"},
      {"a\rb\r\r\n\r", "a\rb\r\r\n\r\r\n", "a\rb\r\r\n\r\r\n"},
      {"a \r b\r\n", "a \r b\r\n", "a \r b\r\n"},
      {std::string_view("a\0b\r\n", 5), std::string_view("a\0b\r\n", 5), std::string_view("a\0b\r\n", 5)},
      {"\xC3\xA9 \xFF\r\n", "\xC3\xA9 \xFF\r\n", "\xC3\xA9 \xFF\r\n"},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(body_of(kSimple, {test.body}), test.simple);
    EXPECT_EQ(body_of(kRelaxed, {test.body}), test.relaxed);
    // The same in two pieces, cut anywhere, and byte by byte.
    std::vector<std::string_view> bytes;
    for (size_t cut = 0; cut < test.body.size(); ++cut) {
      EXPECT_EQ(body_of(kSimple, {test.body.substr(0, cut), test.body.substr(cut)}), test.simple) << cut;
      EXPECT_EQ(body_of(kRelaxed, {test.body.substr(0, cut), test.body.substr(cut)}), test.relaxed) << cut;
      bytes.push_back(test.body.substr(cut, 1));
    }
    EXPECT_EQ(body_of(kSimple, bytes), test.simple);
    EXPECT_EQ(body_of(kRelaxed, bytes), test.relaxed);
  }
}

// The RFC's rules word by word, on the whole body.
std::string obvious(Canonicalisation form, std::string_view body) {
  std::vector<std::string> lines(1);
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '\n') {
      if (lines.back().ends_with('\r')) lines.back().pop_back();
      lines.emplace_back();
    } else {
      lines.back() += body[i];
    }
  }
  if (lines.back().empty()) lines.pop_back();
  if (form == kRelaxed) {
    for (std::string& line : lines) {
      std::string reduced;
      for (const char c : line) {
        const bool blank = c == ' ' || c == '\t';
        if (!blank) reduced += c;
        if (blank && !reduced.ends_with(' ')) reduced += ' ';
      }
      if (reduced.ends_with(' ')) reduced.pop_back();
      line = reduced;
    }
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::string out;
  for (const std::string& line : lines) out += line + "\r\n";
  if (out.empty() && form == kSimple) out = "\r\n";
  return out;
}

TEST(DkimCanon, AgreesWithTheObviousWayOnRandomBodies) {
  std::mt19937 random(20260101);
  constexpr std::string_view kAlphabet = "ab \t\r\n\n\r \xE9";
  for (int round = 0; round < 20000; ++round) {
    std::string body(random() % 40, '\0');
    for (char& c : body) c = kAlphabet[random() % kAlphabet.size()];
    std::vector<std::string_view> pieces;
    for (size_t at = 0; at < body.size();) {
      const size_t size = 1 + random() % 7;
      pieces.push_back(std::string_view(body).substr(at, size));
      at += size;
    }
    ASSERT_EQ(body_of(kSimple, pieces), obvious(kSimple, body)) << testing::PrintToString(body);
    ASSERT_EQ(body_of(kRelaxed, pieces), obvious(kRelaxed, body)) << testing::PrintToString(body);
    const uint64_t most = random() % 20;
    ASSERT_EQ(body_of(kRelaxed, pieces, most), obvious(kRelaxed, body).substr(0, most));
    ASSERT_EQ(body_of(kSimple, pieces, most), obvious(kSimple, body).substr(0, most));
  }
}

TEST(DkimCanon, LongBodies) {
  std::string line(5000, 'x');
  std::string body;
  for (int i = 0; i < 20; ++i) body += line + " \t" + line + "\r\n";
  EXPECT_EQ(body_of(kRelaxed, {body}), obvious(kRelaxed, body));
  EXPECT_EQ(body_of(kSimple, {body}), body);
}

TEST(DkimCanon, HashesOfEmptyBodiesAreTheRfcs) {
  const mime::Pieces none;
  EXPECT_EQ(test::base64(hash_body(kSimple, none, UINT64_MAX).digest), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
  EXPECT_EQ(test::base64(hash_body(kRelaxed, none, UINT64_MAX).digest), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  EXPECT_EQ(hash_body(kSimple, none, UINT64_MAX).bytes, 2u);
  EXPECT_EQ(hash_body(kRelaxed, none, UINT64_MAX).bytes, 0u);
}

}  // namespace
}  // namespace postern::auth

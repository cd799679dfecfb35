// SPDX-License-Identifier: Apache-2.0
// Header lists: provenance, edits, folding. Folding is checked as a property: whatever goes in, one field comes out.
#include "engine/mime/header.h"

#include <random>

#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

// fits_on_the_wire tells whether a value can be sent: no CR or NUL, each LF followed by a blank and then text in the
// same line, no line over 998 bytes.
bool fits_on_the_wire(std::string_view name, std::string_view value) {
  size_t line = name.size() + 2;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\r' || value[i] == '\0') return false;
    if (value[i] != '\n') {
      if (++line > 998) return false;
      continue;
    }
    line = 0;
    const size_t text = value.find_first_not_of(" \t", i + 1);
    if (text == i + 1 || text == std::string_view::npos || value[text] == '\n') return false;
  }
  return true;
}

TEST(HeaderList, KeepsWhatCameAndFindsWithoutCase) {
  HeaderList list;
  list.add_received("Received", " from a");
  list.add_received("Subject", " hello\n\tworld");
  list.add_received("received", " from b");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list.find("RECEIVED"), 0u);
  EXPECT_EQ(list.find("received", 1), 2u);
  EXPECT_EQ(list.find("received", 3), HeaderList::npos);
  EXPECT_EQ(list.find("Receive"), HeaderList::npos);
  EXPECT_EQ(list.count("Received"), 2u);
  EXPECT_EQ(list[1].value, " hello\n\tworld");
  EXPECT_EQ(list[2].received, 2);
  EXPECT_FALSE(list.edited());
  EXPECT_EQ(&list.received()[0], &list[0]) << "no copy before the first edit";
}

TEST(HeaderList, CountsBytesAsSent) {
  HeaderList list;
  list.add_received("A", " b");
  EXPECT_EQ(list.bytes(), 6u);  // A: b CR LF
  list.add_received("C", " d\n e");
  EXPECT_EQ(list.bytes(), 6u + 10u);
  list.add_received("E", " f\r\n g");
  EXPECT_EQ(list.bytes(), 6u + 10u + 10u);
  list.remove(1);
  EXPECT_EQ(list.bytes(), 16u);
  ASSERT_TRUE(list.append("X", "yz"));
  EXPECT_EQ(list.bytes(), 16u + 7u);
  list.change(2, "y");
  EXPECT_EQ(list.bytes(), 16u + 6u);
}

TEST(HeaderList, EditsKeepProvenance) {
  HeaderList list;
  list.add_received("A", " 1");
  list.add_received("B", " 2");
  list.add_received("A", " 3");
  const uint32_t before = list.generation();
  ASSERT_TRUE(list.insert_top("X", "new"));
  EXPECT_GT(list.generation(), before);
  EXPECT_EQ(list[0].name, "X");
  EXPECT_EQ(list[0].value, " new");
  EXPECT_EQ(list[0].received, -1);
  EXPECT_EQ(list[1].received, 0);
  list.change(2, "two");
  EXPECT_EQ(list[2].value, " two");
  EXPECT_TRUE(list[2].changed);
  list.change(2, "2");
  EXPECT_FALSE(list[2].changed) << "back to what was received";
  ASSERT_TRUE(list.append("A", "mine"));
  EXPECT_EQ(list.remove_received("a"), 2u);
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2].value, " mine");
  EXPECT_EQ(list.remove_received("a"), 0u);
  ASSERT_EQ(list.received().size(), 3u);
  EXPECT_EQ(list.received()[2].value, " 3");
  list.remove(99);
  list.change(99, "x");
  EXPECT_EQ(list.size(), 3u);
}

TEST(HeaderList, RefusesNamesThatAreNone) {
  HeaderList list;
  for (const std::string& name : {std::string(), std::string("A B"), std::string("A:"), std::string("A\n"),
                                  std::string("\xC3\xA9"), std::string(77, 'a'), std::string("A\0B", 3)}) {
    EXPECT_FALSE(list.append(name, "x")) << name;
    EXPECT_FALSE(list.insert_top(name, "x")) << name;
  }
  EXPECT_TRUE(is_field_name(std::string(76, 'a')));
  EXPECT_EQ(list.size(), 0u);
  EXPECT_FALSE(list.edited());
}

TEST(HeaderList, NoValueCanForgeAField) {
  for (const std::string& value :
       {std::string("x\r\nBcc: a@example.com"), std::string("x\nBcc: a"), std::string("x\rBcc: a"),
        std::string("x\r\n\r\nbody"), std::string("x\n \n y"), std::string("x\0y", 3), std::string("x\n"),
        std::string("\n"), std::string("x\n\t\r\n\0\n y", 9)}) {
    HeaderList list;
    ASSERT_TRUE(list.append("X", value));
    EXPECT_TRUE(fits_on_the_wire("X", list[0].value)) << testing::PrintToString(list[0].value);
  }
}

TEST(Fold, LeavesWhatFits) {
  for (const std::string_view value : {"", "hello", "a\n b", "a\n\tb\n c", "\xC3\xA9"})
    EXPECT_EQ(fold_value("S", value), value);
}

TEST(Fold, MakesLineEndsHarmless) {
  const struct {
    std::string in;
    std::string out;
  } table[] = {
      {"a\nb", "a b"},          {"a\r\nb", "a b"},     {"a\r\n b", "a\n b"}, {"a\r b", "a\n b"},
      {"a\n\n b", "a\n b"},     {"a\n", "a"},          {"a\n ", "a "},       {std::string("a\0b", 3), "a b"},
      {"a\n \n\tb", "a \n\tb"}, {"\r\nX: y", " X: y"},
  };
  for (const auto& row : table) EXPECT_EQ(fold_value("S", row.in), row.out) << testing::PrintToString(row.in);
}

TEST(Fold, BreaksLongLinesAtBlanks) {
  std::string value;
  for (int i = 0; i < 400; ++i) value += "word" + std::to_string(i) + " ";
  value += "end";
  const std::string folded = fold_value("Subject", value);
  EXPECT_TRUE(fits_on_the_wire("Subject", folded));
  EXPECT_EQ(unfold(folded), value);
  size_t begin = 0;
  for (size_t at = folded.find('\n'); at != std::string::npos; at = folded.find('\n', at + 1)) {
    EXPECT_LE(at - begin, 79u);
    begin = at;
  }
}

TEST(Fold, CutsLongRunsOutsideCharacters) {
  std::string value;
  for (int i = 0; i < 2000; ++i) value += "\xE2\x82\xAC";
  const std::string folded = fold_value("Subject", value);
  EXPECT_TRUE(fits_on_the_wire("Subject", folded));
  std::string joined = folded;
  for (size_t at = joined.find("\n "); at != std::string::npos; at = joined.find("\n ", at)) joined.erase(at, 2);
  EXPECT_EQ(joined, value);
  for (size_t at = folded.find('\n'); at != std::string::npos; at = folded.find('\n', at + 1)) {
    EXPECT_EQ(static_cast<unsigned char>(folded[at + 2]), 0xE2u) << "cut inside a character";
  }
}

TEST(Fold, AnyBytesGiveOneField) {
  std::mt19937 random(7);
  const std::string_view alphabet("ab \t\r\n\0:\xC3\xA9", 10);
  for (int round = 0; round < 20000; ++round) {
    std::string value;
    const size_t size = random() % (round % 10 == 0 ? 4000 : 40);
    for (size_t i = 0; i < size; ++i) {
      // Long stretches of one byte now and then.
      const char c = alphabet[random() % alphabet.size()];
      value.append(random() % 50 == 0 ? random() % 1500 : 1, c);
    }
    const std::string folded = fold_value("Subject", value);
    ASSERT_TRUE(fits_on_the_wire("Subject", folded)) << testing::PrintToString(value);
    ASSERT_EQ(fold_value("Subject", folded), folded);
  }
}

TEST(Unfold, RemovesLineEndsAndTrims) {
  EXPECT_EQ(unfold(" a\r\n b\n\tc \r\n"), "a b\tc");
  EXPECT_EQ(unfold("a\nb"), "a b");
  EXPECT_EQ(unfold(""), "");
  EXPECT_EQ(unfold(" \r\n "), "");
}

TEST(Fold, IsLinear) {
  test::CpuTime cpu;
  std::string folds;
  for (int i = 0; i < 500000; ++i) folds += "a\n ";
  fold_value("X", folds + "b");
  fold_value("X", std::string(4'000'000, 'x'));
  fold_value("X", std::string(4'000'000, ' ') + "x");
  fold_value("X", std::string(2'000'000, '\n') + "x");
  unfold(folds);
  EXPECT_LT(cpu.seconds(), test::kCpuBound);
}

TEST(HeaderFile, ReadsFoldsLineEndsAndMboxLines) {
  for (const std::string& file :
       {test::crlf("From x Mon\nA: b\n c\nD : e\n\nbody"), std::string("A: b\n c\nD : e\n\nbody")}) {
    const ParsedFile parsed = parse_file_header(file, {});
    ASSERT_EQ(parsed.header.size(), 2u);
    EXPECT_EQ(unfold(parsed.header[0].value), "b c");
    EXPECT_EQ(parsed.header[1].name, "D");
    EXPECT_EQ(file.substr(parsed.body_offset), "body");
    EXPECT_EQ(test::names(parsed.defects), "malformed-header");
  }
  EXPECT_EQ(parse_file_header("A: b\r\rbody", {}).body_offset, 6u);
  EXPECT_EQ(parse_file_header("", {}).body_offset, 0u);
  EXPECT_EQ(parse_file_header("A: b", {}).header.size(), 1u);
  const ParsedFile text = parse_file_header("A: b\r\nno field\r\n\r\n", {});
  EXPECT_EQ(text.body_offset, 6u);
  EXPECT_EQ(test::names(text.defects), "missing-blank-line");
}

TEST(HeaderFile, ObeysLimits) {
  base::Limits limits;
  limits.header_count = 3;
  std::string file;
  for (int i = 0; i < 10; ++i) file += "A: b\n";
  const ParsedFile counted = parse_file_header(file + "\nbody", limits);
  EXPECT_EQ(counted.header.size(), 3u);
  EXPECT_EQ(counted.body_offset, file.size() + 1);
  EXPECT_TRUE(counted.defects.has(Defect::header_too_large));
  limits = {};
  limits.header_size = 20;
  const ParsedFile sized = parse_file_header(file + "\nbody", limits);
  EXPECT_LE(sized.header.bytes(), 30u);
  EXPECT_EQ(sized.body_offset, file.size() + 1);
  EXPECT_TRUE(sized.defects.has(Defect::header_too_large));
}

}  // namespace
}  // namespace postern::mime

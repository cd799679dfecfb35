// SPDX-License-Identifier: Apache-2.0
// Hostile sizes: every limit ends in its defect and an incomplete structure, memory stays bounded, time stays linear.
#include <algorithm>

#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using test::names;

const std::string kMixedHeader = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";

TEST(MimeLimits, Depth) {
  std::string nested;
  for (int i = 0; i < 1000; ++i) {
    nested +=
        "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "\r\n\r\n--b" + std::to_string(i) + "\r\n";
  }
  const test::Mail mail = test::read(nested + "\r\nx\r\n");
  EXPECT_FALSE(mail.structure.complete);
  EXPECT_TRUE(mail.structure.defects.has(Defect::too_deep));
  EXPECT_EQ(mail.structure.parts.size(), 33u);
  EXPECT_EQ(mail.structure.parts.back().depth, 32u);
  EXPECT_TRUE(mail.structure.parts.back().is_leaf());
  test::check_accounting(mail.structure, mail.body);

  std::string messages;
  for (int i = 0; i < 100000; ++i) messages += "Content-Type: message/rfc822\r\n\r\n";
  const test::Mail deep = test::read(messages);
  EXPECT_EQ(deep.structure.parts.size(), 33u);
  EXPECT_FALSE(deep.structure.complete);
}

TEST(MimeLimits, DepthOfExactlyTheLimitIsComplete) {
  std::string messages;
  for (int i = 0; i < 32; ++i) messages += "Content-Type: message/rfc822\r\n\r\n";
  const test::Mail mail = test::read(messages + "A: b\r\n\r\nx");
  EXPECT_TRUE(mail.structure.complete);
  EXPECT_EQ(mail.structure.parts.size(), 33u);
}

TEST(MimeLimits, Parts) {
  test::CpuTime cpu;
  std::string file = kMixedHeader;
  for (int i = 0; i < 300000; ++i) file += "--b\r\n";
  const test::Mail mail = test::read(file + "--b--\r\n");
  EXPECT_EQ(mail.structure.parts.size(), 2000u);
  EXPECT_EQ(names(mail.structure.defects), "too-many-parts");
  EXPECT_FALSE(mail.structure.complete);
  test::check_accounting(mail.structure, mail.body);
  EXPECT_LT(cpu.seconds(), test::kCpuBound);
}

TEST(MimeLimits, HeaderOfAPart) {
  test::CpuTime cpu;
  std::string file = kMixedHeader + "--b\r\nX: y\r\n";
  for (int i = 0; i < 500000; ++i) file += " folded\r\n";
  const test::Mail folded = test::read(file + "\r\nx\r\n--b--\r\n");
  EXPECT_EQ(names(folded.structure.defects), "header-too-large");
  EXPECT_FALSE(folded.structure.complete);
  ASSERT_EQ(folded.structure.parts.size(), 2u);
  EXPECT_LE(folded.structure.parts[1].fields[0].value.size(), 256u << 10);
  EXPECT_EQ(folded.structure.parts[1].content.of(folded.body), "x");

  const test::Mail line =
      test::read(kMixedHeader + "--b\r\nX: " + std::string(5'000'000, 'x') + "\r\n\r\nx\r\n--b--\r\n");
  EXPECT_EQ(names(line.structure.defects), "header-too-large line-too-long");
  ASSERT_EQ(line.structure.parts.size(), 2u);
  EXPECT_TRUE(line.structure.parts[1].fields.empty());

  std::string many = kMixedHeader + "--b\r\n";
  for (int i = 0; i < 300000; ++i) many += "X: y\r\n";
  const test::Mail counted = test::read(many + "\r\nx\r\n--b--\r\n");
  EXPECT_EQ(names(counted.structure.defects), "header-too-large");
  EXPECT_LE(counted.structure.parts[1].fields.size(), 2000u);
  EXPECT_LT(cpu.seconds(), test::kCpuBound);
}

TEST(MimeLimits, HeadersOfAllPartsTogether) {
  const std::string field = "X: " + std::string(100'000, 'x') + "\r\n\r\n";
  std::string file = kMixedHeader;
  for (int i = 0; i < 400; ++i) file += "--b\r\n" + field;
  const test::Mail mail = test::read(file);
  uint64_t stored = 0;
  for (const Part& part : mail.structure.parts) {
    for (const HeaderField& each : part.fields) stored += each.value.size();
  }
  EXPECT_LE(stored, 32u * (256u << 10));
  EXPECT_FALSE(mail.structure.complete);
}

// The attacks that cost other parsers seconds or minutes.
TEST(MimeLimits, ComplexityAttacks) {
  const auto bounded = [](const char* what, const std::string& file) {
    test::CpuTime cpu;
    const test::Mail mail = test::read(file);
    EXPECT_LT(cpu.seconds(), test::kCpuBound) << what;
    test::check_accounting(mail.structure, mail.body);
  };
  std::string nested;
  for (int i = 0; i < 1000; ++i) {
    nested +=
        "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "\r\n\r\n--b" + std::to_string(i) + "\r\n";
  }
  nested += "\r\n";
  for (int i = 0; i < 1'000'000; ++i) nested += "--\r\n";
  bounded("nested multiparts and lines of dashes", nested);

  // Boundaries that agree in their first 2000 bytes, and lines that nearly match each.
  const std::string stem(2000, 'x');
  std::string near;
  for (int i = 0; i < 32; ++i) {
    near += "Content-Type: multipart/mixed; boundary=" + stem + std::to_string(i) + "\r\n\r\n--" + stem +
            std::to_string(i) + "\r\n";
  }
  near += "\r\n";
  for (int i = 0; i < 2000; ++i) near += "--" + stem + "\r\n";
  bounded("boundaries with one stem", near);

  bounded("blanks behind a delimiter", kMixedHeader + "--b" + std::string(4'000'000, ' ') + "x\r\n");
  bounded("bare CRs", kMixedHeader + std::string(4'000'000, '\r'));
  bounded("bare LFs", kMixedHeader + std::string(4'000'000, '\n'));
  bounded("NULs", kMixedHeader + std::string(4'000'000, '\0'));
  bounded("dashes", kMixedHeader + std::string(4'000'000, '-'));
  std::string cr_lines = kMixedHeader;
  for (int i = 0; i < 1'000'000; ++i) cr_lines += "abc\r";
  bounded("lines ended by CR", cr_lines);
  std::string no_fields = kMixedHeader + "--b\r\nContent-Type: text/plain\r\n";
  for (int i = 0; i < 500'000; ++i) no_fields += "no field\r\n";
  bounded("a header of lines that are none", no_fields);
  std::string parameters = "Content-Type: multipart/mixed; boundary=b";
  for (int i = 0; i < 20'000; ++i) parameters += ";\r\n a" + std::to_string(i) + "=b";
  bounded("20,000 parameters", parameters + "\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n");
  std::string folded = "Subject: x";
  for (int i = 0; i < 500'000; ++i) folded += "\r\n x";
  bounded("500,000 folded header lines", folded + "\r\n\r\n");
}

// The parser holds a line and a header block at most: what is kept does not grow with the body.
TEST(MimeLimits, ChunksAreNotKept) {
  const ParsedFile file = parse_file_header(kMixedHeader, {});
  Parser parser(file.header, {});
  const std::string chunk(65536, 'x');
  for (int i = 0; i < 200; ++i) parser.feed(chunk);
  parser.feed("\r\n--b\r\n\r\n");
  for (int i = 0; i < 200; ++i) parser.feed(chunk);
  parser.feed("\r\n--b--\r\n");
  const Structure structure = parser.finish();
  ASSERT_EQ(structure.parts.size(), 2u);
  EXPECT_EQ(structure.parts[1].content.size(), 200u * 65536u);
  EXPECT_EQ(names(structure.defects), "line-too-long");
}

}  // namespace
}  // namespace postern::mime

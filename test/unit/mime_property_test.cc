// SPDX-License-Identifier: Apache-2.0
// Properties of the parser over generated mail: the result does not depend on how the body is cut into chunks, the
// spans account for every byte, a tree built is the tree found, and parse then write gives the same bytes.
#include "engine/mime/writer.h"
#include "test/unit/mime_generator.h"
#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using test::describe;

// parse_cut parses `body` cut at `cuts` (ascending).
Structure parse_cut(const HeaderList& header, std::string_view body, const std::vector<size_t>& cuts,
                    const base::Limits& limits) {
  Parser parser(header, limits);
  size_t at = 0;
  for (const size_t cut : cuts) {
    // Each chunk is a heap copy of its own, so that a view kept too long is seen by the sanitizer.
    parser.feed(std::string(body.substr(at, cut - at)));
    at = cut;
  }
  parser.feed(std::string(body.substr(at)));
  return parser.finish();
}

void check_message(const HeaderList& header, std::string_view body, const base::Limits& limits, test::Generator& random,
                   bool every_split) {
  const Structure whole = parse(header, body, limits);
  const std::string expected = describe(whole);
  test::check_accounting(whole, body);
  const Pieces same = write_body(whole, body, {});
  ASSERT_EQ(same.flatten(), body);
  ASSERT_LE(same.views().size(), 1u) << "an unedited body is one piece";
  if (!same.views().empty()) {
    ASSERT_EQ(same.views()[0].data(), body.data()) << "copied";
  }
  if (every_split) {
    for (size_t cut = 0; cut <= body.size(); ++cut) {
      ASSERT_EQ(describe(parse_cut(header, body, {cut}, limits)), expected)
          << "cut at " << cut << " of " << testing::PrintToString(std::string(body));
    }
    std::vector<size_t> all(body.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    ASSERT_EQ(describe(parse_cut(header, body, all, limits)), expected)
        << "byte by byte: " << testing::PrintToString(std::string(body));
  }
  for (int round = 0; round < 3; ++round) {
    std::vector<size_t> cuts;
    for (size_t at = random.pick(200); at < body.size(); at += 1 + random.pick(1 + body.size() / 4)) cuts.push_back(at);
    ASSERT_EQ(describe(parse_cut(header, body, cuts, limits)), expected)
        << testing::PrintToString(std::string(body).substr(0, 2000));
  }
}

TEST(ParserProperty, EverySplitOfSmallSoups) {
  test::Generator random(1);
  const ParsedFile file = parse_file_header(test::Generator::kSoupHeader, {});
  for (int round = 0; round < 400; ++round) {
    check_message(file.header, random.soup(1 + random.pick(25)), {}, random, true);
    if (HasFatalFailure()) return;
  }
}

TEST(ParserProperty, SmallLimitsKeepTheProperties) {
  test::Generator random(2);
  const ParsedFile file = parse_file_header(test::Generator::kSoupHeader, {});
  for (int round = 0; round < 1500; ++round) {
    base::Limits limits;
    limits.header_size = random.pick(120);
    limits.header_count = static_cast<uint32_t>(random.pick(4));
    limits.mime_depth = static_cast<uint32_t>(random.pick(4));
    limits.mime_parts = static_cast<uint32_t>(1 + random.pick(6));
    const std::string body = random.soup(1 + random.pick(25));
    check_message(file.header, body, limits, random, round % 4 == 0);
    if (HasFatalFailure()) return;
    const Structure structure = parse(file.header, body, limits);
    ASSERT_LE(structure.parts.size(), limits.mime_parts);
    for (const Part& part : structure.parts) {
      ASSERT_LE(part.depth, limits.mime_depth);
      ASSERT_LE(part.fields.size(), limits.header_count);
    }
    const bool stopped = structure.defects.has(Defect::too_deep) || structure.defects.has(Defect::too_many_parts) ||
                         structure.defects.has(Defect::header_too_large);
    ASSERT_EQ(structure.complete, !stopped);
  }
}

TEST(ParserProperty, RandomSplitsOfBigSoups) {
  test::Generator random(3);
  const ParsedFile file = parse_file_header(test::Generator::kSoupHeader, {});
  for (int round = 0; round < 40; ++round) {
    check_message(file.header, random.soup(3000), {}, random, false);
    if (HasFatalFailure()) return;
  }
}

TEST(ParserProperty, ATreeBuiltIsTheTreeFound) {
  test::Generator random(4);
  for (int round = 0; round < 400; ++round) {
    std::string notation;
    const std::string file = "MIME-Version: 1.0\r\n" + random.tree(4, notation);
    const ParsedFile parsed = parse_file_header(file, {});
    const std::string body = file.substr(parsed.body_offset);
    const Structure structure = parse(parsed.header, body, {});
    ASSERT_EQ(dump(structure), notation);
    ASSERT_EQ(test::names(structure.defects), "");
    check_message(parsed.header, body, {}, random, round % 20 == 0 && body.size() < 3000);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace postern::mime

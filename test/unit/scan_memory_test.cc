// SPDX-License-Identifier: Apache-2.0
// The real engine when the k-th allocation fails, for each k: nothing is ever "scanned" then, and the pool goes on.
#include "test/unit/scan_pool_fixture.h"

namespace postern::scan {
namespace {

// A ZIP archive with one stored member, written by hand: local header, central directory, end.
std::string small_zip(std::string_view name, std::string_view content, uint32_t crc) {
  std::string out;
  const auto number = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  };
  const auto common = [&] {
    for (const uint32_t value : {20u, 0u, 0u, 0u, 0x5821u}) number(value, 2);
    number(crc, 4);
    number(static_cast<uint32_t>(content.size()), 4);
    number(static_cast<uint32_t>(content.size()), 4);
    number(static_cast<uint32_t>(name.size()), 2);
    number(0, 2);
  };
  out += "PK\x03\x04";
  common();
  out.append(name).append(content);
  const auto directory = static_cast<uint32_t>(out.size());
  out += "PK\x01\x02";
  number(20, 2);
  common();
  for (int i = 0; i < 3; ++i) number(0, 2);
  number(0, 4);
  number(0, 4);
  out.append(name);
  const auto size = static_cast<uint32_t>(out.size()) - directory;
  out += "PK\x05\x06";
  number(0, 4);
  number(1, 2);
  number(1, 2);
  number(size, 4);
  number(directory, 4);
  number(0, 2);
  return out;
}

class ScanMemory : public ScanPool, public ::testing::WithParamInterface<const char*> {};

TEST_P(ScanMemory, NoFailedAllocationIsEverClean) {
  auto wanted = settings();
  wanted.program = POSTERN_FAILING_SCAN;
  wanted.arena = 64u << 10;
  wanted.memory = 512u << 20;
  const auto pool = start(wanted);
  const std::string samples[] = {small_zip("a.txt", "hello", 0x3610a686), "From: a@example.org\nSubject: b\n\nbody\n",
                                 "<html><body><p>some <b>text</b></p></body></html>", "{\\rtf1 some text}",
                                 "name,value\n1,2\n3,4\n"};
  constexpr int kMost = 400;  // of each; the first ones are where a reader starts
  for (const std::string& sample : samples) {
    int number = 1;
    for (; number < kMost; ++number) {
      const Verdict verdict = pool->scan(job_of(std::to_string(number) + GetParam() + "\n" + sample));
      if (verdict.complete()) break;
      EXPECT_NE(verdict.reason(), Reason::time) << number;
      EXPECT_NE(verdict.reason(), Reason::unavailable) << number;
    }
    EXPECT_GT(number, 1);
  }
  EXPECT_EQ(pool->status().crashed, 0u) << last();
  EXPECT_GT(pool->status().memory, 20u);
}

INSTANTIATE_TEST_SUITE_P(Ways, ScanMemory, ::testing::Values(" one", " all"),
                         [](const auto& way) { return std::string(way.param + 1); });

}  // namespace
}  // namespace postern::scan

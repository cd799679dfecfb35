// SPDX-License-Identifier: Apache-2.0
// Whatever stands in a text of whatever charset, it is decoded: the end comes, and what comes out is UTF-8 and not much
// more than went in. How many buffers of each charset are tried is POSTERN_BUFFERS.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/scan_job.h"
#include "test/support/scan_alone.h"

namespace postern::scan::worker {
namespace {

uint64_t buffers() {
  const char* given = std::getenv("POSTERN_BUFFERS");
  return given == nullptr ? 500 : std::strtoull(given, nullptr, 10);
}

uint64_t next_random() {
  static uint64_t state = 0x9E3779B97F4A7C15;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

// noise is much of one kind: bytes without a rule, bytes of which many mean something in some charset, or words of four
// bytes around the edges of what is a character.
std::string noise(size_t kind) {
  constexpr size_t kSize = 1u << 20;
  constexpr std::string_view kTelling(
      "\0\0\0\x1b\x0e\x0f$()BJ@*+-~{}\x80\x8e\x8f\xff\xfe\xef\xbb\xbf\xd8\xdc\xed\xf4"
      "aZ\n",
      33);
  constexpr std::array<uint32_t, 12> kEdges = {0,      0x41,   0xFEFF,   0xFFFE,   0xFFFE0000, 0xD800,
                                               0xDFFF, 0xFFFF, 0x10FFFF, 0x110000, 0x7FFFFFFF, 0xFFFFFFFF};
  std::string out;
  out.reserve(kSize);
  while (out.size() < kSize) {
    const uint64_t bits = next_random();
    if (kind == 0) {
      out.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
    } else if (kind == 1) {
      for (int i = 0; i < 8; ++i) out += kTelling[(bits >> (8 * i) & 0xff) % kTelling.size()];
    } else {
      const uint32_t word = kEdges[bits % kEdges.size()];
      const bool little = (bits >> 32 & 1) != 0;
      for (int i = 0; i < 4; ++i) out += static_cast<char>(word >> (little ? 8 * i : 24 - 8 * i) & 0xff);
    }
  }
  return out;
}

// some is a piece of noise of a random kind; a copy of exact size, so that a read past its end is seen.
std::string some(size_t size) {
  static const std::array<std::string, 3> kinds = {noise(0), noise(1), noise(2)};
  const uint64_t bits = next_random();
  return kinds[bits % 3].substr((bits >> 8) % (kinds[0].size() - size), size);
}

// Two readings, in each of which a byte becomes three at most; UTF-7 and ISO-2022 may end with a few more.
constexpr size_t most_for(size_t bytes) { return 2 * (3 * bytes + 16); }

TEST(ScanCharset, AnyBytesInAnyCharsetBecomeText) {
  for (const std::string_view charset : mime::charset_names()) {
    Alone context({}, charset);
    for (uint64_t i = 0; i < buffers(); ++i) {
      const std::string bytes = some(next_random() % 96);
      const DecodedText text(context, bytes);
      ASSERT_TRUE(base::is_valid_utf8(text.view())) << charset << " buffer " << i;
      ASSERT_LE(text.view().size(), most_for(bytes.size())) << charset << " buffer " << i;
    }
    ASSERT_EQ(context.leaf().reason, Reason::none) << charset;
  }
}

TEST(ScanCharset, LargeDamagedTextIsScanned) {
  for (const std::string_view charset : mime::charset_names()) {
    const std::string bytes = some(50000);
    Job job;
    job.bytes = bytes;
    job.name = "a.txt";
    job.declared_mime = "text/plain";
    job.charset = charset;
    const Verdict verdict = scan_job(job);
    ASSERT_EQ(verdict.leaves.size(), 1u) << charset;
    EXPECT_EQ(verdict.reason(), Reason::none) << charset;
    EXPECT_TRUE(base::is_valid_utf8(verdict.leaves[0].text)) << charset;
  }
}

}  // namespace
}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// The cache of answers: times, bounds, order of leaving.
#include "engine/directory/cache.h"

#include <gtest/gtest.h>

namespace postern::directory {
namespace {

using std::chrono::milliseconds;

std::shared_ptr<const Answer> answer(bool found, std::string value = "x") {
  auto out = std::make_shared<Answer>();
  out->found = found;
  if (found) out->values = {{std::move(value)}};
  return out;
}

TEST(DirectoryCache, KeepsAnswersForTheirTime) {
  Cache cache(10, milliseconds(1000), milliseconds(100));
  const auto start = Clock::now();
  cache.keep("yes", answer(true), start);
  cache.keep("no", answer(false), start);
  EXPECT_TRUE(cache.find("yes", start)->found);
  EXPECT_FALSE(cache.find("no", start + milliseconds(99))->found);
  EXPECT_EQ(cache.find("no", start + milliseconds(100)), nullptr);
  EXPECT_NE(cache.find("yes", start + milliseconds(999)), nullptr);
  EXPECT_EQ(cache.find("yes", start + milliseconds(1000)), nullptr);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(DirectoryCache, IsBoundedByEntriesAndBytes) {
  Cache cache(3, milliseconds(1000), milliseconds(1000));
  const auto now = Clock::now();
  for (const char* key : {"a", "b", "c"}) cache.keep(key, answer(true), now);
  EXPECT_NE(cache.find("a", now), nullptr);
  cache.keep("d", answer(true), now);
  EXPECT_EQ(cache.find("b", now), nullptr);
  EXPECT_NE(cache.find("a", now), nullptr);
  cache.keep("huge", answer(true, std::string(Cache::kMaxAnswer, 'x')), now);
  EXPECT_EQ(cache.find("huge", now), nullptr);

  Cache wide(1'000'000, milliseconds(1000), milliseconds(1000));
  const size_t each = Cache::kMaxAnswer / 2;
  for (size_t i = 0; i < Cache::kMaxBytes / each * 2; ++i) {
    wide.keep(std::to_string(i), answer(true, std::string(each, 'x')), now);
  }
  EXPECT_LE(wide.size(), Cache::kMaxBytes / each);
}

TEST(DirectoryCache, OffMeansNothingIsKept) {
  Cache none(0, milliseconds(1000), milliseconds(1000));
  none.keep("a", answer(true), Clock::now());
  EXPECT_EQ(none.size(), 0u);
  Cache positive_only(10, milliseconds(1000), milliseconds(0));
  positive_only.keep("a", answer(false), Clock::now());
  EXPECT_EQ(positive_only.size(), 0u);
}

}  // namespace
}  // namespace postern::directory

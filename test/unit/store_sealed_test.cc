// SPDX-License-Identifier: Apache-2.0
// What is encrypted comes back whole or not at all: every length around a chunk's, every byte changed, every cut,
// chunks moved, left out and taken from elsewhere.
#include "engine/store/sealed.h"

#include <gtest/gtest.h>

#include <set>

namespace postern::store {
namespace {

constexpr size_t kChunk = 16;  // small, so that a short text has many

std::shared_ptr<const DataKey> key_of(char fill, const std::string& id = std::string(32, 'a')) {
  return std::make_shared<const DataKey>(DataKey{id, base::Secret(std::string(kDataKeySize, fill))});
}

std::string sealed(std::string_view text, const std::string& name = "name", size_t chunk = kChunk, char key = 'k') {
  std::string out;
  const Content content{text.substr(0, text.size() / 3), text.substr(text.size() / 3)};
  const auto done = sealed_source(key_of(key), name, content, chunk)([&](std::string_view piece) {
    out += piece;
    return base::Result<void>();
  });
  EXPECT_TRUE(done);
  return out;
}

base::Result<std::string> opened(std::string bytes, const std::string& name = "name", size_t chunk = kChunk,
                                 char key = 'k') {
  return open_sealed(*key_of(key), name, std::move(bytes), chunk);
}

std::string text_of(size_t size) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 31 + i / 251);
  return out;
}

TEST(Sealed, EveryLengthComesBack) {
  for (size_t size = 0; size <= 5 * kChunk; ++size) {
    const std::string text = text_of(size);
    const std::string bytes = sealed(text);
    EXPECT_EQ(bytes.size(), sealed_size(size, kChunk)) << size;
    const auto back = opened(bytes);
    ASSERT_TRUE(back) << size;
    EXPECT_EQ(*back, text);
  }
  for (const size_t size : {kSealedChunk - 1, kSealedChunk, kSealedChunk + 1, 3 * kSealedChunk, 3 * kSealedChunk + 7}) {
    const std::string text = text_of(size);
    const std::string bytes = sealed(text, "name", kSealedChunk);
    EXPECT_EQ(bytes.size(), sealed_size(size));
    const auto back = opened(bytes, "name", kSealedChunk);
    ASSERT_TRUE(back) << size;
    EXPECT_TRUE(*back == text);
  }
}

TEST(Sealed, NothingOfTheTextIsSeenAndNoTwoAreAlike) {
  const std::string text = "From: a@example.org\r\n\r\nthis is what nobody may read\r\n";
  std::set<std::string> all;
  for (int i = 0; i < 20; ++i) {
    const std::string bytes = sealed(text, "name", kSealedChunk);
    EXPECT_EQ(bytes.find("nobody"), std::string::npos);
    all.insert(bytes.substr(kSealedHeader));
  }
  EXPECT_EQ(all.size(), 20u);
}

TEST(Sealed, EveryBitCounts) {
  const std::string bytes = sealed(text_of(3 * kChunk + 5));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int bit : {0, 7}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      const auto back = opened(changed);
      ASSERT_FALSE(back) << at;
      EXPECT_EQ(back.error().cause(), base::Cause::internal);
    }
  }
}

TEST(Sealed, EveryCutAndEveryAdditionCounts) {
  for (const size_t size : {size_t{0}, size_t{5}, kChunk, 2 * kChunk, 3 * kChunk + 5}) {
    const std::string bytes = sealed(text_of(size));
    for (size_t cut = 0; cut < bytes.size(); ++cut) EXPECT_FALSE(opened(bytes.substr(0, cut))) << size << " " << cut;
    for (size_t more = 1; more < 2 * (kChunk + kSealedTag); ++more) {
      EXPECT_FALSE(opened(bytes + std::string(more, '\0'))) << size << " " << more;
    }
  }
}

TEST(Sealed, ChunksHaveTheirPlaces) {
  constexpr size_t kWhole = kChunk + kSealedTag;
  const std::string bytes = sealed(text_of(3 * kChunk));
  const std::string other = sealed(text_of(3 * kChunk));
  const auto head = bytes.substr(0, kSealedHeader);
  const auto chunk = [&](const std::string& from, size_t n) { return from.substr(kSealedHeader + n * kWhole, kWhole); };
  EXPECT_TRUE(opened(head + chunk(bytes, 0) + chunk(bytes, 1) + chunk(bytes, 2)));
  EXPECT_FALSE(opened(head + chunk(bytes, 1) + chunk(bytes, 0) + chunk(bytes, 2))) << "moved";
  EXPECT_FALSE(opened(head + chunk(bytes, 0) + chunk(bytes, 2))) << "one left out";
  EXPECT_FALSE(opened(head + chunk(bytes, 0) + chunk(bytes, 1))) << "the end left out";
  EXPECT_FALSE(opened(head + chunk(bytes, 0) + chunk(bytes, 0) + chunk(bytes, 1) + chunk(bytes, 2))) << "repeated";
  EXPECT_FALSE(opened(head + chunk(bytes, 2))) << "the last alone";
  EXPECT_FALSE(opened(head + chunk(bytes, 0) + chunk(other, 1) + chunk(bytes, 2))) << "of another content";
  EXPECT_FALSE(opened(other.substr(0, kSealedHeader) + bytes.substr(kSealedHeader))) << "another's header";
}

TEST(Sealed, AContentBelongsToItsNameAndKey) {
  const std::string bytes = sealed("text");
  EXPECT_TRUE(opened(bytes));
  EXPECT_FALSE(opened(bytes, "another name"));
  EXPECT_FALSE(opened(bytes, "name", kChunk, 'x'));
  EXPECT_FALSE(open_sealed(*key_of('k', std::string(32, 'b')), "name", bytes, kChunk))
      << "the header names another key";
  EXPECT_FALSE(opened("From: a@example.org\r\n\r\n" + std::string(100, 'x')));
  EXPECT_FALSE(opened(""));
}

TEST(Sealed, TheSinksErrorEndsIt) {
  const Content content{std::string_view("0123456789012345678901234567890123456789")};
  int calls = 0;
  const auto done = sealed_source(key_of('k'), "name", content, kChunk)([&](std::string_view) -> base::Result<void> {
    if (++calls == 2) return base::fail(base::Cause::unavailable, "full");
    return {};
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().text(), "full");
  EXPECT_EQ(calls, 2);
}

TEST(Sealed, KeyedDigests) {
  EXPECT_EQ(keyed_digest(*key_of('k'), "text").size(), 64u);
  EXPECT_EQ(keyed_digest(*key_of('k'), "text"), keyed_digest(*key_of('k'), "text"));
  EXPECT_NE(keyed_digest(*key_of('k'), "text"), keyed_digest(*key_of('x'), "text"));
  EXPECT_NE(keyed_digest(*key_of('k'), "text"), keyed_digest(*key_of('k'), "texts"));
}

}  // namespace
}  // namespace postern::store

// SPDX-License-Identifier: Apache-2.0
// Spool: memory, file, limit, shortage, and what each costs the process.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/message/spool.h"
#include "test/support/temporary_directory.h"

namespace postern::message {
namespace {

constexpr uint64_t kMega = 1ull << 20;

class SpoolTest : public ::testing::Test {
 protected:
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  static size_t descriptors() {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
  }
  static uint64_t resident() {
    std::ifstream in("/proc/self/statm");
    uint64_t pages = 0;
    uint64_t rss = 0;
    in >> pages >> rss;
    return rss * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  const test::TemporaryDirectory own_directory_;
  const std::string& directory_ = own_directory_.path();
};

TEST_F(SpoolTest, EveryChunkSizeGivesTheSameBytes) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i) + "\r\n";
  for (const uint64_t memory : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{text.size() - 1},
                                uint64_t{text.size()}, uint64_t{1} << 20}) {
    for (const size_t chunk : {size_t{1}, size_t{7}, size_t{999}, size_t{4096}, text.size()}) {
      base::MemoryAccount account(kMega * 2);
      {
        base::MemoryLease lease(&account);
        Spool spool(directory_, memory, kMega, &lease);
        for (size_t at = 0; at < text.size(); at += chunk) {
          ASSERT_TRUE(spool.append(std::string_view(text).substr(at, chunk)));
          ASSERT_LE(account.used(), std::max<uint64_t>(memory, 1));
          ASSERT_EQ(files(), 0u) << "a spool file must have no name";
        }
        ASSERT_TRUE(spool.finish());
        EXPECT_EQ(spool.view(), text) << memory << " " << chunk;
        EXPECT_EQ(spool.size(), text.size());
        EXPECT_FALSE(spool.over_limit());
      }
      EXPECT_EQ(account.used(), 0u);
    }
  }
}

TEST_F(SpoolTest, AnEmptyBodyIsAnEmptyView) {
  for (const uint64_t memory : {uint64_t{0}, uint64_t{100}}) {
    Spool spool(directory_, memory, 100, nullptr);
    ASSERT_TRUE(spool.append(""));
    ASSERT_TRUE(spool.finish());
    EXPECT_EQ(spool.view(), "");
  }
}

TEST_F(SpoolTest, TheLimitIsExactAndFreesEverything) {
  const size_t before = descriptors();
  base::MemoryAccount account(kMega);
  base::MemoryLease lease(&account);
  for (const uint64_t memory : {uint64_t{0}, uint64_t{50}, uint64_t{1000}}) {
    Spool fits(directory_, memory, 100, &lease);
    EXPECT_TRUE(fits.append(std::string(100, 'x')));
    EXPECT_TRUE(fits.finish());
    Spool over(directory_, memory, 100, &lease);
    EXPECT_TRUE(over.append(std::string(100, 'x')));
    const uint64_t held = account.used();
    auto result = over.append("y");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().cause(), base::Cause::limit);
    EXPECT_TRUE(over.over_limit());
    EXPECT_LE(account.used(), held);
    EXPECT_EQ(over.append(std::string(1000, 'z')).error().cause(), base::Cause::limit);
    EXPECT_EQ(over.size(), 1101u);
    EXPECT_EQ(over.view(), "");
    EXPECT_EQ(over.finish().error().cause(), base::Cause::limit);
  }
  EXPECT_EQ(account.used(), 0u);
  EXPECT_EQ(descriptors(), before);
}

TEST_F(SpoolTest, AHugeMessageDoesNotGrowTheProcess) {
  const std::string chunk(65535, 'a');
  base::MemoryAccount account(512 * kMega);
  base::MemoryLease lease(&account);
  const uint64_t before = resident();
  uint64_t peak = before;
  Spool spool(directory_, kMega, 50 * kMega, &lease);
  uint64_t sent = 0;
  for (; sent < 200 * kMega; sent += chunk.size()) {
    auto result = spool.append(chunk);
    ASSERT_EQ(result.has_value(), sent + chunk.size() <= 50 * kMega);
    if (sent % (5 * kMega) < chunk.size()) peak = std::max(peak, resident());
  }
  peak = std::max(peak, resident());
  EXPECT_LT(peak - before, 10 * kMega);
  EXPECT_EQ(spool.size(), sent);
  EXPECT_EQ(account.used(), 0u);
  EXPECT_EQ(files(), 0u);
}

TEST_F(SpoolTest, TheAccountBoundsMemory) {
  base::MemoryAccount account(1000);
  base::MemoryLease one(&account);
  base::MemoryLease two(&account);
  Spool first(directory_, 10000, 100000, &one);
  ASSERT_TRUE(first.append(std::string(900, 'x')));
  Spool second(directory_, 10000, 100000, &two);
  auto result = second.append(std::string(200, 'y'));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause(), base::Cause::unavailable);
  EXPECT_EQ(second.append("z").error().cause(), base::Cause::unavailable) << "a piece is missing";
  EXPECT_EQ(second.finish().error().cause(), base::Cause::unavailable);
  EXPECT_EQ(two.held(), 0u);
  ASSERT_TRUE(first.finish());
  EXPECT_EQ(first.view().size(), 900u);
}

TEST_F(SpoolTest, AMissingDirectoryIsUnavailable) {
  Spool spool(directory_ + "/none", 10, 1000, nullptr);
  auto result = spool.append("more than ten bytes");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause(), base::Cause::unavailable);
  EXPECT_NE(result.error().text().find("/none"), std::string::npos) << result.error().text();
}

TEST_F(SpoolTest, AFailingWriteIsUnavailableAndFinal) {
  struct rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small{4096, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  base::MemoryAccount account(kMega);
  base::MemoryLease lease(&account);
  {
    Spool spool(directory_, 1000, kMega, &lease);
    EXPECT_TRUE(spool.append(std::string(4000, 'x')));
    auto result = spool.append(std::string(1000, 'x'));
    EXPECT_FALSE(result);
    if (!result) {
      EXPECT_EQ(result.error().cause(), base::Cause::unavailable);
    }
    EXPECT_FALSE(spool.append("y"));
    EXPECT_FALSE(spool.finish());
    EXPECT_EQ(spool.view(), "");
  }
  EXPECT_EQ(account.used(), 0u);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
}

}  // namespace
}  // namespace postern::message

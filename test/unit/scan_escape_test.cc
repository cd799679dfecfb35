// SPDX-License-Identifier: Apache-2.0
// The escape suite: in a worker as it scans, every thing that it must not be able to do is tried, and fails: with an
// error, or with the end of the process by SIGSYS.
#include <fcntl.h>
#include <gmock/gmock.h>

#include "engine/base/text.h"
#include "test/unit/scan_pool_fixture.h"

namespace postern::scan {
namespace {

using EscapeSuite = ScanPool;

TEST_F(EscapeSuite, EverythingForbiddenFails) {
  const auto pool = start();
  const std::string names = pool->scan(job_of("escape list\n")).leaves[0].text;
  int tried = 0;
  int refused = 0;
  for (const std::string_view name : base::split(names, '\n')) {
    if (name.empty()) continue;
    ++tried;
    const Verdict verdict = pool->scan(job_of("escape " + std::string(name) + "\n"));
    if (verdict.complete()) {
      EXPECT_EQ(verdict.leaves[0].text, "refused") << name;
      ++refused;
    } else {
      EXPECT_EQ(verdict.reason(), Reason::crash) << name;
      EXPECT_THAT(last(), ::testing::AnyOf("crash-twice: it is not parsed again", "crash: SIGSYS")) << name;
    }
  }
  EXPECT_GE(tried, 50);
  EXPECT_GE(refused, 10);
  EXPECT_LE(refused, 25);
  EXPECT_FALSE(std::filesystem::exists("/tmp/postern-escape"));
}

TEST_F(EscapeSuite, NothingButTheSocketIsOpen) {
  // Descriptors of ours that are not close-on-exec, as other libraries may have them.
  const int leak = ::open("/etc/passwd", O_RDONLY);
  const int high = ::fcntl(leak, F_DUPFD, 700);
  ASSERT_GE(high, 700);
  const auto pool = start();
  EXPECT_EQ(pool->scan(job_of("escape descriptors\n")).leaves[0].text, "3 ");
  ::close(leak);
  ::close(high);
}

}  // namespace
}  // namespace postern::scan

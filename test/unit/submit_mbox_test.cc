// SPDX-License-Identifier: Apache-2.0
// Mailbox files: the form that readers expect, and that every attempt cut short is mended by the next one.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "engine/base/handle.h"
#include "engine/submit/mbox.h"
#include "test/unit/submit_support.h"

namespace postern::submit {
namespace {

constexpr int64_t kTime = 1'750'000'000;
constexpr std::string_view kMessage =
    "Subject: one\r\nFrom: a@x.test\r\n\r\nFrom here\r\n>From there\r\n>>From afar\r\n From no\r\nlast line";
constexpr std::string_view kWritten =
    "From a@x.test Sun Jun 15 15:06:40 2025\nX-Postern-Archived: t1\nSubject: one\nFrom: a@x.test\n\n"
    ">From here\n>>From there\n>>>From afar\n From no\nlast line\n\n";

TEST(SubmitMbox, WritesWhatReadersExpect) {
  const test::TemporaryDirectory folder;
  const std::string path = folder / "a.mbox";
  ASSERT_TRUE(append_mbox(path, "t1", "a@x.test", kTime, kMessage));
  EXPECT_EQ(read_file(path), kWritten);
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_TRUE(append_mbox(path, "t2\nFrom x", "", kTime, "Subject: 2\r\n\r\n"));
  EXPECT_EQ(read_file(path), std::string(kWritten) +
                                 "From MAILER-DAEMON Sun Jun 15 15:06:40 2025\nX-Postern-Archived: t2 From x\n"
                                 "Subject: 2\n\n\n");
  ASSERT_TRUE(append_mbox(path, "t3", "a b\n@x.test", kTime, ""));
  EXPECT_NE(read_file(path).find("\nFrom ab@x.test Sun"), std::string::npos);
}

TEST(SubmitMbox, MendsWhatACrashLeft) {
  const test::TemporaryDirectory folder;
  const std::string path = folder / "a.mbox";
  const std::string earlier = "From b@x.test Sun Jun 15 15:06:40 2025\nX-Postern-Archived: t0\n\nFrom: text\n\n";
  for (size_t length = 0; length <= kWritten.size(); ++length) {
    {
      std::ofstream file(path, std::ios::binary);
      file << earlier << kWritten.substr(0, length);
    }
    ASSERT_TRUE(append_mbox(path, "t1", "a@x.test", kTime, kMessage));
    EXPECT_EQ(read_file(path), earlier + std::string(kWritten)) << length;
  }
  // What is not ours stays, and the next message begins after an empty line.
  for (const std::string other : {"text without end", "text with end\n", "text with empty line\n\n"}) {
    std::ofstream(path, std::ios::binary) << other;
    ASSERT_TRUE(append_mbox(path, "t1", "a@x.test", kTime, kMessage));
    EXPECT_EQ(read_file(path), other +
                                   std::string(other.ends_with("\n\n") ? 0
                                               : other.ends_with('\n') ? 1
                                                                       : 2,
                                               '\n') +
                                   std::string(kWritten));
  }
}

TEST(SubmitMbox, AFailureLeavesTheFileAsItWas) {
  const test::TemporaryDirectory folder;
  const std::string path = folder / "a.mbox";
  ASSERT_TRUE(append_mbox(path, "t1", "a@x.test", kTime, kMessage));
  // A disk that is full after 300 bytes.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{300, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto result = append_mbox(path, "t2", "a@x.test", kTime, std::string(1000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old);
  EXPECT_FALSE(result);
  EXPECT_EQ(read_file(path), kWritten);

  std::filesystem::create_symlink(path, folder / "link");
  EXPECT_FALSE(append_mbox(folder / "link", "t2", "a@x.test", kTime, "x"));
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(append_mbox(folder / "fifo", "t2", "a@x.test", kTime, "x"));
  EXPECT_FALSE(append_mbox(folder / "none/a", "t2", "a@x.test", kTime, "x"));

  const base::UniqueFd reader(::open(path.c_str(), O_RDWR));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(reader.get(), F_OFD_SETLK, &lock), 0);
  const auto locked = append_mbox(path, "t2", "a@x.test", kTime, "x");
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().cause(), base::Cause::unavailable);
  EXPECT_EQ(read_file(path), kWritten);
}

}  // namespace
}  // namespace postern::submit

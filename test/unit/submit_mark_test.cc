// SPDX-License-Identifier: Apache-2.0
// The mark of our own mail: what was made is read back, and every change of it, of the envelope or of the time is
// refused; the secret is made once, on disk, closed to others.
#include <sys/stat.h>

#include <thread>
#include <vector>

#include "engine/submit/mark.h"
#include "test/unit/submit_support.h"

namespace postern::submit {
namespace {

constexpr int64_t kNow = 1'800'000'000;
const std::vector<std::string> kTo = {"b@y.test", "a@y.test"};

Mark sample() { return {"bcc-scan", 4711, kNow, "flow; b=\r\n=%x", "[192.0.2.3]"}; }

TEST(SubmitMark, ReadsBackWhatWasMade) {
  const MarkKey key(std::string(MarkKey::kBytes, 'k'));
  const std::string value = key.make(sample(), "s@x.test", kTo);
  EXPECT_EQ(value.find_first_of("\r\n"), std::string::npos) << value;
  auto mark = key.verify(value, "s@x.test", {"a@y.test", "b@y.test"}, kNow + kMarkSeconds);
  ASSERT_TRUE(mark) << mark.error().text();
  EXPECT_EQ(mark->kind, "bcc-scan");
  EXPECT_EQ(mark->mid, 4711u);
  EXPECT_EQ(mark->time, kNow);
  EXPECT_EQ(mark->flow, sample().flow);
  EXPECT_EQ(mark->host, "[192.0.2.3]");
  // As an MTA may write it.
  std::string folded = " " + value + "\r\n";
  folded.replace(folded.find("; f="), 2, ";\r\n ");
  EXPECT_TRUE(key.verify(folded, "s@x.test", kTo, kNow));
}

TEST(SubmitMark, RefusesEveryChange) {
  const MarkKey key(std::string(MarkKey::kBytes, 'k'));
  const std::string value = key.make(sample(), "", kTo);
  ASSERT_TRUE(key.verify(value, "", kTo, kNow));
  for (size_t i = 0; i < value.size(); ++i) {
    for (const char c : {'0', 'x', ';', ' '}) {
      std::string forged = value;
      if (forged[i] == c) continue;
      forged[i] = c;
      EXPECT_FALSE(key.verify(forged, "", kTo, kNow)) << forged;
    }
    EXPECT_FALSE(key.verify(value.substr(0, i), "", kTo, kNow));
  }
  EXPECT_FALSE(key.verify(value + "0", "", kTo, kNow));
  EXPECT_FALSE(key.verify(value, "s@x.test", kTo, kNow));
  EXPECT_FALSE(key.verify(value, "", {"a@y.test"}, kNow));
  EXPECT_FALSE(key.verify(value, "", {"a@y.test", "b@y.test", "c@y.test"}, kNow));
  EXPECT_FALSE(key.verify(value, "", kTo, kNow + kMarkSeconds + 1));
  EXPECT_FALSE(key.verify(value, "", kTo, kNow - kMarkSeconds - 1));
  EXPECT_FALSE(MarkKey(std::string(MarkKey::kBytes, 'l')).verify(value, "", kTo, kNow));
  for (const std::string& hostile :
       {std::string(100'000, 'b'), std::string("v=1; b="), std::string("; b="), std::string()}) {
    EXPECT_FALSE(key.verify(hostile, "", kTo, kNow));
  }
}

TEST(SubmitMark, SecretIsMadeOnceAndKeptFromOthers) {
  const test::TemporaryDirectory folder;
  const std::string path = folder / "mark.key";
  // Many at once: all get the same.
  std::vector<std::string> marks(8);
  std::vector<std::thread> threads;
  for (std::string& mark : marks) {
    threads.emplace_back([&] {
      auto key = MarkKey::open(path);
      if (key) mark = key->make(sample(), "", kTo);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& mark : marks) EXPECT_EQ(mark, marks.front());
  EXPECT_FALSE(marks.front().empty());
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(info.st_size, static_cast<off_t>(MarkKey::kBytes));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);

  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  auto open_to_others = MarkKey::open(path);
  ASSERT_FALSE(open_to_others);
  EXPECT_EQ(open_to_others.error().cause(), base::Cause::misconfigured);
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(::truncate(path.c_str(), 31), 0);
  EXPECT_FALSE(MarkKey::open(path));
  std::filesystem::create_symlink(path, folder / "link");
  EXPECT_FALSE(MarkKey::open(folder / "link"));
  EXPECT_FALSE(MarkKey::open(folder / "nowhere/mark.key"));
}

}  // namespace
}  // namespace postern::submit

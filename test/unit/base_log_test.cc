// SPDX-License-Identifier: Apache-2.0
// The log: what a line looks like and that it cannot be forged, journal fields, files that are full, symbolic links,
// rotation, and that a stuck sink holds up nobody and is accounted for.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "engine/base/handle.h"
#include "engine/base/log.h"
#include "engine/base/log_sink.h"
#include "engine/base/text.h"
#include "test/support/temporary_directory.h"

namespace postern::base {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr LogId kFrom{"message-from", Level::info, "MID {mid} From: <{from}>"};
constexpr LogId kDetail{"detail", Level::debug, "MID {mid} detail"};
constexpr LogId kBroken{"broken", Level::error, "{what} broke {missing} {"};

class Log : public testing::Test {
 protected:
  void TearDown() override {
    ASSERT_TRUE(open_log({"stderr", Level::error}));
    ASSERT_TRUE(flush_log(5000));
  }
  std::vector<std::string> lines(const std::string& name) {
    std::ifstream in(folder_ / name);
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  std::string target(const std::string& name) { return "file:" + (folder_ / name).string(); }
  const test::TemporaryDirectory own_;
  const std::filesystem::path folder_ = own_.path();
};

TEST_F(Log, LinesInAFile) {
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  emit(kFrom, {{"mid", "7"}, {"from", "a@example.org"}});
  emit(kFrom, {{"mid", "8"}, {"from", "ü@example.org"}}, "4XyZ");
  emit(kDetail, {{"mid", "8"}});  // below the level
  emit(kBroken, {{"what", "disk"}});
  ASSERT_TRUE(flush_log(5000));
  const auto got = lines("a.log");
  ASSERT_EQ(got.size(), 3u);
  const std::string date = "[A-Z][a-z][a-z] [A-Z][a-z][a-z] [ 0-9][0-9] [0-9:]+ [0-9]+ ";
  EXPECT_THAT(got[0], MatchesRegex(date + "Info: MID 7 From: <a@example.org> \\[message-from\\]"));
  EXPECT_THAT(got[1], MatchesRegex(date + "Info: MID 8 From: <ü@example.org> queue-id=4XyZ \\[message-from\\]"));
  EXPECT_THAT(got[2], MatchesRegex(date + "Error: disk broke \\? \\{ \\[broken\\]"));
  struct stat status{};
  ASSERT_EQ(::stat((folder_ / "a.log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(Log, ValuesCannotForgeLines) {
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  emit(kFrom,
       {{"mid", "1\nTue Nov 1 00:00:00 2022 Info: MID 2 From: <b@c>"},
        {"from", "x\r\n\x1b[2J\x7f\\\xff\xe2\x80\xa8\xe2\x80\xae"}},
       "q\nr");
  emit(kFrom, {{"mid", "{from}"}, {"from", std::string(5000, 'x')}});
  ASSERT_TRUE(flush_log(5000));
  const auto got = lines("a.log");
  ASSERT_EQ(got.size(), 2u);
  EXPECT_THAT(got[0], HasSubstr(R"(MID 1\x0aTue Nov)"));
  EXPECT_THAT(got[0], HasSubstr(R"(<x\x0d\x0a\x1b[2J\x7f\\\xff\xe2\x80\xa8\xe2\x80\xae>)"));
  EXPECT_THAT(got[0], HasSubstr(R"(queue-id=q\x0ar)"));
  EXPECT_THAT(got[1], HasSubstr("MID {from} From: <xxx"));
  EXPECT_THAT(got[1], HasSubstr("xxx...> [message-from]"));
  EXPECT_LT(got[1].size(), 700u);
}

TEST_F(Log, ManyChangesKeepTheOrder) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(open_log({target(std::to_string(i) + ".log"), Level::info}));
    emit(kFrom, {{"mid", std::to_string(i)}, {"from", ""}});
  }
  ASSERT_TRUE(flush_log(5000));
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(lines(std::to_string(i) + ".log"), ElementsAre(HasSubstr("MID " + std::to_string(i) + " From")));
  }
}

TEST_F(Log, ReopensAfterRotation) {
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  emit(kFrom, {{"mid", "1"}, {"from", ""}});
  std::filesystem::rename(folder_ / "a.log", folder_ / "a.log.1");
  emit(kFrom, {{"mid", "2"}, {"from", ""}});
  ASSERT_TRUE(open_log({target("a.log"), Level::debug}));
  emit(kDetail, {{"mid", "3"}});
  ASSERT_TRUE(flush_log(5000));
  EXPECT_THAT(lines("a.log.1"), ElementsAre(HasSubstr("MID 1 "), HasSubstr("MID 2 ")));
  EXPECT_THAT(lines("a.log"), ElementsAre(HasSubstr("MID 3 detail")));
}

TEST_F(Log, TargetsThatAreRefusedLeaveTheOldOne) {
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  std::filesystem::create_symlink(folder_ / "elsewhere", folder_ / "link");
  const auto link = open_log({target("link"), Level::info});
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().cause(), Cause::denied);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "elsewhere"));
  EXPECT_EQ(open_log({target("none/b.log"), Level::info}).error().cause(), Cause::not_found);
  for (const std::string to : {"", "file:", "File:/x", "printer"}) {
    const auto refused = open_log({to, Level::info});
    ASSERT_FALSE(refused) << to;
    EXPECT_EQ(refused.error().cause(), Cause::misconfigured);
  }
  emit(kFrom, {{"mid", "1"}, {"from", ""}});
  ASSERT_TRUE(flush_log(5000));
  EXPECT_EQ(lines("a.log").size(), 1u);
}

TEST_F(Log, FullDiskIsCountedAndReportedOnce) {
  // /dev/full answers every write with "no space left on device".
  const uint64_t before = log_lines_lost();
  ASSERT_TRUE(open_log({"file:/dev/full", Level::info}));
  for (int i = 0; i < 10; ++i) emit(kFrom, {{"mid", std::to_string(i)}, {"from", ""}});
  ASSERT_TRUE(flush_log(5000));
  EXPECT_EQ(log_lines_lost() - before, 10u);
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  emit(kFrom, {{"mid", "11"}, {"from", ""}});
  ASSERT_TRUE(flush_log(5000));
  emit(kFrom, {{"mid", "12"}, {"from", ""}});
  ASSERT_TRUE(flush_log(5000));
  EXPECT_THAT(lines("a.log"), ElementsAre(EndsWith("Warning: 10 log lines could not be written [log-lines-lost]"),
                                          HasSubstr("MID 11 "), HasSubstr("MID 12 ")));
  EXPECT_EQ(log_events().size(), 2u);
  EXPECT_EQ(log_events()[0].id, "log-lines-lost");
}

TEST_F(Log, StuckSinkHoldsUpNobody) {
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
  ASSERT_TRUE(reader);
  const uint64_t before = log_lines_lost();
  ASSERT_TRUE(open_log({target("fifo"), Level::info}));
  const std::string value(500, 'v');
  timespec start{};
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int i = 0; i < 40'000; ++i) emit(kFrom, {{"mid", std::to_string(i)}, {"from", value}});
  timespec end{};
  clock_gettime(CLOCK_MONOTONIC, &end);
  EXPECT_LT(end.tv_sec - start.tv_sec, 20);
  // 20 MB into a pipe of 64 KB that nobody reads: most is lost, and that is known.
  reader.reset();
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  ASSERT_TRUE(flush_log(20'000));
  EXPECT_GT(log_lines_lost() - before, 20'000u);
  const auto got = lines("a.log");
  ASSERT_EQ(got.size(), 1u);
  EXPECT_THAT(got[0], HasSubstr(std::to_string(log_lines_lost() - before) + " log lines could not be written"));
}

TEST_F(Log, ManyThreadsWriteWholeLines) {
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i) {
        emit(kFrom, {{"mid", std::to_string(i)},
                     {"from", std::string(static_cast<size_t>(i % 90), static_cast<char>('a' + t))}});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(flush_log(20'000));
  const auto got = lines("a.log");
  EXPECT_EQ(got.size(), 4000u);
  for (const std::string& line : got)
    ASSERT_THAT(line, MatchesRegex(".* Info: MID [0-9]+ From: <[a-h]*> \\[message-from\\]"));
}

TEST_F(Log, ReopeningIsOfTheTargetThatWasSetLast) {
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  ASSERT_TRUE(open_log({target("b.log"), Level::warning}));
  EXPECT_FALSE(open_log({target("none/c.log"), Level::debug})) << "the old one stays";
  ASSERT_TRUE(flush_log(20'000));
  std::filesystem::rename(folder_ / "b.log", folder_ / "b.log.1");
  ASSERT_TRUE(reopen_log());
  emit(kFrom, {{"mid", "1"}, {"from", ""}});
  emit(kBroken, {{"what", "x"}});
  ASSERT_TRUE(flush_log(20'000));
  EXPECT_EQ(lines("b.log").size(), 1u);
  EXPECT_TRUE(lines("b.log.1").empty());
}

TEST_F(Log, LinesReachAFileWithoutAFlush) {
  ASSERT_TRUE(open_log({target("a.log"), Level::info}));
  emit(kFrom, {{"mid", "1"}, {"from", ""}});
  for (int tries = 0; lines("a.log").empty() && tries < 5000; ++tries) ::usleep(2000);
  EXPECT_EQ(lines("a.log").size(), 1u);
}

std::vector<std::vector<std::string>>* g_sent = nullptr;
int g_answer = 0;

int fake_send(const iovec* fields, int count) {
  std::vector<std::string> entry;
  for (int i = 0; i < count; ++i) entry.emplace_back(static_cast<const char*>(fields[i].iov_base), fields[i].iov_len);
  g_sent->push_back(entry);
  return g_answer;
}

TEST(JournalSink, SendsMessagePriorityAndFields) {
  std::vector<std::vector<std::string>> sent;
  g_sent = &sent;
  g_answer = 0;
  const auto sink = make_journal_sink(&fake_send);
  EXPECT_TRUE(sink->takes_fields());
  const LogRecord records[] = {
      {std::chrono::system_clock::now(), Level::warning, "one", {"POSTERN_EVENT=x", "POSTERN_MID=4"}},
      {std::chrono::system_clock::now(), Level::error, "two", {}},
  };
  EXPECT_EQ(sink->write(records), 0u);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_THAT(sent[0], ElementsAre("MESSAGE=one", "PRIORITY=4", HasSubstr("SYSLOG_IDENTIFIER="),
                                   HasSubstr("SYSLOG_PID="), "POSTERN_EVENT=x", "POSTERN_MID=4"));
  EXPECT_EQ(sent[1][1], "PRIORITY=3");
  g_answer = -ECONNREFUSED;
  EXPECT_EQ(sink->write(records), 2u);
}

TEST(JournalSink, StandardErrorStandsInForAMissingJournal) {
  const auto sink = make_sink("journal");
  ASSERT_TRUE(sink);
  EXPECT_EQ((*sink)->takes_fields(), has_journal());
}

TEST(LogLevels, HaveNames) {
  EXPECT_EQ(level_name(Level::error), "error");
  EXPECT_EQ(level_name(Level::warning), "warning");
  EXPECT_EQ(level_name(Level::info), "info");
  EXPECT_EQ(level_name(Level::debug), "debug");
}

TEST_F(Log, AnObserverSeesEveryEvent) {
  static constexpr LogId kDebug{"observed-debug", Level::debug, "value {a} and {b}"};
  static std::vector<std::string> seen;
  const LogObserver first = [](const LogId& id, std::span<const LogValue> values, std::string_view queue_id) {
    seen.push_back(std::string(id.id) + "|" + log_text(id, values) + "|" + std::string(queue_id));
  };
  static int counted = 0;
  const LogObserver second = [](const LogId&, std::span<const LogValue>, std::string_view) { ++counted; };
  observe_log(first);
  observe_log(second);
  emit(kDebug, {{"a", "x\ny"}}, "4XyZ");  // also of a level that is off
  unobserve_log(first);
  emit(kDebug, {{"a", "later"}});
  unobserve_log(second);
  emit(kDebug, {{"a", "later still"}});
  EXPECT_EQ(counted, 2);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0], "observed-debug|value x\\x0ay and ?|4XyZ");
}

class LogRotationTest : public testing::Test {
 protected:
  void SetUp() override {
    path = directory + "/mail.log";
    told.clear();
  }

  std::unique_ptr<LogSink> sink(uint64_t size, uint64_t seconds, uint32_t keep) {
    auto made = make_sink("file:" + path, {size, seconds, keep, [](bool removed, std::string_view what) {
                                             told.push_back((removed ? "removed " : "failed ") + std::string(what));
                                           }});
    EXPECT_TRUE(made);
    return std::move(*made);
  }
  static size_t write(LogSink& to, const std::vector<std::string>& lines) {
    std::vector<LogRecord> records;
    for (const std::string& line : lines) records.push_back({std::chrono::system_clock::now(), Level::info, line, {}});
    return to.write(records);
  }
  // The last words of all lines, from the oldest file to the newest.
  std::vector<std::string> words(uint32_t files) {
    std::vector<std::string> out;
    for (uint32_t number = files; number != UINT32_MAX; --number) {
      std::ifstream file(number == 0 ? path : path + "." + std::to_string(number));
      for (std::string line; std::getline(file, line);) out.push_back(line.substr(line.rfind(' ') + 1));
    }
    return out;
  }

  const test::TemporaryDirectory own_directory;
  const std::string& directory = own_directory.path();
  std::string path;
  static inline std::vector<std::string> told;
};

TEST_F(LogRotationTest, NoLineIsLostAndNoFileIsTooLarge) {
  std::vector<std::string> expected;
  auto to = sink(4096, 0, 100);
  for (int batch = 0; batch < 40; ++batch) {
    std::vector<std::string> lines;
    for (int i = 0; i < 1 + batch * 3; ++i) {
      expected.push_back(std::to_string(expected.size()));
      lines.push_back("a line of some length, number " + expected.back());
    }
    EXPECT_EQ(write(*to, lines), 0u);
    if (batch % 7 == 0) to = sink(4096, 0, 100);  // a start goes on with the file that is there
  }
  expected.push_back(std::to_string(expected.size()));
  EXPECT_EQ(write(*to, {std::string(10'000, 'x') + " " + expected.back()}), 0u);
  expected.push_back(std::to_string(expected.size()));
  EXPECT_EQ(write(*to, {"after a long line " + expected.back()}), 0u);
  EXPECT_EQ(words(100), expected);
  size_t files = 0;
  size_t large = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    ++files;
    large += file.file_size() > 4096 ? 1 : 0;
    EXPECT_EQ(file.status().permissions(), std::filesystem::perms(0640));
  }
  EXPECT_GT(files, 20u);
  EXPECT_EQ(large, 1u) << "a line that is longer has a file of its own";
  EXPECT_EQ(told, std::vector<std::string>());
}

TEST_F(LogRotationTest, OldestFilesGoAndThatIsTold) {
  auto to = sink(4096, 0, 2);
  for (int i = 0; i < 200; ++i) write(*to, {"a line of some length, number " + std::to_string(i)});
  EXPECT_TRUE(std::filesystem::exists(path + ".2"));
  EXPECT_FALSE(std::filesystem::exists(path + ".3"));
  EXPECT_EQ(words(2).back(), "199");
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told[0], "removed " + path + ".2");
}

TEST_F(LogRotationTest, APeriodThatEndedMovesTheFile) {
  write(*sink(0, 86400, 5), {"yesterday"});
  const timespec old[2] = {{::time(nullptr) - 86400, 0}, {::time(nullptr) - 86400, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), old, 0), 0);
  auto to = sink(0, 86400, 5);
  write(*to, {"today"});
  write(*to, {"too"});
  EXPECT_EQ(words(0), (std::vector<std::string>{"today", "too"}));
  EXPECT_EQ(words(1), (std::vector<std::string>{"yesterday", "today", "too"}));
}

TEST_F(LogRotationTest, AFileThatCannotBeMovedGrowsOn) {
  std::filesystem::create_directories(path + ".1/in the way");
  auto to = sink(4096, 0, 1);
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    expected.push_back(std::to_string(i));
    EXPECT_EQ(write(*to, {"a line of some length, number " + expected.back()}), 0u);
  }
  EXPECT_EQ(words(0), expected);
  ASSERT_EQ(told.size(), 1u) << "once";
  EXPECT_EQ(told[0].substr(0, 7), "failed ");
}

TEST_F(LogRotationTest, AFileThatSomebodyElseMovedIsLeftAlone) {
  auto to = sink(4096, 0, 5);
  write(*to, {"first 1"});
  std::filesystem::rename(path, directory + "/mine");
  for (int i = 0; i < 200; ++i) write(*to, {"a line of some length, number " + std::to_string(i)});
  EXPECT_TRUE(std::filesystem::exists(directory + "/mine"));
  EXPECT_EQ(words(5).back(), "199");
}

}  // namespace
}  // namespace postern::base

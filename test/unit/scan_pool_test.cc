// SPDX-License-Identifier: Apache-2.0
// The pool against workers that do everything that a parser in the hands of an attacker might: each fault has its
// reason, costs the job it came with and no other, and leaves nothing behind.
#include "engine/scan/client/pool.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "engine/scan/client/protocol.h"
#include "test/support/temporary_directory.h"
#include "test/unit/scan_pool_fixture.h"

namespace postern::scan {
namespace {

using std::chrono::milliseconds;

TEST_F(ScanPool, AnswersJobsOfEverySize) {
  auto wanted = settings();
  wanted.arena = 64u << 10;
  wanted.most_workers = 1;
  const auto pool = start(wanted);
  for (const size_t size : {0u, 1u, 65535u, 65536u, 65537u, 131072u, 1000000u, 30000000u}) {
    std::string bytes(size, 'a');
    for (size_t i = 0; i < size; i += 97) bytes[i] = static_cast<char>(i * 31);
    const Verdict verdict = pool->scan(job_of(bytes));
    ASSERT_EQ(verdict.leaves.size(), 1u);
    EXPECT_TRUE(verdict.complete());
    EXPECT_EQ(verdict.leaves[0].text, good_answer(bytes)) << size;
    EXPECT_EQ(verdict.leaves[0].name, "sample.bin");
  }
  EXPECT_GE(pool->status().workers_started, 1u);  // more where the machine is slow
  EXPECT_EQ(pool->status().jobs, 8u);
}

TEST_F(ScanPool, AnswersOfEverySizeComeBack) {
  auto wanted = settings();
  wanted.arena = 64u << 10;
  const auto pool = start(wanted);
  for (const uint64_t size : {0u, 65000u, 65536u, 200000u, 16u << 20}) {
    const Verdict verdict = pool->scan(job_of("text " + std::to_string(size) + "\n"));
    ASSERT_TRUE(verdict.complete());
    EXPECT_EQ(verdict.leaves[0].text, std::string(size, 'x'));
  }
  const Verdict many = pool->scan(job_of("leaves 3000\n"));
  EXPECT_TRUE(many.complete());
  EXPECT_EQ(many.leaves.size(), 3000u);
  EXPECT_EQ(many.leaves[2999].path, std::string(kMaxPath, 'p'));
  const Verdict too_many = pool->scan(job_of("leaves 20000\n"));
  EXPECT_EQ(too_many.reason(), Reason::members);
  EXPECT_GT(too_many.leaves.size(), 5000u);
  EXPECT_EQ(told(Trouble::crash), 0);
}

TEST_F(ScanPool, TooLargeForItsLimitIsNotHandedOver) {
  const auto pool = start();
  const std::string bytes(1001, 'x');
  Job job = job_of(bytes);
  job.limits.size = 1000;
  EXPECT_EQ(pool->scan(job).reason(), Reason::size);
}

// The flags of the mappings of `least` bytes and more that are a process's alone, and hold that much already.
std::vector<std::string> large_mappings(int pid, size_t least) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/smaps");
  std::vector<std::string> out;
  size_t resident = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with("Private_Dirty:")) resident = std::stoull(line.substr(14)) << 10;
    if (line.starts_with("VmFlags:") && resident >= least) out.push_back(line + " ");
  }
  return out;
}

TEST_F(ScanPool, ALargeJobIsGatheredInLargePagesThatGoBack) {
  constexpr size_t kSize = 20u << 20;
  const auto pool = start();
  const auto gathered = [&] {
    std::vector<std::string> out;
    for (const int pid : children()) std::ranges::move(large_mappings(pid, kSize), std::back_inserter(out));
    return out;
  };
  std::string bytes = "nothing\n";
  bytes.resize(kSize, 'x');
  EXPECT_TRUE(pool->scan(job_of(bytes)).complete());
  EXPECT_EQ(gathered().size(), 0u);
  bytes.replace(0, 8, "hang \nx");
  std::thread busy([&] { EXPECT_EQ(pool->scan(job_of(bytes)).reason(), Reason::unavailable); });
  std::vector<std::string> flags;
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
       flags.empty() && std::chrono::steady_clock::now() < end;)
    flags = gathered();
  pool->stop();
  busy.join();
  ASSERT_EQ(flags.size(), 1u);
  if (std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) {
    EXPECT_NE(flags[0].find(" hg "), std::string::npos) << flags[0];
  }
}

struct Fault {
  const char* word;
  Reason reason;
  unsigned crashes;  // workers lost to it
};

class ScanPoolFault : public ScanPool, public ::testing::WithParamInterface<Fault> {};

TEST_P(ScanPoolFault, HasItsReasonAndCostsNoOther) {
  const Fault& fault = GetParam();
  const auto pool = start();
  const std::string good = "a good one";
  EXPECT_EQ(pool->scan(job_of(good)).leaves[0].text, good_answer(good));
  // The time is the fault's own; what does not run into it answers long before.
  const bool timed = fault.reason == Reason::time;
  const Verdict verdict =
      pool->scan(job_of(std::string(fault.word) + "\n", timed ? milliseconds(700) : milliseconds(60000)));
  EXPECT_EQ(reason_name(verdict.reason()), reason_name(fault.reason)) << last();
  EXPECT_EQ(pool->status().crashes, fault.crashes) << last();
  EXPECT_EQ(pool->status().crashed, fault.reason == Reason::crash ? 1u : 0u);
  EXPECT_EQ(pool->status().list_size, fault.reason == Reason::crash ? 1u : 0u);
  EXPECT_EQ(pool->status().timeouts, timed ? 1u : 0u);
  EXPECT_EQ(pool->status().memory, fault.reason == Reason::memory ? 1u : 0u);
  const Verdict after = pool->scan(job_of(good));
  EXPECT_TRUE(after.complete());
  EXPECT_EQ(after.leaves[0].text, good_answer(good));
}

INSTANTIATE_TEST_SUITE_P(
    All, ScanPoolFault,
    ::testing::Values(
        Fault{"abort", Reason::crash, 2}, Fault{"segv", Reason::crash, 2}, Fault{"trap", Reason::crash, 2},
        Fault{"recurse", Reason::crash, 2}, Fault{"throw", Reason::crash, 2}, Fault{"exit 0", Reason::crash, 2},
        Fault{"exit 7", Reason::crash, 2}, Fault{"spin", Reason::time, 0}, Fault{"hang", Reason::time, 0},
        Fault{"time", Reason::time, 0}, Fault{"unfinished-verdict", Reason::time, 0}, Fault{"hog", Reason::memory, 0},
        Fault{"hog-c", Reason::memory, 0}, Fault{"noted-ill", Reason::memory, 0},
        Fault{"ignored-failure", Reason::memory, 0}, Fault{"ignored-failure-of-a-broken-one", Reason::memory, 0},
        Fault{"killed", Reason::memory, 2}, Fault{"killed-slowly", Reason::memory, 2}, Fault{"close", Reason::crash, 2},
        Fault{"garbage", Reason::crash, 2}, Fault{"too-long", Reason::crash, 2}, Fault{"other-job", Reason::crash, 2},
        Fault{"garbage-verdict", Reason::crash, 2}, Fault{"half-verdict", Reason::crash, 2},
        Fault{"long-verdict", Reason::crash, 2}, Fault{"wide-piece", Reason::crash, 2}),
    [](const auto& fault) {
      std::string name = fault.param.word;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

TEST_F(ScanPool, WhatWasFoundBeforeTheTimeWasOverStays) {
  const auto pool = start();
  const Verdict verdict = pool->scan(job_of("time\n"));
  EXPECT_EQ(verdict.reason(), Reason::time);
  EXPECT_EQ(verdict.leaves[0].text, "until here");
}

TEST_F(ScanPool, ARetryIsInAFreshWorkerAndOnlyThatTellsOfTheContent) {
  auto wanted = settings();
  wanted.most_workers = 1;  // a job gets the one that did the job before
  wanted.crash_list = std::make_shared<CrashList>("");
  const auto pool = start(wanted);
  for (unsigned i = 1; i < 4; ++i) {
    EXPECT_TRUE(pool->scan(job_of("good")).complete());
    // Crashes in a worker that has done a job, and not in a new one.
    const Verdict verdict = pool->scan(job_of("stale\n"));
    EXPECT_TRUE(verdict.complete()) << last();
    EXPECT_EQ(pool->status().crashes, i);
  }
  // Nor does a fresh one that gave no answer. In pools with one list, at the same time, since that has to be long
  // enough for another worker to start.
  const auto second = start(wanted);
  std::vector<std::thread> hanging;
  for (Pool* each : {pool.get(), second.get()}) {
    hanging.emplace_back([each] {
      EXPECT_TRUE(each->scan(job_of("good")).complete());
      EXPECT_EQ(each->scan(job_of("stale-hang\n", std::chrono::seconds(5))).reason(), Reason::time);
    });
  }
  for (std::thread& thread : hanging) thread.join();
  EXPECT_EQ(pool->status().crashes, 4u);
  EXPECT_EQ(second->status().crashes, 1u);
  EXPECT_EQ(pool->status().crashed + second->status().crashed, 0u);
  EXPECT_EQ(pool->status().list_size, 0u);
  EXPECT_EQ(told(Trouble::crash_twice), 0);
}

TEST_F(ScanPool, AnAnswerOfAFreshWorkerTakesBackWhatAnotherDiedOf) {
  auto wanted = settings();
  wanted.jobs_per_worker = 1;  // all are fresh
  std::string name;
  wanted.told = [&](Trouble, std::string_view, std::string_view) { name.replace(0, 5, "other"); };
  const auto pool = start(wanted);
  Job job = job_of("named\n");
  for (unsigned i = 1; i < 4; ++i) {
    name = "abort";
    job.name = name;
    EXPECT_TRUE(pool->scan(job).complete());
    EXPECT_EQ(pool->status().crashes, i);
  }
  EXPECT_EQ(pool->status().list_size, 0u);
}

TEST_F(ScanPool, ACrashCountsUntilItIsForgotten) {
  CrashList list("");
  EXPECT_FALSE(*list.add("one", false));
  EXPECT_FALSE(*list.add("two", false));
  list.forget("one");
  EXPECT_FALSE(*list.add("one", false));
  EXPECT_TRUE(*list.add("two", false));
  EXPECT_TRUE(*list.add("three", true));
  EXPECT_FALSE(list.lists("one"));
  EXPECT_TRUE(list.lists("two"));
  EXPECT_TRUE(list.lists("three"));
  list.forget("two");
  EXPECT_TRUE(list.lists("two"));
}

TEST_F(ScanPool, WhatCrashedTwiceIsNotParsedAgainAfterARestartEither) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  const std::string path = directory / "crashed";
  wanted.crash_list = std::make_shared<CrashList>(path);
  {
    const auto pool = start(wanted);
    EXPECT_EQ(pool->scan(job_of("abort\n")).reason(), Reason::crash);
    EXPECT_EQ(told(Trouble::crash), 2);
    EXPECT_EQ(pool->scan(job_of("abort\n")).reason(), Reason::crash);
    EXPECT_EQ(told(Trouble::crash), 2);
    EXPECT_EQ(pool->status().listed, 1u);
  }
  wanted.crash_list = std::make_shared<CrashList>(path);
  const auto pool = start(wanted);
  EXPECT_EQ(pool->status().list_size, 1u);
  EXPECT_EQ(pool->scan(job_of("abort\n")).reason(), Reason::crash);
  EXPECT_EQ(told(Trouble::crash), 2);
  EXPECT_EQ(pool->status().crashes, 0u);
  EXPECT_TRUE(pool->scan(job_of("abovt\n")).complete());  // another of the same size
}

TEST_F(ScanPool, AListThatCannotBeWrittenIsToldAndHolds) {
  auto wanted = settings();
  wanted.crash_list = std::make_shared<CrashList>("/nowhere/at/all");
  const auto pool = start(wanted);
  EXPECT_EQ(pool->scan(job_of("abort\n")).reason(), Reason::crash);
  EXPECT_EQ(told(Trouble::list), 1);
  EXPECT_EQ(pool->scan(job_of("abort\n")).reason(), Reason::crash);
  EXPECT_EQ(told(Trouble::crash), 2);
}

TEST_F(ScanPool, WorkersAreReplacedAfterTheirJobs) {
  auto wanted = settings();
  wanted.jobs_per_worker = 3;
  wanted.most_workers = 1;
  const auto pool = start(wanted);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(pool->scan(job_of("jobs\n")).leaves[0].text, std::to_string(i % 3 + 1));
  }
  EXPECT_EQ(pool->status().workers_started, 3u);
}

TEST_F(ScanPool, AKilledIdleWorkerCostsNothing) {
  const auto pool = start();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(::kill(pid_of_worker(*pool), SIGKILL), 0);
    const Verdict verdict = pool->scan(job_of("good " + std::to_string(i)));
    EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
  }
}

TEST_F(ScanPool, ASlowJobDoesNotDelayOthers) {
  const auto pool = start();
  std::vector<std::thread> slow;
  std::atomic<int> over{0};
  for (int i = 0; i < 3; ++i) {
    slow.emplace_back([&] {
      EXPECT_EQ(pool->scan(job_of("hang\n")).reason(), Reason::unavailable);
      ++over;
    });
  }
  while (pool->status().busy < 3 && over == 0) std::this_thread::yield();
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(pool->scan(job_of("quick")).complete());
  EXPECT_EQ(over, 0);
  pool->stop();
  for (std::thread& thread : slow) thread.join();
}

TEST_F(ScanPool, WhoTookMuchOfTheProcessorIsReplacedWhoOnlyTookLongIsNot) {
  auto wanted = settings();
  wanted.most_workers = 1;
  const auto pool = start(wanted);
  const auto pid = [&] { return pool->scan(job_of("pid\n")).leaves[0].text; };
  const std::string first = pid();
  EXPECT_TRUE(pool->scan(job_of("slow 1200\n")).complete());
  EXPECT_EQ(pid(), first);
  EXPECT_TRUE(pool->scan(job_of("burn 1200\n")).complete());
  EXPECT_NE(pid(), first);
}

TEST_F(ScanPool, PastTheLastWorkerAJobWaitsUpToItsTime) {
  auto wanted = settings();
  wanted.most_workers = 1;
  const auto pool = start(wanted);
  const int pid = pid_of_worker(*pool);
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  std::thread slow([&] { EXPECT_TRUE(pool->scan(job_of("good")).complete()); });
  while (pool->status().busy < 1) std::this_thread::yield();
  const Verdict none = pool->scan(job_of("good", milliseconds(200)));
  EXPECT_EQ(none.reason(), Reason::unavailable);
  EXPECT_GE(none.waited, milliseconds(199));
  EXPECT_EQ(::kill(pid, SIGCONT), 0);
  EXPECT_TRUE(pool->scan(job_of("good")).complete());
  slow.join();
  EXPECT_EQ(pool->status().unavailable, 1u);
  EXPECT_LE(pool->status().idle + pool->status().busy, 1u);
}

TEST_F(ScanPool, NoProgramIsAnErrorAtTheStart) {
  auto wanted = settings();
  wanted.program = "/nowhere/postern-scan";
  const auto none = Pool::start(wanted);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text().find("/nowhere/postern-scan"), std::string::npos) << none.error().text();
  wanted.program = "/bin/true";
  const auto other = Pool::start(wanted);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().text().find("exit status 0"), std::string::npos) << other.error().text();
}

TEST_F(ScanPool, AProgramOfAnotherVersionIsRefused) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  wanted.program = directory / "worker";
  // A hello as ours, but for what it calls types and reasons.
  std::string frame;
  for (const char c : encode_message({Kind::hello, vocabulary() + 1, 0, 0}))
    frame += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
  std::ofstream(wanted.program) << "#!/bin/sh\nprintf '" << frame << "' >&3\ncat <&3\n";
  std::filesystem::permissions(wanted.program, std::filesystem::perms::owner_all);
  const auto none = Pool::start(wanted);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text().find("another version"), std::string::npos) << none.error().text();
}

TEST_F(ScanPool, AProgramThatGoesAwayIsToldAndComesBack) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  wanted.program = directory / "worker";
  wanted.jobs_per_worker = 1;
  wanted.most_workers = 1;
  std::filesystem::create_symlink(POSTERN_FAULTY_SCAN, wanted.program);
  const auto pool = start(wanted);
  std::filesystem::remove(wanted.program);
  // The template serves on; only with it gone none can be had.
  EXPECT_TRUE(pool->scan(job_of("good")).complete());
  for (const int pid : children()) ::kill(pid, SIGKILL);
  Verdict verdict;
  do verdict = pool->scan(job_of("good", std::chrono::seconds(20)));
  while (verdict.complete());
  EXPECT_EQ(verdict.reason(), Reason::unavailable);
  while (told(Trouble::start) == 0) std::this_thread::yield();
  EXPECT_FALSE(pool->status().trouble.empty());
  std::filesystem::create_symlink(POSTERN_FAULTY_SCAN, wanted.program);
  while (!pool->scan(job_of("good")).complete()) std::this_thread::yield();
  EXPECT_TRUE(pool->status().trouble.empty());
}

TEST_F(ScanPool, AJobHasAWorkerTriedWhereNoneStarted) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  wanted.program = directory / "worker";
  wanted.jobs_per_worker = 1;
  wanted.most_workers = 1;
  wanted.start_pause = std::chrono::hours(1);  // no next time comes by itself
  set_program(wanted.program, true);
  const auto pool = start(wanted);
  set_program(wanted.program, false);
  for (const int pid : children()) ::kill(pid, SIGKILL);
  while (pool->status().trouble.empty() || pool->status().idle + pool->status().busy > 0) pool->scan(job_of("good"));
  set_program(wanted.program, true);
  Verdict verdict;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  do verdict = pool->scan(job_of("good"));
  while (!verdict.complete() && std::chrono::steady_clock::now() < end);
  EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
  EXPECT_EQ(pool->status().trouble, "");
}

TEST_F(ScanPool, ACrashedJobComesBeforeThoseBehindItInLine) {
  auto wanted = settings();
  wanted.most_workers = 1;
  wanted.jobs_per_worker = 1u << 30;  // none is replaced for its age
  std::atomic<bool> over{false};
  std::vector<std::thread> others;
  std::unique_ptr<Pool> pool;
  wanted.told = [&](Trouble trouble, std::string_view, std::string_view) {
    if (trouble != Trouble::crash || !others.empty()) return;
    for (int i = 0; i < 8; ++i) {
      others.emplace_back([&] {
        while (!over) EXPECT_TRUE(pool->scan(job_of("slow 20\n")).complete());
      });
    }
    // They have the one worker that there may be, in turn, before the other job asks for it again.
    while (pool->status().busy < 1 || pool->status().waiting < 7) std::this_thread::yield();
  };
  pool = start(wanted);
  EXPECT_TRUE(pool->scan(job_of("good")).complete());
  const Verdict verdict = pool->scan(job_of("stale\n", std::chrono::seconds(20)));
  over = true;
  for (std::thread& other : others) other.join();
  EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
}

TEST_F(ScanPool, AnExceptionCostsTheJobThatItCameWith) {
  auto wanted = settings();
  wanted.told = [&](Trouble, std::string_view, std::string_view) { throw std::runtime_error("told"); };
  auto pool = start(wanted);
  EXPECT_THROW(pool->scan(job_of("abort\n")), std::runtime_error);
  EXPECT_EQ(pool->status().busy, 0u);
  // A verdict that there is no memory for.
  constexpr uint64_t kHuge = 1ull << 63;
  Job job = job_of("long-verdict 9223372036854775808\n");
  job.limits.text = kHuge;
  EXPECT_THROW(pool->scan(job), std::exception);
  EXPECT_EQ(pool->status().busy, 0u);
  EXPECT_TRUE(pool->scan(job_of("good")).complete());
  pool->stop();
  pool.reset();
  EXPECT_TRUE(children().empty());
}

TEST_F(ScanPool, AnExceptionDoesNotEndTheKeeper) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  wanted.program = directory / "worker";
  std::atomic<int> thrown{0};
  wanted.told = [&](Trouble trouble, std::string_view, std::string_view) {
    if (trouble != Trouble::start) return;
    ++thrown;
    throw std::runtime_error("told");
  };
  set_program(wanted.program, true);
  const auto pool = start(wanted);
  set_program(wanted.program, false);
  for (const int pid : children()) ::kill(pid, SIGKILL);
  while (thrown == 0) pool->scan(job_of("good"));
  set_program(wanted.program, true);
  while (!pool->scan(job_of("good")).complete()) std::this_thread::yield();
  EXPECT_TRUE(pool->status().trouble.empty());
}

TEST_F(ScanPool, ALateWorkerEndsWhileTheKeeperIsBusy) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  wanted.program = directory / "worker";
  wanted.workers = 2;
  std::atomic<bool> held{false};
  std::atomic<bool> free{false};
  wanted.told = [&](Trouble trouble, std::string_view, std::string_view) {
    if (trouble != Trouble::start) return;
    held = true;
    held.notify_all();
    free.wait(false);
  };
  set_program(wanted.program, true);
  const auto pool = start(wanted);
  while (pool->status().idle < 2) std::this_thread::yield();
  set_program(wanted.program, false);
  // All but one: the keeper wants another, and has the news that there is none.
  const int left = pid_of_worker(*pool);
  for (const int pid : children()) {
    if (pid != left) ::kill(pid, SIGKILL);
  }
  held.wait(false);
  EXPECT_EQ(pool->scan(job_of("hang\n", milliseconds(700))).reason(), Reason::time);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!has_ended(left) && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_TRUE(has_ended(left));
  free = true;
  free.notify_all();
}

TEST_F(ScanPool, ACopyOfATemplateThatIsGoneIsBuried) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  wanted.program = directory / "dies-after-copying";
  set_program(wanted.program, true);
  const auto none = Pool::start(wanted);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text().find("template is gone"), std::string::npos) << none.error().text();
  EXPECT_TRUE(children().empty());
}

TEST_F(ScanPool, WhatThisProcessLacksCostsNoTemplate) {
  // Only in a build with sanitizers, which ci does not make: no descriptor is left in what follows, and UBSan's checks
  // of dynamic types need some of their own to tell whether memory can be read.
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan's own checks need descriptors, and here are none";
#endif
  const auto pool = start();
  const int pid = pid_of_worker(*pool);
  const int group = ::getpgid(pid);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{4, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  ::kill(pid, SIGKILL);
  while (told(Trouble::start) == 0) pool->scan(job_of("good"));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  while (!pool->scan(job_of("good")).complete()) std::this_thread::yield();
  EXPECT_EQ(::getpgid(pid_of_worker(*pool)), group);
  EXPECT_EQ(pool->status().trouble, "");
}

TEST_F(ScanPool, AStopWhileBusyEndsEverything) {
  const size_t files = open_files();
  auto pool = start();
  std::vector<std::thread> threads;
  std::atomic<int> unavailable{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (pool->scan(job_of("hang\n")).reason() == Reason::unavailable) ++unavailable;
    });
  }
  while (pool->status().busy < 4 || pool->status().waiting < 4) std::this_thread::yield();
  pool->stop();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(unavailable, 8);
  EXPECT_EQ(pool->scan(job_of("good")).reason(), Reason::unavailable);
  pool.reset();
  EXPECT_TRUE(children().empty());
  EXPECT_EQ(open_files(), files);
}

TEST_F(ScanPool, FaultsAmongParallelJobsTouchNoOther) {
  const size_t files = open_files();
  {
    auto wanted = settings();
    wanted.workers = 2;
    wanted.most_workers = 10;
    wanted.jobs_per_worker = 40;
    const auto pool = start(wanted);
    static constexpr std::array<std::pair<const char*, Reason>, 8> kFaults = {{{"abort", Reason::crash},
                                                                               {"spin", Reason::time},
                                                                               {"hog", Reason::memory},
                                                                               {"exit 1", Reason::crash},
                                                                               {"garbage", Reason::crash},
                                                                               {"killed", Reason::memory},
                                                                               {"half-verdict", Reason::crash},
                                                                               {"segv", Reason::crash}}};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 150; ++i) {
          const int number = t * 150 + i;
          if (number % 50 == 7) {
            const auto& [word, reason] = kFaults[static_cast<size_t>(number / 50) % kFaults.size()];
            const std::string bytes = std::string(word) + "\n" + std::to_string(number);
            const milliseconds time(reason == Reason::time ? 1500 : 60000);
            const Verdict verdict = pool->scan(job_of(bytes, time));
            // All of a short time may be spent in line.
            const bool in_line = reason == Reason::time && verdict.waited >= time - milliseconds(1);
            EXPECT_EQ(reason_name(verdict.reason()), reason_name(in_line ? Reason::unavailable : reason)) << word;
            continue;
          }
          const std::string bytes =
              "good " + std::to_string(number) + std::string(static_cast<size_t>(number) * 10, 'x');
          const Verdict verdict = pool->scan(job_of(bytes));
          EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason()) << " after " << verdict.waited.count();
          if (verdict.complete()) {
            EXPECT_EQ(verdict.leaves[0].text, good_answer(bytes));
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    // Those that ended are buried a moment later.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (children().size() > 12 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    EXPECT_LE(children().size(), 12u);
  }
  EXPECT_TRUE(children().empty());
  EXPECT_EQ(open_files(), files);
}

TEST_F(ScanPool, ManyCrashesRenewTheTemplateAndTheOldOneServesUntilThen) {
  const test::TemporaryDirectory directory;
  auto wanted = settings();
  wanted.program = directory / "worker";
  wanted.most_workers = 1;
  set_program(wanted.program, true);
  const auto pool = start(wanted);
  const int old = ::getpgid(pid_of_worker(*pool));
  set_program(wanted.program, false);
  // Each is another content. Faults count for the template also where an allocation had failed before.
  for (int i = 0; i < 12; ++i) {
    const bool noted = i >= 4;
    const std::string content = (noted ? "noted-ill\n" : "abort\n") + std::to_string(i);
    EXPECT_EQ(pool->scan(job_of(content)).reason(), noted ? Reason::memory : Reason::crash);
    EXPECT_TRUE(pool->scan(job_of("good")).complete());
  }
  EXPECT_EQ(pool->status().crashes, 8u);
  EXPECT_EQ(pool->status().list_size, 4u);
  // Of a new one nothing came so far, and that costs nothing.
  while (told(Trouble::start) == 0) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    const int pid = pid_of_worker(*pool);
    EXPECT_EQ(::getpgid(pid), old);
    ::kill(pid, SIGKILL);
  }
  EXPECT_EQ(pool->status().trouble, "");
  set_program(wanted.program, true);
  for (int group = old; group == old;) {
    const int pid = pid_of_worker(*pool);
    group = ::getpgid(pid);
    ASSERT_GT(group, 0);
    ::kill(pid, SIGKILL);
  }
  EXPECT_EQ(pool->status().trouble, "");
  EXPECT_EQ(told(Trouble::start), 1);
}

}  // namespace
}  // namespace postern::scan

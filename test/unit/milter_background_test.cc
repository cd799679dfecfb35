// SPDX-License-Identifier: Apache-2.0
// Threads beside mail: what wakes them, what ends them, and that they leave signals to others.
#include "milter/background.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <future>

namespace postern::milter {
namespace {

constexpr Background::Clock::time_point kNever = Background::Clock::time_point::max() - std::chrono::hours(24 * 365);

TEST(Background, SleepsUntilItIsWoken) {
  Background thread;
  std::promise<void> woken;
  std::promise<bool> ended;
  EXPECT_FALSE(thread.started());
  thread.wake();  // before it waits: not lost
  thread.start("test", [&] {
    EXPECT_TRUE(thread.wait_until(kNever));
    woken.set_value();
    ended.set_value(thread.wait_until(kNever));
  });
  EXPECT_TRUE(thread.started());
  woken.get_future().wait();
  thread.stop();
  EXPECT_FALSE(ended.get_future().get()) << "stop is no reason to go on";
  EXPECT_TRUE(thread.stopping());
  thread.stop();
}

TEST(Background, ATimeThatIsPastDoesNotWait) {
  Background thread;
  std::promise<bool> waited;
  thread.start("test", [&] { waited.set_value(thread.wait_until(Background::Clock::now())); });
  EXPECT_TRUE(waited.get_future().get());
}

TEST(Background, WhoDoesNotEndInTimeIsNotWaitedForLonger) {
  Background thread;
  std::promise<void> go;
  thread.start("test", [&] { go.get_future().wait(); });
  EXPECT_FALSE(thread.end_within(std::chrono::milliseconds(1)));
  go.set_value();
  EXPECT_TRUE(thread.end_within(std::chrono::minutes(1)));
  thread.stop();
  EXPECT_TRUE(thread.end_within(std::chrono::milliseconds(0)));
}

TEST(Background, LeavesSignalsToOthers) {
  Background thread;
  std::promise<bool> blocked;
  thread.start("test", [&] {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked.set_value(sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGHUP) == 1);
  });
  EXPECT_TRUE(blocked.get_future().get());
  sigset_t ours;
  pthread_sigmask(SIG_SETMASK, nullptr, &ours);
  EXPECT_EQ(sigismember(&ours, SIGTERM), 0);
}

}  // namespace
}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// Background: a thread for what is done beside mail. It sleeps until a time, until somebody wakes it, or until it is to
// end; signals are left to the main thread.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace postern::milter {

class Background {
 public:
  using Clock = std::chrono::steady_clock;

  Background() = default;
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() { stop(); }

  // start runs `body` in the thread, once; `name` has at most 15 characters.
  void start(const char* name, std::function<void()> body);

  bool started() const { return thread_.joinable(); }

  // wake ends the present wait_until(), or else the next one. From any thread, never blocks for long.
  void wake();

  // wait_until is for the body: it returns at `until` or when woken; false: the body is to return.
  bool wait_until(Clock::time_point until);

  // stopping is true once the body is to return.
  const std::atomic<bool>& stopping() const { return stopping_; }

  // end_within asks the body to return and tells whether it did so in time; stop asks it and waits for as long as it
  // takes. Both do nothing where no thread runs.
  bool end_within(Clock::duration time);
  void stop();

 private:
  void ask();

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool ended_ = false;
  std::atomic<bool> stopping_{false};
};

}  // namespace postern::milter

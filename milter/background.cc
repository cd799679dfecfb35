// SPDX-License-Identifier: Apache-2.0
// The thread inherits the mask of who starts it, so that mask is full for that moment.
#include "milter/background.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace postern::milter {

void Background::start(const char* name, std::function<void()> body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this, name, body = std::move(body)] {
    pthread_setname_np(pthread_self(), name);
    body();
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Background::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

bool Background::wait_until(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until, [this] { return woken_ || stopping_.load(); });
  woken_ = false;
  return !stopping_.load();
}

void Background::ask() {
  {
    const std::lock_guard lock(mutex_);
    stopping_.store(true);
  }
  changed_.notify_all();
}

bool Background::end_within(Clock::duration time) {
  if (!thread_.joinable()) return true;
  ask();
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return ended_; });
}

void Background::stop() {
  if (!thread_.joinable()) return;
  ask();
  thread_.join();
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// Gate: who is inside the PKCS#11 module. Any number of threads go in at once; closing it waits until all are out, and
// then one thread has the module to itself: to open the token again, to start the module anew, to take away handles
// that others may hold. Unlike a std::shared_mutex it cannot starve the closer and waits no longer than it is told. A
// thread that is inside must not go in again.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace postern::keystore {

class Gate {
 public:
  using Clock = std::chrono::steady_clock;

  // enter returns false when the gate is still closed at `deadline`.
  bool enter(Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_until(lock, deadline, [&] { return !closed_; })) return false;
    ++inside_;
    return true;
  }

  void leave() {
    std::lock_guard lock(mutex_);
    if (--inside_ == 0 && closed_) changed_.notify_all();
  }

  // close returns false when somebody is still inside at `deadline`; then the gate is open as before.
  bool close(Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_until(lock, deadline, [&] { return !closed_; })) return false;
    closed_ = true;
    if (changed_.wait_until(lock, deadline, [&] { return inside_ == 0; })) return true;
    closed_ = false;
    changed_.notify_all();
    return false;
  }

  void open() {
    std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t inside_ = 0;
  bool closed_ = false;
};

// Inside is one stay inside; false where the gate did not open in time.
class Inside {
 public:
  Inside(Gate& gate, Gate::Clock::time_point deadline) : gate_(gate), in_(gate.enter(deadline)) {}
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() {
    if (in_) gate_.leave();
  }
  explicit operator bool() const { return in_; }

 private:
  Gate& gate_;
  bool in_;
};

// Alone keeps the gate closed; false where somebody stayed inside too long.
class Alone {
 public:
  Alone(Gate& gate, Gate::Clock::time_point deadline) : gate_(gate), closed_(gate.close(deadline)) {}
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;
  ~Alone() {
    if (closed_) gate_.open();
  }
  explicit operator bool() const { return closed_; }

 private:
  Gate& gate_;
  bool closed_;
};

}  // namespace postern::keystore

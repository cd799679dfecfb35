// SPDX-License-Identifier: Apache-2.0
// Tracker: what the log says of messages goes into the tracking store. It listens to the log; who logs puts a copy of
// the values into a queue of bounded size, under a lock that is held for that copy. A thread of its own writes them,
// some seconds' lines in one transaction, and forgets what is older than tracking.keep. While the store is away the
// queue fills, and what is too much is dropped and counted: tracking never holds up mail, and never refuses it.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/store/tracking.h"
#include "milter/background.h"
#include "milter/clock_watch.h"
#include "milter/service.h"
#include "milter/tracked_events.h"

namespace postern::milter {

class Tracker {
 public:
  using Clock = std::chrono::steady_clock;
  // kQueueBytes is how much may wait for the store.
  static constexpr size_t kQueueBytes = 16u << 20;

  explicit Tracker(Service& service, size_t queue_bytes = kQueueBytes);
  Tracker(const Tracker&) = delete;
  Tracker& operator=(const Tracker&) = delete;
  ~Tracker();

  // start listens to the log and runs the thread, where the configuration names a store; one object of a process at a
  // time. stop writes what waits, in one attempt.
  void start();
  void stop();

  // note is what the log calls.
  void note(size_t event, std::span<const base::LogValue> values, std::string_view queue_id);
  // turn writes what waits and is due; the thread's work, public for tests. Returns whether there is more.
  bool turn(int64_t now, Clock::time_point steady);

  bool on() const { return on_.load(std::memory_order_relaxed); }

 private:
  void run();
  void parse(int64_t now);
  base::Result<void> write(Clock::time_point steady);
  base::Result<void> forget(int64_t now, Clock::time_point steady);
  void report(const base::Result<void>& done);

  Service& service_;
  const size_t queue_bytes_;
  std::atomic<bool> on_{false};
  std::mutex mutex_;
  std::string queue_;
  uint64_t dropped_ = 0;  // lines of this episode; under the lock

  // Of the thread alone.
  std::unique_ptr<store::Tracking> tracking_;
  std::string taken_;  // what was in the queue, and how far it was read
  size_t read_ = 0;
  TrackedEvents collected_;
  std::vector<store::TrackedMessage> batch_;  // not written yet
  std::string batch_name_;
  uint64_t reported_ = 0;  // of dropped_
  bool failing_ = false;
  Clock::time_point retry_;
  Clock::time_point forget_;
  ClockWatch clock_;
  Background thread_;  // last: it ends before what it uses goes
};

}  // namespace postern::milter

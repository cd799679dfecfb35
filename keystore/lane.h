// SPDX-License-Identifier: Apache-2.0
// Lane: a bounded queue of requests between who reads them and who handles them. What cannot be refused (that an
// officer's connection went) is taken beyond the bound; it is bounded by the number of connections. Thread-safe.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "keystore/connection.h"

namespace postern::keystore {

// Job is one request as it arrived; an empty frame says that the connection went.
struct Job {
  std::shared_ptr<Connection> connection;
  std::string frame;
  std::chrono::steady_clock::time_point deadline;
};

class Lane {
 public:
  explicit Lane(size_t bound) : bound_(bound) {}

  // push takes the job unless the lane is full or closed.
  bool push(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || jobs_.size() >= bound_) return false;
      jobs_.push_back(std::move(job));
    }
    filled_.notify_one();
    return true;
  }
  void push_gone(std::shared_ptr<Connection> connection) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      jobs_.push_back({std::move(connection), {}, {}});
    }
    filled_.notify_one();
  }

  // pop waits for a job, at most `longest`; nullopt when none came. After close() it gives what is left at once, and
  // `closed` is set.
  std::optional<Job> pop(std::chrono::milliseconds longest, bool& closed) {
    std::unique_lock lock(mutex_);
    if (longest.count() > 0) filled_.wait_for(lock, longest, [&] { return closed_ || !jobs_.empty(); });
    closed = closed_;
    if (jobs_.empty()) return std::nullopt;
    std::optional<Job> job(std::move(jobs_.front()));
    jobs_.pop_front();
    return job;
  }
  // try_pop does not wait.
  std::optional<Job> try_pop(bool& closed) { return pop(std::chrono::milliseconds(0), closed); }
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    filled_.notify_all();
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return jobs_.size();
  }

 private:
  const size_t bound_;
  mutable std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<Job> jobs_;
  bool closed_ = false;
};

}  // namespace postern::keystore

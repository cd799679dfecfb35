// SPDX-License-Identifier: Apache-2.0
// A pool of faulty-scan workers, what it told, and jobs for it.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/scan/client/pool.h"

namespace postern::scan {

inline Job job_of(std::string_view bytes, std::chrono::milliseconds time = std::chrono::seconds(60)) {
  Job job;
  job.bytes = bytes;
  job.name = "sample.bin";
  job.limits.time = time;
  return job;
}

inline uint64_t checksum(std::string_view bytes) {
  uint64_t sum = 14695981039346656037u;
  for (const char c : bytes) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return sum;
}

inline std::string good_answer(std::string_view bytes) {
  return std::to_string(bytes.size()) + " " + std::to_string(checksum(bytes));
}

class ScanPool : public ::testing::Test {
 protected:
  PoolSettings settings() {
    PoolSettings out;
    out.program = POSTERN_FAULTY_SCAN;
    out.workers = 1;
    out.most_workers = 4;
    out.memory = 128u << 20;
    out.told = [this](Trouble trouble, std::string_view what, std::string_view content) {
      const std::lock_guard lock(mutex_);
      ++told_[trouble];
      last_ = std::string(trouble_name(trouble)) + ": " + std::string(what);
      if (!content.empty()) {
        EXPECT_EQ(content.size(), 64u);
      }
    };
    return out;
  }
  std::unique_ptr<Pool> start(PoolSettings wanted) {
    auto pool = Pool::start(std::move(wanted));
    if (!pool) ADD_FAILURE() << pool.error().text();
    return pool ? std::move(*pool) : nullptr;
  }
  std::unique_ptr<Pool> start() { return start(settings()); }
  int told(Trouble trouble) {
    const std::lock_guard lock(mutex_);
    return told_[trouble];
  }
  std::string last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

  static std::vector<int> children() {
    std::vector<int> out;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream list(task.path() / "children");
      for (int pid = 0; list >> pid;) out.push_back(pid);
    }
    return out;
  }
  // The program of a pool: a link that a test can take away. Workers are of one group, the number of which is their
  // template's.
  static void set_program(const std::string& path, bool there) {
    if (!there) {
      std::filesystem::remove(path);
    } else {
      std::filesystem::create_symlink(POSTERN_FAULTY_SCAN, path);
    }
  }
  // An exception where there is none: a number that is no worker's must never get to kill().
  static int pid_of_worker(Pool& pool) {
    const Verdict verdict = pool.scan(job_of("pid\n"));
    if (!verdict.complete()) throw std::runtime_error("no worker: " + std::string(reason_name(verdict.reason())));
    const int pid = std::stoi(verdict.leaves[0].text);
    if (pid <= 1) throw std::runtime_error("no number of a process: " + verdict.leaves[0].text);
    return pid;
  }
  static bool has_ended(int pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(status, line);
    return line.empty() || line[line.rfind(')') + 2] == 'Z';
  }
  static size_t open_files() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }

 private:
  std::mutex mutex_;
  std::map<Trouble, int> told_;
  std::string last_;
};

}  // namespace postern::scan

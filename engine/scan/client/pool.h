// SPDX-License-Identifier: Apache-2.0
// Pool: a Scanner whose answers come from worker processes without rights. A worker that dies, hangs or takes too much
// memory costs the job it had, never another's and never this process; nothing that goes wrong is ever "clean".
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/scan/client/crash_list.h"
#include "engine/scan/client/scanner.h"

namespace postern::scan {

// Trouble is what a pool tells of, besides its answers.
enum class Trouble : uint8_t {
  crash,        // a worker died of a job, or what it said was no answer
  crash_twice,  // the second time of the same content, which is not parsed again from now on
  time,         // a worker did not end at its limit of time by itself
  memory,       // a worker ran out of memory
  start,        // no worker can be started
  list,         // the list of contents that crashed could not be written
};
std::string_view trouble_name(Trouble trouble);

struct PoolSettings {
  std::string program;             // path of postern-scan; worker_program() finds it
  unsigned workers = 0;            // kept ready; 0: one for each processor
  unsigned most_workers = 0;       // busy ones included, past it a job waits; 0: four for each processor, and two
  unsigned jobs_per_worker = 500;  // then it is replaced
  std::chrono::milliseconds start_pause{100};  // after a worker did not start; then longer, up to ten seconds
  uint64_t memory = 512ull << 20;              // address space of a worker
  uint64_t arena = 4ull << 20;            // memory shared with each worker; what is larger goes through it in pieces
  std::shared_ptr<CrashList> crash_list;  // contents that crashed; null: one of its own, forgotten with the pool
  // Called where a job is scanned, or on the pool's own thread, several at once; must not call the pool. `content` is
  // the SHA-256 of the job's bytes, in hexadecimal, where it is about one.
  std::function<void(Trouble, std::string_view what, std::string_view content)> told;
};

// PoolStatus counts since the start.
struct PoolStatus {
  unsigned idle = 0;
  unsigned busy = 0;
  unsigned waiting = 0;  // jobs that wait for a worker
  uint64_t jobs = 0;
  uint64_t workers_started = 0;
  uint64_t crashes = 0;      // workers lost to a job
  uint64_t crashed = 0;      // jobs answered `crash`, the listed included
  uint64_t listed = 0;       // jobs answered `crash` because their content is listed
  uint64_t timeouts = 0;     // jobs answered `time`
  uint64_t memory = 0;       // jobs answered `memory`
  uint64_t unavailable = 0;  // jobs answered `unavailable`
  uint64_t list_size = 0;    // contents that are listed
  std::string trouble;       // why no worker can be started; empty when one can
};

class Pool : public Scanner {
 public:
  // start returns when the first workers are ready. An error says why there can be none.
  static base::Result<std::unique_ptr<Pool>> start(PoolSettings settings);
  // Jobs must have returned, or stop() been called.
  ~Pool() override;

  Verdict scan(const Job& job) override;
  PoolStatus status() const;
  // stop ends the workers; jobs in progress and later ones are answered `unavailable`. Any thread.
  void stop();

 private:
  struct State;
  explicit Pool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// worker_program is the path of postern-scan: beside this program, in libexec beside its folder, else where it was to
// be installed.
std::string worker_program();

}  // namespace postern::scan

// SPDX-License-Identifier: Apache-2.0
// WorkerProcess and Template: the processes of a pool. A template is postern-scan started afresh, with all that its
// libraries load in memory; it never sees a message. Workers are copies of it, made in a millisecond, which lock
// themselves up before they take a job; they are children of this process, not of the template. One thread at a time
// for each object.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "engine/scan/client/protocol.h"
#include "engine/scan/client/scanner.h"

namespace postern::scan {

using Clock = std::chrono::steady_clock;

// Death is how a process ended: by `signal`, or else with `status`.
struct Death {
  int signal = 0;
  int status = 0;
  std::string text() const;
};

// Child owns a child process: when it goes the process is killed and waited for.
class Child {
 public:
  Child() = default;
  explicit Child(pid_t pid);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  explicit operator bool() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  int fd() const { return fd_.get(); }  // readable once it ended
  void kill() const;
  bool ended() const;
  // death is how it ended, once ended() is true.
  Death death() const;
  // cpu is the processor time that it took until now, as far as can be told.
  std::chrono::nanoseconds cpu() const;

 private:
  pid_t pid_ = -1;
  base::UniqueFd fd_;
};

// Arena is memory that this process and one worker have, all of it there from the start. It can neither grow nor
// shrink, so that no worker can make us touch what is gone.
class Arena {
 public:
  static base::Result<Arena> make(size_t size);  // of the pieces
  Arena() = default;
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

  int fd() const { return fd_.get(); }
  std::span<char> pieces() const { return {memory_ + kArenaHead, size_ - kArenaHead}; }
  ArenaHead& head() const { return *reinterpret_cast<ArenaHead*>(memory_); }
  void close_fd() { fd_.reset(); }

 private:
  base::UniqueFd fd_;
  char* memory_ = nullptr;
  size_t size_ = 0;
};

class WorkerProcess {
 public:
  WorkerProcess(Child child, base::UniqueFd socket, Arena arena)
      : child_(std::move(child)), socket_(std::move(socket)), arena_(std::move(arena)) {}

  // Outcome of a job. `died`: it ended by itself or was ended by others, `nonsense`: it lives and what it said is no
  // answer; neither it nor one that is `late` is of any more use.
  enum class End { answered, died, nonsense, late };
  struct Outcome {
    End end = End::answered;
    Verdict verdict;
    bool memory_failed = false;  // as it says
    Death death;                 // of one that died
    std::string what;            // nonsense: which
  };
  // run gives it one job and waits for the answer until `deadline`, by when the worker's own limit of time
  // (`job.limits.time`) should be over.
  Outcome run(const Job& job, Clock::time_point deadline);

  void kill() const { child_.kill(); }
  bool ended() const { return child_.ended(); }
  int fd() const { return child_.fd(); }
  unsigned jobs() const { return jobs_; }
  std::chrono::microseconds cpu() const { return cpu_; }
  // slowed tells whether a job took so much of the processor that the worker was given less of it than others.
  bool slowed() const { return slowed_ > 0; }

 private:
  enum class Wait { message, died, late };
  Wait wait_readable(Clock::time_point deadline);
  void slow_down(Clock::time_point now);
  // exchange sends `frame` and receives an answer of kind `expected` about the current job.
  bool exchange(const std::string& frame, Kind expected, Kind other, Message& answer, Clock::time_point deadline,
                Outcome& outcome);
  bool take_verdict(const Message& first, const Job& job, Clock::time_point deadline, Outcome& outcome);

  Child child_;
  base::UniqueFd socket_;
  Arena arena_;
  std::string frame_;  // of the last verdict: its memory is used again
  uint64_t job_ = 0;
  unsigned jobs_ = 0;
  std::chrono::microseconds cpu_{0};
  std::chrono::nanoseconds job_began_{0};  // on the clock of the worker's processor time
  Clock::time_point slow_at_{};            // not before then
  int slowed_ = 0;                         // steps
};

class Template {
 public:
  // start starts `program`; ready() must be true before the first worker is asked for. The process ends with the thread
  // that calls this.
  static base::Result<std::unique_ptr<Template>> start(const std::string& program, uint64_t memory);

  // ready waits for it to be, no longer than until `deadline`: false when it is not yet.
  base::Result<bool> ready(Clock::time_point deadline);
  base::Result<std::unique_ptr<WorkerProcess>> worker(size_t arena, Clock::time_point deadline);
  int socket() const { return socket_.get(); }

  // Health is what worker() has shown: `lost`, it does not answer and is of no more use; `doubtful`, a copy of it ended
  // before its first job. That this process lacked something to start a worker with says nothing about it.
  enum class Health : uint8_t { good, doubtful, lost };
  Health health() const { return health_; }

 private:
  Template(Child child, base::UniqueFd socket) : child_(std::move(child)), socket_(std::move(socket)) {}
  void bury_unnamed(base::UniqueFd socket);
  Child child_;
  base::UniqueFd socket_;
  bool ready_ = false;
  Health health_ = Health::good;
};

}  // namespace postern::scan

// SPDX-License-Identifier: Apache-2.0
// Pool::State: what the threads that scan (pool.cc) and the pool's own thread, the keeper (pool_keeper.cc), have
// between them. The keeper starts workers and buries them; threads that scan take one from the idle, or wait in line.
// All processes are started on the keeper, since the kernel ends them with the thread they came from.
#pragma once
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "engine/base/handle.h"
#include "engine/scan/client/pool.h"
#include "engine/scan/client/worker_process.h"

namespace postern::scan {

inline constexpr auto kTemplateStart = std::chrono::seconds(30);
inline constexpr auto kWorkerStart = std::chrono::seconds(10);
inline constexpr std::chrono::milliseconds kFirstPause{100};
inline constexpr std::chrono::milliseconds kMostPause{10000};
// A job that finds no worker since none starts has that tried again, this long after the last time, and waits for it
// no longer than this: nobody knows what the pause until the next time would cost.
inline constexpr std::chrono::milliseconds kAskedPause{1000};
// Workers of one template have one address space layout: who makes them crash must not get many guesses at it.
inline constexpr unsigned kCrashesPerTemplate = 16;

struct Pool::State {
  using WorkerPointer = std::unique_ptr<WorkerProcess>;
  // A worker goes from one to another without an allocation, which could fail.
  using Workers = std::list<WorkerPointer>;

  // Waiter is a job that waits for a worker.
  struct Waiter {
    bool fresh = false;  // one that has done no job
    bool over = false;   // there will be none
    std::optional<Workers::iterator> given;
    std::condition_variable changed;
  };

  // Retry says when what failed is tried again: later each time.
  struct Retry {
    Clock::time_point at{};
    std::chrono::milliseconds pause = kFirstPause;

    bool due() const { return Clock::now() >= at; }
    void failed() {
      at = Clock::now() + pause;
      pause = std::min(pause * 2, kMostPause);
    }
  };

  explicit State(PoolSettings wanted) : settings(std::move(wanted)) {
    if (crash_list == nullptr) crash_list = std::make_shared<CrashList>("");
  }

  const PoolSettings settings;
  std::shared_ptr<CrashList> crash_list = settings.crash_list;

  mutable std::mutex mutex;
  Workers idle;  // the one used last at the end
  Clock::time_point crowded_since = Clock::time_point::max();
  Workers busy;  // each its Lease's
  std::list<Waiter*> waiters;
  Workers dead;               // for the keeper to bury
  bool trying = false;        // a worker is being started
  Clock::time_point tried{};  // the last change of that
  bool stopping = false;
  unsigned scans = 0;  // threads in scan()
  std::condition_variable scan_over;
  PoolStatus counts;
  unsigned template_crashes = 0;

  // The keeper's own.
  base::UniqueFd wake;
  std::thread keeper;
  std::mutex join_mutex;
  std::unique_ptr<Template> current;
  Retry starting{.pause = settings.start_pause};
  // What comes of the next template has no bearing on workers while the current one serves.
  std::unique_ptr<Template> next;
  Clock::time_point next_until{};
  Retry renewing;
  std::string not_renewed;  // why

  void tell(Trouble trouble, std::string_view what, std::string_view content = {}) const {
    if (settings.told) settings.told(trouble, what, content);
  }
  void wake_keeper() const {
    const uint64_t one = 1;
    // It fails only when the count is full, and then the keeper is awake.
    [[maybe_unused]] const ssize_t done = ::write(wake.get(), &one, sizeof one);
  }
  bool is_stopping() const {
    const std::unique_lock lock(mutex);
    return stopping;
  }
  // Crashes of the current template's workers, or one that could not begin, are what a new one is wanted for.
  bool renewal_wanted() const {
    if (!current) return false;
    const std::unique_lock lock(mutex);
    return template_crashes >= kCrashesPerTemplate || current->health() == Template::Health::doubtful;
  }
  // With the lock held.
  size_t total() const { return idle.size() + busy.size(); }

  // With the lock held.
  void set_trying(bool now) {
    trying = now;
    tried = Clock::now();
  }
  // With the lock held, on the keeper: when the next worker may be started. A job that waits for one has it tried
  // sooner.
  Clock::time_point next_start() const {
    return waiters.empty() ? starting.at : std::min(starting.at, tried + kAskedPause);
  }

  // With all of the usual number busy, one more is ready for the next job.
  size_t kept_idle() const { return settings.workers + size_t{1}; }

  // Lease is a worker that is busy for whoever holds it. It ends with the lease, unless it was given back before.
  class Lease {
   public:
    Lease() = default;
    Lease(State& pool, Workers::iterator place) : pool_(&pool), place_(place) {}
    Lease(Lease&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), place_(other.place_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() { give_back(false); }

    explicit operator bool() const { return pool_ != nullptr; }
    WorkerProcess* operator->() const { return place_->get(); }
    void give_back(bool keep) {
      if (State* pool = std::exchange(pool_, nullptr)) pool->release(place_, keep);
    }

   private:
    State* pool_ = nullptr;
    Workers::iterator place_;
  };

  Lease acquire(bool fresh, Clock::time_point deadline);
  Clock::time_point worth_waiting(Clock::time_point now) const;
  void release(Workers::iterator place, bool keep);
  void offer(Workers& from, Workers::iterator place);
  bool in_the_way(const WorkerProcess& worker) const;
  Verdict scan(const Job& job, Clock::duration& waited);
  enum class Step { answered, over, crashed, killed };
  Step attempt(const Job& job, Lease worker, Clock::time_point deadline, Verdict& verdict);
  Verdict give_up(const Job& job, Reason reason);
  bool is_listed(const Job& job, bool twice);

  void keep();
  bool turn();
  bool start_needed();
  base::Result<void> start_worker();
  base::Result<void> need_template();
  void renew_template();
  void renewal_failed(const base::Error& error);
  void failed(const base::Error& error);
  void wait_for_work();
  void wait(std::span<pollfd> on, Clock::time_point until) const;
  void stop();
};

}  // namespace postern::scan

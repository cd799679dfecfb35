// SPDX-License-Identifier: Apache-2.0
// The way of a job: in line for a worker, through it, and once more through a fresh one where the first died.
#include "engine/scan/client/pool.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <iterator>

#include "engine/scan/client/pool_state.h"

namespace postern::scan {

using base::Cause;
using base::fail;
using base::Result;
using base::system_error;
using std::chrono::milliseconds;

namespace {

constexpr auto kMostCpu = std::chrono::minutes(10);  // of a worker; well below its own RLIMIT_CPU

// These deaths are never a way to say that there is no memory.
bool is_fault(int signal) { return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGSYS; }

bool any(const Verdict& verdict, Reason reason) {
  return std::ranges::any_of(verdict.leaves, [&](const Leaf& leaf) { return leaf.reason == reason; });
}

}  // namespace

Pool::State::Lease Pool::State::acquire(bool fresh, Clock::time_point deadline) {
  std::unique_lock lock(mutex);
  if (stopping) return {};
  for (auto next_one = idle.end(); next_one != idle.begin();) {
    const auto place = std::prev(next_one);
    if (fresh && (*place)->jobs() > 0) {
      next_one = place;
      continue;
    }
    if ((*place)->ended()) {
      dead.splice(dead.end(), idle, place);
      wake_keeper();
      continue;
    }
    busy.splice(busy.end(), idle, place);
    // The next job shall find one, too.
    if (idle.empty()) wake_keeper();
    return {*this, place};
  }
  if (total() == 0 && !counts.trouble.empty()) {
    const Clock::time_point now = Clock::now();
    deadline = std::min(deadline, worth_waiting(now));
    if (deadline <= now) return {};
  }
  Waiter waiter;
  waiter.fresh = fresh;
  const auto place = waiters.insert(waiters.end(), &waiter);
  wake_keeper();
  waiter.changed.wait_until(lock, deadline, [&] { return waiter.over || waiter.given; });
  if (waiter.given) return {*this, *waiter.given};
  if (!waiter.over) waiters.erase(place);
  return {};
}

// With the lock held. Until when a job waits for a worker where none started the last time.
Clock::time_point Pool::State::worth_waiting(Clock::time_point now) const {
  const Clock::time_point then = tried + kAskedPause;
  if (trying) return then;
  return now >= then ? now + kAskedPause : now;
}

// With the lock held.
void Pool::State::offer(Workers& from, Workers::iterator place) {
  const bool fresh = (*place)->jobs() == 0;
  const auto first = std::ranges::find_if(waiters, [&](const Waiter* waiter) { return fresh || !waiter->fresh; });
  if (first == waiters.end()) {
    idle.splice(idle.end(), from, place);
    if (idle.size() > kept_idle() && crowded_since == Clock::time_point::max()) {
      crowded_since = Clock::now();
      wake_keeper();
    }
    return;
  }
  Waiter& waiter = **first;
  waiters.erase(first);
  busy.splice(busy.end(), from, place);
  waiter.given = place;
  waiter.changed.notify_one();
}

// With the lock held. The first in line wants a fresh worker, and there may be no more of them: a used one makes room,
// since those behind would hand it on among themselves for ever.
bool Pool::State::in_the_way(const WorkerProcess& worker) const {
  return !waiters.empty() && waiters.front()->fresh && worker.jobs() > 0 && total() >= settings.most_workers &&
         counts.trouble.empty();
}

void Pool::State::release(Workers::iterator place, bool keep) {
  Workers buried;  // after the lock
  const std::unique_lock lock(mutex);
  const WorkerProcess& worker = **place;
  if (keep && !stopping && worker.jobs() < settings.jobs_per_worker && worker.cpu() < kMostCpu && !in_the_way(worker)) {
    offer(busy, place);
    if (!waiters.empty()) wake_keeper();
    return;
  }
  // At once: the keeper may be waiting for another to start.
  worker.kill();
  Workers& last = stopping ? buried : dead;
  last.splice(last.end(), busy, place);
  wake_keeper();
}

// With a verdict, unless it crashed or was killed.
Pool::State::Step Pool::State::attempt(const Job& job, Lease worker, Clock::time_point deadline, Verdict& verdict) {
  Job own = job;
  const auto left = std::max(std::chrono::duration_cast<milliseconds>(deadline - Clock::now()), milliseconds(1));
  // The worker ends by itself first, with what it found until then.
  own.limits.time = left - std::min<milliseconds>(milliseconds(1000), left / 8);
  WorkerProcess::Outcome outcome = worker->run(own, deadline);
  const bool answered = outcome.end == WorkerProcess::End::answered;
  const bool spent =
      !answered || outcome.memory_failed || any(outcome.verdict, Reason::time) || any(outcome.verdict, Reason::memory);
  const bool keep = !spent && !worker->slowed();
  worker.give_back(keep);
  const auto answer = [&](uint64_t PoolStatus::* count, Reason reason) {
    const std::unique_lock lock(mutex);
    ++(counts.*count);
    verdict = unscannable(reason, job.name, job.declared_mime, job.bytes.size());
    return Step::over;
  };
  if (answered) {
    verdict = std::move(outcome.verdict);
    if (!spent) return Step::answered;
    const std::unique_lock lock(mutex);
    if (any(verdict, Reason::time)) ++counts.timeouts;
    if (any(verdict, Reason::memory)) ++counts.memory;
    return Step::answered;
  }
  if (is_stopping()) return answer(&PoolStatus::unavailable, Reason::unavailable);
  const bool died = outcome.end == WorkerProcess::End::died;
  const std::string how = died ? outcome.death.text() : outcome.what;
  if (outcome.end == WorkerProcess::End::late || (died && outcome.death.signal == SIGXCPU)) {
    tell(Trouble::time, died ? how : "it was ended", sha256_hex(job.bytes));
    return answer(&PoolStatus::timeouts, Reason::time);
  }
  if (outcome.memory_failed) {
    // A library that goes on without the memory that it wanted may fault, which is no fault of the content's. But who
    // guesses at the address space must not hide behind an allocation that failed before.
    if (died && is_fault(outcome.death.signal)) {
      const std::unique_lock lock(mutex);
      ++template_crashes;
    }
    tell(Trouble::memory, how, sha256_hex(job.bytes));
    return answer(&PoolStatus::memory, Reason::memory);
  }
  // Killed from outside, by the kernel short of memory or by an administrator: it need not have been this content.
  const bool killed = died && outcome.death.signal == SIGKILL;
  {
    const std::unique_lock lock(mutex);
    ++counts.crashes;
    if (!killed) ++template_crashes;
  }
  if (killed) return Step::killed;
  tell(Trouble::crash, how, sha256_hex(job.bytes));
  return Step::crashed;
}

Verdict Pool::State::give_up(const Job& job, Reason reason) {
  {
    const std::unique_lock lock(mutex);
    ++(reason == Reason::crash ? counts.crashed : reason == Reason::memory ? counts.memory : counts.unavailable);
  }
  return unscannable(reason, job.name, job.declared_mime, job.bytes.size());
}

// is_listed counts a crash of a fresh worker; `twice`: an earlier worker died of the job, too. It tells whether the
// content is listed by now.
bool Pool::State::is_listed(const Job& job, bool twice) {
  const Result<bool> listed = crash_list->add(job.bytes, twice);
  if (listed && !*listed) return false;
  if (!listed) tell(Trouble::list, listed.error().text(), sha256_hex(job.bytes));
  tell(Trouble::crash_twice, "it is not parsed again", sha256_hex(job.bytes));
  return true;
}

Verdict Pool::State::scan(const Job& job, Clock::duration& waited) {
  const Clock::time_point deadline =
      Clock::now() + std::clamp(job.limits.time, milliseconds(1), milliseconds(std::chrono::hours(1)));
  if (job.bytes.size() > job.limits.size) {
    return unscannable(Reason::size, job.name, job.declared_mime, job.bytes.size());
  }
  if (crash_list->lists(job.bytes)) {
    {
      const std::unique_lock lock(mutex);
      ++counts.listed;
    }
    return give_up(job, Reason::crash);
  }
  bool crashed = false;
  for (const bool retry : {false, true}) {
    const Clock::time_point asked = Clock::now();
    Lease worker = acquire(retry, deadline);
    waited += Clock::now() - asked;
    if (!worker) return give_up(job, crashed ? Reason::crash : Reason::unavailable);
    const bool fresh = worker->jobs() == 0;
    Verdict verdict;
    switch (attempt(job, std::move(worker), deadline, verdict)) {
      case Step::answered:
        // It was no fault of the content's.
        if (crashed) crash_list->forget(job.bytes);
        return verdict;
      case Step::over:
        return verdict;
      case Step::killed:
        break;
      case Step::crashed:
        // A used worker may have died of what earlier jobs did to it: only a fresh one tells.
        if (fresh && is_listed(job, crashed)) return give_up(job, Reason::crash);
        crashed = true;
    }
  }
  // Twice chosen by the kernel when memory was short, as far as can be told.
  return give_up(job, crashed ? Reason::crash : Reason::memory);
}

void Pool::State::stop() {
  {
    const std::unique_lock lock(mutex);
    stopping = true;
    for (const WorkerPointer& worker : busy) worker->kill();
    for (Waiter* waiter : waiters) {
      waiter->over = true;
      waiter->changed.notify_one();
    }
    waiters.clear();
  }
  wake_keeper();
  const std::unique_lock join(join_mutex);
  if (keeper.joinable()) keeper.join();
}

Pool::Pool(std::unique_ptr<State> state) : state_(std::move(state)) {}

Pool::~Pool() {
  state_->stop();
  std::unique_lock lock(state_->mutex);
  state_->scan_over.wait(lock, [&] { return state_->scans == 0; });
}

Result<std::unique_ptr<Pool>> Pool::start(PoolSettings settings) {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  if (settings.workers == 0) settings.workers = cores;
  if (settings.most_workers == 0) settings.most_workers = 4 * cores + 2;
  settings.most_workers = std::max(settings.most_workers, settings.workers);
  settings.jobs_per_worker = std::max(1u, settings.jobs_per_worker);
  settings.arena = std::clamp<uint64_t>(settings.arena, kArenaHead, 1ull << 30);
  auto state = std::make_unique<State>(std::move(settings));
  state->wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state->wake) return std::unexpected(system_error("making an eventfd", errno));

  // The first one is waited for as by a job.
  State& pool = *state;
  std::unique_ptr<Pool> out(new Pool(std::move(state)));
  pool.keeper = std::thread([&pool] { pool.keep(); });
  State::Lease first = pool.acquire(false, Clock::now() + kTemplateStart + kWorkerStart);
  if (!first) {
    const std::string why = out->status().trouble;
    return fail(Cause::unavailable, why.empty() ? "no scan worker gets ready" : why);
  }
  first.give_back(true);
  return out;
}

Verdict Pool::scan(const Job& job) {
  // Counted as long as it is in here, however it leaves.
  struct Here {
    explicit Here(State& in) : pool(in) {
      const std::unique_lock lock(pool.mutex);
      ++pool.scans;
      ++pool.counts.jobs;
    }
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;
    ~Here() {
      const std::unique_lock lock(pool.mutex);
      if (--pool.scans == 0) pool.scan_over.notify_all();
    }
    State& pool;
  };
  const Here here(*state_);
  Clock::duration waited{};
  Verdict verdict = state_->scan(job, waited);
  verdict.waited = std::chrono::duration_cast<milliseconds>(waited);
  return verdict;
}

PoolStatus Pool::status() const {
  const std::unique_lock lock(state_->mutex);
  PoolStatus out = state_->counts;
  out.idle = static_cast<unsigned>(state_->idle.size());
  out.busy = static_cast<unsigned>(state_->busy.size());
  out.waiting = static_cast<unsigned>(state_->waiters.size());
  out.list_size = state_->crash_list->size();
  return out;
}

void Pool::stop() { state_->stop(); }

std::string_view trouble_name(Trouble trouble) {
  constexpr std::array<std::string_view, 6> kNames = {"crash", "crash-twice", "time", "memory", "start", "list"};
  return kNames.at(static_cast<size_t>(trouble));
}

std::string worker_program() {
  std::array<char, PATH_MAX> self;
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  if (length > 0 && static_cast<size_t>(length) < self.size()) {
    std::string path(self.data(), static_cast<size_t>(length));
    path.resize(path.find_last_of('/') + 1);
    for (const char* place : {"postern-scan", "../libexec/postern-scan"}) {
      const std::string candidate = path + place;
      if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
  }
  return POSTERN_SCAN_PROGRAM;
}

}  // namespace postern::scan

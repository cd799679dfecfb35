// SPDX-License-Identifier: Apache-2.0
// A thread of the pool's own, the keeper, starts workers and buries them; threads that scan take one from the idle, or
// wait in line. All processes are started on the keeper, since the kernel ends them with the thread they came from.
#include "engine/scan/client/pool.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <list>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "engine/scan/client/worker_process.h"

namespace postern::scan {

using base::Cause;
using base::fail;
using base::Result;
using base::system_error;
using base::UniqueFd;
using std::chrono::milliseconds;

namespace {

using WorkerPointer = std::unique_ptr<WorkerProcess>;

constexpr auto kTemplateStart = std::chrono::seconds(30);
constexpr auto kWorkerStart = std::chrono::seconds(10);
constexpr auto kSurplus = std::chrono::seconds(10);  // how long workers beyond the usual number may idle
constexpr auto kMostCpu = std::chrono::minutes(10);  // of a worker; well below its own RLIMIT_CPU
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kMostPause{10000};
// Workers of one template have one address space layout: who makes them crash must not get many guesses at it.
constexpr unsigned kCrashesPerTemplate = 16;

// Waiter is a job that waits for a worker.
struct Waiter {
  bool fresh = false;  // one that has done no job
  bool over = false;   // there will be none
  WorkerPointer given;
  std::condition_variable changed;
};

bool any(const Verdict& verdict, Reason reason) {
  return std::ranges::any_of(verdict.leaves, [&](const Leaf& leaf) { return leaf.reason == reason; });
}

}  // namespace

struct Pool::State {
  explicit State(PoolSettings wanted) : settings(std::move(wanted)) {
    if (crash_list == nullptr) crash_list = std::make_shared<CrashList>("");
  }

  const PoolSettings settings;
  std::shared_ptr<CrashList> crash_list = settings.crash_list;

  mutable std::mutex mutex;
  std::deque<WorkerPointer> idle;  // the one used last at the end
  Clock::time_point crowded_since = Clock::time_point::max();
  std::set<const WorkerProcess*> busy;
  std::list<Waiter*> waiters;
  std::vector<WorkerPointer> dead;  // for the keeper to end and bury
  bool stopping = false;
  unsigned scans = 0;  // threads in scan()
  std::condition_variable scan_over;
  PoolStatus counts;
  unsigned template_crashes = 0;

  // The keeper's own.
  UniqueFd wake;
  std::thread keeper;
  std::mutex join_mutex;
  std::unique_ptr<Template> current;
  std::unique_ptr<Template> next;
  Clock::time_point retry_at{};
  milliseconds pause = kFirstPause;

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
  // With the lock held.
  size_t total() const { return idle.size() + busy.size(); }

  // With all of the usual number busy, one more is ready for the next job.
  size_t kept_idle() const { return settings.workers + size_t{1}; }

  WorkerPointer acquire(bool fresh, Clock::time_point deadline);
  void release(WorkerPointer worker, bool keep);
  void offer(WorkerPointer worker);
  Verdict scan(const Job& job, Clock::duration& waited);
  enum class Step { answered, crashed, killed };
  Step attempt(const Job& job, WorkerPointer worker, Clock::time_point deadline, Verdict& verdict);
  Verdict give_up(const Job& job, Reason reason);

  void keep();
  bool start_needed();
  Result<void> start_worker();
  Result<void> need_template();
  void renew_template();
  void failed(const base::Error& error);
  void wait_for_work();
  void stop();
};

WorkerPointer Pool::State::acquire(bool fresh, Clock::time_point deadline) {
  std::unique_lock lock(mutex);
  if (stopping) return nullptr;
  for (size_t i = idle.size(); i-- > 0;) {
    if (fresh && idle[i]->jobs() > 0) continue;
    WorkerPointer worker = std::move(idle[i]);
    idle.erase(idle.begin() + static_cast<ptrdiff_t>(i));
    if (worker->ended()) {
      dead.push_back(std::move(worker));
      wake_keeper();
      continue;
    }
    busy.insert(worker.get());
    // The next job shall find one, too.
    if (idle.empty()) wake_keeper();
    return worker;
  }
  if (total() == 0 && !counts.trouble.empty()) return nullptr;
  Waiter waiter;
  waiter.fresh = fresh;
  const auto place = waiters.insert(waiters.end(), &waiter);
  wake_keeper();
  waiter.changed.wait_until(lock, deadline, [&] { return waiter.over || waiter.given; });
  if (!waiter.given && !waiter.over) waiters.erase(place);
  return std::move(waiter.given);
}

// With the lock held.
void Pool::State::offer(WorkerPointer worker) {
  const auto place =
      std::ranges::find_if(waiters, [&](const Waiter* waiter) { return !waiter->fresh || worker->jobs() == 0; });
  if (place == waiters.end()) {
    idle.push_back(std::move(worker));
    if (idle.size() > kept_idle() && crowded_since == Clock::time_point::max()) {
      crowded_since = Clock::now();
      wake_keeper();
    }
    return;
  }
  Waiter& waiter = **place;
  waiters.erase(place);
  busy.insert(worker.get());
  waiter.given = std::move(worker);
  waiter.changed.notify_one();
}

void Pool::State::release(WorkerPointer worker, bool keep) {
  WorkerPointer buried;  // after the lock
  const std::unique_lock lock(mutex);
  busy.erase(worker.get());
  if (stopping) {
    buried = std::move(worker);
  } else if (keep && worker->jobs() < settings.jobs_per_worker && worker->cpu() < kMostCpu) {
    offer(std::move(worker));
    if (!waiters.empty()) wake_keeper();
  } else {
    dead.push_back(std::move(worker));
    wake_keeper();
  }
}

// With a verdict, unless it crashed or was killed.
Pool::State::Step Pool::State::attempt(const Job& job, WorkerPointer worker, Clock::time_point deadline,
                                       Verdict& verdict) {
  Job own = job;
  const auto left = std::max(std::chrono::duration_cast<milliseconds>(deadline - Clock::now()), milliseconds(1));
  // The worker ends by itself first, with what it found until then.
  own.limits.time = left - std::min<milliseconds>(milliseconds(1000), left / 8);
  WorkerProcess::Outcome outcome = worker->run(own, deadline);
  const bool answered = outcome.end == WorkerProcess::End::answered;
  const bool spent =
      !answered || outcome.memory_failed || any(outcome.verdict, Reason::time) || any(outcome.verdict, Reason::memory);
  const bool keep = !spent && !worker->slowed();
  release(std::move(worker), keep);
  const auto answer = [&](uint64_t PoolStatus::* count, Reason reason) {
    const std::unique_lock lock(mutex);
    ++(counts.*count);
    verdict = unscannable(reason, job.name, job.declared_mime, job.bytes.size());
    return Step::answered;
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
  unsigned crashes = 0;
  for (unsigned tries = 0; tries < 2; ++tries) {
    const Clock::time_point asked = Clock::now();
    WorkerPointer worker = acquire(tries > 0, deadline);
    waited += Clock::now() - asked;
    if (!worker) return give_up(job, crashes > 0 ? Reason::crash : Reason::unavailable);
    Verdict verdict;
    switch (attempt(job, std::move(worker), deadline, verdict)) {
      case Step::answered:
        return verdict;
      case Step::killed:
        break;
      case Step::crashed: {
        ++crashes;
        const Result<bool> listed = crash_list->add(job.bytes);
        if (!listed) tell(Trouble::list, listed.error().text(), sha256_hex(job.bytes));
        if (!listed || *listed) {
          tell(Trouble::crash_twice, "it is not parsed again", sha256_hex(job.bytes));
          return give_up(job, Reason::crash);
        }
      }
    }
  }
  // Twice chosen by the kernel when memory was short, as far as can be told.
  return give_up(job, crashes > 0 ? Reason::crash : Reason::memory);
}

Result<void> Pool::State::need_template() {
  if (current) return {};
  Result<std::unique_ptr<Template>> started = Template::start(settings.program, settings.memory);
  if (!started) return std::unexpected(std::move(started.error()));
  const Clock::time_point deadline = Clock::now() + kTemplateStart;
  for (;;) {
    const Result<bool> ready = (*started)->ready(std::min(deadline, Clock::now() + milliseconds(200)));
    if (!ready) return std::unexpected(ready.error());
    if (*ready) break;
    if (is_stopping()) return fail(Cause::unavailable, "the pool is being stopped");
    if (Clock::now() >= deadline) return fail(Cause::unavailable, settings.program + " does not get ready");
  }
  current = std::move(*started);
  const std::unique_lock lock(mutex);
  template_crashes = 0;
  return {};
}

Result<void> Pool::State::start_worker() {
  if (Result<void> there = need_template(); !there) return there;
  Result<WorkerPointer> worker = current->worker(settings.arena, Clock::now() + kWorkerStart);
  if (!worker) {
    current.reset();
    return std::unexpected(std::move(worker.error()));
  }
  const std::unique_lock lock(mutex);
  ++counts.workers_started;
  counts.trouble.clear();
  pause = kFirstPause;
  if (stopping) {
    dead.push_back(std::move(*worker));
  } else {
    offer(std::move(*worker));
  }
  return {};
}

// renew_template has the next template start while the current one serves, and changes over when it is ready.
void Pool::State::renew_template() {
  bool due = false;
  {
    const std::unique_lock lock(mutex);
    due = template_crashes >= kCrashesPerTemplate;
  }
  if (!current || (!due && !next)) return;
  if (!next) {
    Result<std::unique_ptr<Template>> started = Template::start(settings.program, settings.memory);
    if (!started) return failed(started.error());
    next = std::move(*started);
  }
  const Result<bool> ready = next->ready(Clock::now());
  if (!ready) {
    next.reset();
    return failed(ready.error());
  }
  if (!*ready) return;
  current = std::move(next);
  const std::unique_lock lock(mutex);
  template_crashes = 0;
}

void Pool::State::failed(const base::Error& error) {
  retry_at = Clock::now() + pause;
  pause = std::min(pause * 2, kMostPause);
  std::unique_lock lock(mutex);
  if (stopping) return;
  const bool news = counts.trouble != error.text();
  counts.trouble = error.text();
  if (total() == 0) {
    for (Waiter* waiter : waiters) {
      waiter->over = true;
      waiter->changed.notify_one();
    }
    waiters.clear();
  }
  lock.unlock();
  if (news) tell(Trouble::start, error.text());
}

// With the lock held.
bool Pool::State::start_needed() {
  const size_t fresh = static_cast<size_t>(std::ranges::count_if(waiters, [](const Waiter* w) { return w->fresh; }));
  if (fresh > 0 && total() >= settings.most_workers && !idle.empty()) {
    dead.push_back(std::move(idle.front()));
    idle.pop_front();
  }
  if (total() >= settings.most_workers) return false;
  return total() < settings.workers || !waiters.empty() || idle.empty();
}

void Pool::State::wait_for_work() {
  Clock::time_point until = Clock::time_point::max();
  std::vector<pollfd> waits{{wake.get(), POLLIN, 0}};
  {
    const std::unique_lock lock(mutex);
    if (stopping || !dead.empty()) return;
    if (start_needed()) {
      if (Clock::now() >= retry_at) return;
      until = retry_at;
    }
    if (crowded_since != Clock::time_point::max()) until = std::min(until, crowded_since + kSurplus);
    // An idle one that ends is buried at once.
    for (const WorkerPointer& worker : idle) waits.push_back({worker->fd(), POLLIN, 0});
  }
  if (next) {
    waits.push_back({next->socket(), POLLIN, 0});
    until = std::min(until, Clock::now() + kTemplateStart);
  }
  int timeout = -1;
  if (until != Clock::time_point::max()) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    timeout = static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
  }
  ::poll(waits.data(), waits.size(), timeout);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t done = ::read(wake.get(), &count, sizeof count);
}

void Pool::State::keep() {
  for (;;) {
    std::vector<WorkerPointer> burials;
    bool start = false;
    {
      const std::unique_lock lock(mutex);
      if (stopping) break;
      std::erase_if(idle, [&](WorkerPointer& worker) {
        if (!worker->ended()) return false;
        burials.push_back(std::move(worker));
        return true;
      });
      if (idle.size() <= kept_idle()) {
        crowded_since = Clock::time_point::max();
      } else if (Clock::now() >= crowded_since + kSurplus) {
        burials.push_back(std::move(idle.front()));
        idle.pop_front();
      }
      start = start_needed() && Clock::now() >= retry_at;
      std::ranges::move(dead, std::back_inserter(burials));
      dead.clear();
    }
    for (const WorkerPointer& worker : burials) worker->kill();
    if (start) {
      if (const Result<void> started = start_worker(); !started) failed(started.error());
    }
    burials.clear();
    renew_template();
    wait_for_work();
  }
  std::vector<WorkerPointer> burials;
  {
    const std::unique_lock lock(mutex);
    std::ranges::move(idle, std::back_inserter(burials));
    std::ranges::move(dead, std::back_inserter(burials));
    idle.clear();
    dead.clear();
  }
  for (const WorkerPointer& worker : burials) worker->kill();
  burials.clear();
  current.reset();
  next.reset();
}

void Pool::State::stop() {
  {
    const std::unique_lock lock(mutex);
    stopping = true;
    for (const WorkerProcess* worker : busy) worker->kill();
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
  WorkerPointer first = pool.acquire(false, Clock::now() + kTemplateStart + kWorkerStart);
  if (!first) {
    const std::string why = out->status().trouble;
    return fail(Cause::unavailable, why.empty() ? "no scan worker gets ready" : why);
  }
  pool.release(std::move(first), true);
  return out;
}

Verdict Pool::scan(const Job& job) {
  {
    const std::unique_lock lock(state_->mutex);
    ++state_->scans;
    ++state_->counts.jobs;
  }
  Clock::duration waited{};
  Verdict verdict = state_->scan(job, waited);
  verdict.waited = std::chrono::duration_cast<milliseconds>(waited);
  const std::unique_lock lock(state_->mutex);
  if (--state_->scans == 0) state_->scan_over.notify_all();
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

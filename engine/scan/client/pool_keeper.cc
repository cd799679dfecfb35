// SPDX-License-Identifier: Apache-2.0
// The keeper: starts the template and workers, tries again later what failed, renews the template, buries what ended.
#include <cerrno>
#include <climits>
#include <exception>
#include <vector>

#include "engine/scan/client/pool_state.h"

namespace postern::scan {

using base::Cause;
using base::fail;
using base::Result;
using std::chrono::milliseconds;

namespace {

constexpr auto kSurplus = std::chrono::seconds(10);  // how long workers beyond the usual number may idle

}  // namespace

Result<void> Pool::State::need_template() {
  if (current && current->health() != Template::Health::lost) return {};
  current.reset();
  std::unique_ptr<Template> wanted = std::move(next);
  if (!wanted) {
    Result<std::unique_ptr<Template>> started = Template::start(settings.program, settings.memory);
    if (!started) return std::unexpected(std::move(started.error()));
    wanted = std::move(*started);
  }
  const Clock::time_point deadline = Clock::now() + kTemplateStart;
  for (;;) {
    const Result<bool> ready = wanted->ready(std::min(deadline, Clock::now() + milliseconds(200)));
    if (!ready) return std::unexpected(ready.error());
    if (*ready) break;
    if (is_stopping()) return fail(Cause::unavailable, "the pool is being stopped");
    if (Clock::now() >= deadline) return fail(Cause::unavailable, settings.program + " does not get ready");
  }
  current = std::move(wanted);
  const std::unique_lock lock(mutex);
  template_crashes = 0;
  return {};
}

Result<void> Pool::State::start_worker() {
  if (Result<void> there = need_template(); !there) return there;
  Result<WorkerPointer> worker = current->worker(settings.arena, Clock::now() + kWorkerStart);
  if (!worker) return std::unexpected(std::move(worker.error()));
  Workers made;
  made.push_back(std::move(*worker));
  const std::unique_lock lock(mutex);
  set_trying(false);
  ++counts.workers_started;
  counts.trouble.clear();
  starting.pause = settings.start_pause;
  if (stopping) {
    dead.splice(dead.end(), made);
  } else {
    offer(made, made.begin());
  }
  return {};
}

// renew_template has the next template start while the current one serves, and changes over when it is ready.
void Pool::State::renew_template() {
  if (!next) {
    if (!renewing.due() || !renewal_wanted()) return;
    Result<std::unique_ptr<Template>> started = Template::start(settings.program, settings.memory);
    if (!started) return renewal_failed(started.error());
    next = std::move(*started);
    next_until = Clock::now() + kTemplateStart;
  }
  const Result<bool> ready = next->ready(Clock::now());
  if (ready && *ready) {
    current = std::move(next);
    renewing.pause = kFirstPause;
    not_renewed.clear();
    const std::unique_lock lock(mutex);
    template_crashes = 0;
  } else if (!ready || Clock::now() >= next_until) {
    next.reset();
    renewal_failed(ready ? base::Error(Cause::unavailable, settings.program + " does not get ready") : ready.error());
  }
}

void Pool::State::renewal_failed(const base::Error& error) {
  renewing.failed();
  const std::string why = error.text();
  if (std::exchange(not_renewed, why) != why) tell(Trouble::start, "the workers' template stays the old one: " + why);
}

void Pool::State::failed(const base::Error& error) {
  starting.failed();
  std::unique_lock lock(mutex);
  set_trying(false);
  if (stopping) return;
  if (total() == 0) {
    for (Waiter* waiter : waiters) {
      waiter->over = true;
      waiter->changed.notify_one();
    }
    waiters.clear();
  }
  const std::string why = error.text();
  const bool news = std::exchange(counts.trouble, why) != why;
  lock.unlock();
  if (news) tell(Trouble::start, why);
}

// With the lock held.
bool Pool::State::start_needed() {
  const size_t fresh = static_cast<size_t>(std::ranges::count_if(waiters, [](const Waiter* w) { return w->fresh; }));
  if (fresh > 0 && total() >= settings.most_workers && !idle.empty()) dead.splice(dead.end(), idle, idle.begin());
  if (total() >= settings.most_workers) return false;
  return total() < settings.workers || !waiters.empty() || idle.empty();
}

// wait returns when there is something to read, at `until`, or when the keeper is woken.
void Pool::State::wait(std::span<pollfd> on, Clock::time_point until) const {
  int timeout = -1;
  if (until != Clock::time_point::max()) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    timeout = static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
  }
  ::poll(on.data(), on.size(), timeout);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t done = ::read(wake.get(), &count, sizeof count);
}

void Pool::State::wait_for_work() {
  Clock::time_point until = Clock::time_point::max();
  std::vector<pollfd> waits{{wake.get(), POLLIN, 0}};
  {
    const std::unique_lock lock(mutex);
    if (stopping || !dead.empty()) return;
    if (start_needed()) {
      until = next_start();
      if (Clock::now() >= until) return;
    }
    if (crowded_since != Clock::time_point::max()) until = std::min(until, crowded_since + kSurplus);
    // An idle one that ends is buried at once.
    for (const WorkerPointer& worker : idle) waits.push_back({worker->fd(), POLLIN, 0});
  }
  if (next) {
    waits.push_back({next->socket(), POLLIN, 0});
    until = std::min(until, next_until);
  } else if (renewal_wanted()) {
    until = std::min(until, renewing.at);
  }
  wait(waits, until);
}

// turn does what there is to do, and waits for more; false: the pool is stopping.
bool Pool::State::turn() {
  Workers burials;
  bool start = false;
  {
    const std::unique_lock lock(mutex);
    if (stopping) return false;
    for (auto worker = idle.begin(); worker != idle.end();) {
      const auto place = worker++;
      if ((*place)->ended()) burials.splice(burials.end(), idle, place);
    }
    if (idle.size() <= kept_idle()) {
      crowded_since = Clock::time_point::max();
    } else if (Clock::now() >= crowded_since + kSurplus) {
      burials.splice(burials.end(), idle, idle.begin());
    }
    start = start_needed() && Clock::now() >= next_start();
    burials.splice(burials.end(), dead);
    if (start) set_trying(true);
  }
  for (const WorkerPointer& worker : burials) worker->kill();
  if (start) {
    if (const Result<void> started = start_worker(); !started) failed(started.error());
  }
  burials.clear();
  renew_template();
  wait_for_work();
  return true;
}

void Pool::State::keep() {
  for (bool more = true; more;) {
    try {
      more = turn();
    } catch (const std::exception&) {
      // No memory, as a rule. Nothing is lost by it: a later turn does what this one did not.
      starting.failed();
      {
        const std::unique_lock lock(mutex);
        set_trying(false);
      }
      pollfd woken{wake.get(), POLLIN, 0};
      wait({&woken, 1}, Clock::now() + kFirstPause);
    }
  }
  Workers burials;
  {
    const std::unique_lock lock(mutex);
    burials.splice(burials.end(), idle);
    burials.splice(burials.end(), dead);
  }
  for (const WorkerPointer& worker : burials) worker->kill();
  burials.clear();
  current.reset();
  next.reset();
}

}  // namespace postern::scan

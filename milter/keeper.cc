// SPDX-License-Identifier: Apache-2.0
// The store's clock.
#include "milter/keeper.h"

#include <ctime>
#include <string>

#include "milter/events.h"

namespace postern::milter {

void log_ended(const store::Ended& ended, std::string_view why) {
  base::emit(event(ended.released ? Event::quarantine_released : Event::quarantine_deleted),
             {{"mid", std::to_string(ended.mid)}, {"quarantine", ended.quarantine}, {"why", why}}, ended.queue_id);
}

// check_key has the store's key ready before the first message needs it, and says when it is not.
void Keeper::check_key(store::Store& store) {
  const std::string& name = service_.store_key();
  const auto checked = store.check_key();
  const KeyState now = checked ? KeyState::good : KeyState::bad;
  if (now == key_ || name.empty()) return;
  key_ = now;
  if (checked) {
    base::emit(event(Event::store_key_good), {{"key", name}});
  } else {
    base::emit(event(Event::store_key_failed), {{"reason", checked.error().text()}});
  }
}

void Keeper::step(int64_t now, Clock::time_point steady) {
  std::optional<int64_t> jump;
  const bool rests = clock_.frozen(now, steady, jump);
  if (jump) base::emit(event(Event::quarantine_frozen), {{"seconds", std::to_string(*jump)}});
  auto store = service_.store();
  base::Result<void> done = store ? base::Result<void>() : std::unexpected(store.error());
  if (done && (!tidied_ || steady - *tidied_ >= std::chrono::hours(24))) {
    done = (*store)->tidy(now);
    if (done) tidied_ = steady;
  }
  if (store) check_key(**store);
  const auto live = service_.current();
  for (bool more = done && !rests; more;) {
    auto ended = (*store)->expire(live->generation->settings.policies, now);
    more = ended && ended->size() >= store::Store::kMaxExpire;
    if (!ended) {
      done = std::unexpected(ended.error());
      break;
    }
    for (const store::Ended& one : *ended) log_ended(one, "expired");
  }
  // One line for each time it begins to fail.
  if (!done && !failing_) base::emit(event(Event::store_failed), {{"reason", done.error().text()}});
  failing_ = !done;
}

// settle writes down which answers the MTA has; till then the mail that goes with them waits.
void Keeper::settle() {
  // A failure shows at the next step.
  if (auto store = service_.store()) (void)(*store)->settle(static_cast<int64_t>(std::time(nullptr)));
  service_.mail_waits();
}

void Keeper::start() {
  thread_.start("keeper", [this] { run(); });
}

void Keeper::stop() {
  if (!thread_.started()) return;
  thread_.stop();
  settle();
}

void Keeper::run() {
  Clock::time_point next = Clock::now();
  do {
    // Before anything that may throw: the loop must not turn without a pause then.
    const bool due = Clock::now() >= next;
    if (due) next = Clock::now() + std::chrono::minutes(1);
    try {
      settle();
      if (due) step(static_cast<int64_t>(std::time(nullptr)), Clock::now());
    } catch (const std::exception& error) {
      base::emit(event(Event::store_failed), {{"reason", error.what()}});
    }
  } while (thread_.wait_until(next));
}

}  // namespace postern::milter

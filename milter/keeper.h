// SPDX-License-Identifier: Apache-2.0
// Keeper: what time does to the store, in a thread of its own: retention times end, records and leftovers go.
// Quarantine is never emptied by a clock: after a jump forwards nothing expires for a day.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "milter/service.h"

namespace postern::milter {

// log_ended writes the line for a message that ended by itself, and why.
void log_ended(const store::Ended& ended, std::string_view why);

class Keeper {
 public:
  using Clock = std::chrono::steady_clock;
  // kJump is how far the clock may move against the steady one between two steps; kFrozen how long nothing expires
  // then.
  static constexpr int64_t kJump = 86400;
  static constexpr std::chrono::hours kFrozen{24};

  explicit Keeper(Service& service) : service_(service) {}

  // step does what is due at Unix time `now`.
  void step(int64_t now, Clock::time_point steady);

  // settle lets the store know which answers the MTA has; for every few seconds, and for the end of the daemon.
  static void settle(Service& service);

  // run takes a step every minute and settles in between, for ever.
  [[noreturn]] void run();

 private:
  bool frozen(int64_t now, Clock::time_point steady);

  Service& service_;
  std::optional<int64_t> last_now_;
  Clock::time_point last_steady_;
  std::optional<Clock::time_point> frozen_until_;
  std::optional<Clock::time_point> tidied_;
  bool failing_ = false;
};

}  // namespace postern::milter

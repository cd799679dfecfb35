// SPDX-License-Identifier: Apache-2.0
// Keeper: what is done for the store beside mail, in a thread of its own: it learns which answers the MTA has,
// retention times end, records and leftovers go. Quarantine is never emptied by a clock: after a jump forwards nothing
// expires for a day.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "milter/background.h"
#include "milter/clock_watch.h"
#include "milter/service.h"

namespace postern::milter {

// log_ended writes the line for a message that ended by itself, and why.
void log_ended(const store::Ended& ended, std::string_view why);

class Keeper {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Keeper(Service& service) : service_(service) {}

  // start runs the thread: a step every minute, and a confirmation as soon as there is one.
  void start();
  // wake says that the MTA has an answer that the store does not know of yet. From any thread.
  void wake() { thread_.wake(); }
  // stop ends the thread and writes down what was confirmed till then.
  void stop();

  // step does what is due at Unix time `now`.
  void step(int64_t now, Clock::time_point steady);

 private:
  void check_key(store::Store& store);
  void settle();
  void run();

  Service& service_;
  ClockWatch clock_;
  std::optional<Clock::time_point> tidied_;
  bool failing_ = false;
  enum class KeyState : uint8_t { unknown, good, bad } key_ = KeyState::unknown;
  Background thread_;  // last: it ends before what it uses goes
};

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// ClockWatch: after the clock jumped forwards nothing that is kept for a time ends for a day; who looks after the clock
// can set it right meanwhile. One thread.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>

namespace postern::milter {

class ClockWatch {
 public:
  using Clock = std::chrono::steady_clock;
  // kJump is how far the clock may move against the steady one between two looks; kFrozen how long nothing ends then.
  static constexpr int64_t kJump = 86400;
  static constexpr std::chrono::hours kFrozen{24};

  // frozen tells whether nothing may end at Unix time `now`; `jump` is set where that begins.
  bool frozen(int64_t now, Clock::time_point steady, std::optional<int64_t>& jump) {
    if (last_now_) {
      const int64_t passed = std::chrono::duration_cast<std::chrono::seconds>(steady - last_steady_).count();
      if (const int64_t moved = now - *last_now_ - passed; moved > kJump) {
        frozen_until_ = steady + kFrozen;
        jump = moved;
      }
    }
    last_now_ = now;
    last_steady_ = steady;
    if (frozen_until_ && steady >= *frozen_until_) frozen_until_.reset();
    return frozen_until_.has_value();
  }

 private:
  std::optional<int64_t> last_now_;
  Clock::time_point last_steady_;
  std::optional<Clock::time_point> frozen_until_;
};

}  // namespace postern::milter

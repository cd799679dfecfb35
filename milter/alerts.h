// SPDX-License-Identifier: Apache-2.0
// Alerts: tells administrators, by mail or webhook, of log lines of the alert table. It listens to the log, counts and
// waits (AlertState), and sends on a thread of its own; who logs only puts a copy into a queue of bounded size. Mail
// goes through the outbox, and straight to the mail server where the store is what failed.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "milter/alert_state.h"
#include "milter/alert_table.h"
#include "milter/background.h"
#include "milter/service.h"

namespace postern::milter {

// alert_mail is the message for `alert`: header and text, CRLF lines.
std::string alert_mail(const Alert& alert, const AlertProfile& profile, const Settings& settings, int64_t now);
// alert_json is what a webhook gets: {"profile", "state": "raised|repeated|cleared", "severity": "critical|warning|
// information", "host", "class", "event", "key", "text", "count", "time"}.
std::string alert_json(const Alert& alert, const AlertProfile& profile, const Settings& settings, int64_t now);

class Alerts {
 public:
  explicit Alerts(Service& service) : service_(service) {}
  Alerts(const Alerts&) = delete;
  Alerts& operator=(const Alerts&) = delete;
  ~Alerts();

  // start listens to the log and runs the thread; one object of a process at a time.
  void start();
  void stop();

  // may_clear tells whether a line that ends row `row` is worth a note: such lines are written for every message.
  bool may_clear(size_t row) const { return raised_[row].load(std::memory_order_relaxed); }
  // note is what the log calls; never blocks on anything but a short lock.
  void note(size_t row, bool cleared, std::string key, std::string text);

 private:
  static constexpr size_t kMostRows = 64;
  using Clock = std::chrono::steady_clock;
  struct Noted {
    size_t row = 0;
    bool cleared = false;
    std::string key;
    std::string text;
  };
  struct Pending {
    Alert alert;
    bool by_mail = false;
    uint32_t attempts = 0;
    Clock::time_point next;
  };
  struct Listener {
    AlertState state;
    std::deque<Pending> pending;
  };
  void run();
  void turn();
  void take(const Noted& noted, const Settings& settings);
  void forget_ended(const std::deque<Noted>& batch);
  void tell(const AlertProfile& profile, std::vector<Alert> alerts);
  void send(const Settings& settings);
  base::Result<void> mail(const Pending& pending, const AlertProfile& profile, const Settings& settings);
  Clock::time_point next_look();

  Service& service_;
  std::mutex mutex_;
  std::deque<Noted> noted_;
  std::array<std::atomic<bool>, kMostRows> raised_{};  // by row: it was raised, and may be known still
  uint64_t dropped_ = 0;
  std::map<std::string, Listener, std::less<>> listeners_;
  Background thread_;  // last: it ends before what it uses goes
};

}  // namespace postern::milter

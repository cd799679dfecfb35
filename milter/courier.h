// SPDX-License-Identifier: Apache-2.0
// Courier: the thread that empties the outbox: claims what is due, submits it to the MTA's listener (or appends it to
// an archive), and says what became of it. What cannot be handed over waits longer each time; what the MTA refuses for
// good, or what is too old, is kept as failed until an administrator acts. A mail is submitted at least once: where we
// die between the MTA's answer and our note of it, twice.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/store/store.h"
#include "engine/submit/smtp.h"
#include "milter/background.h"
#include "milter/service.h"

namespace postern::milter {

// retry_wait is how many seconds a mail waits after its attempt number `attempts` (from 1).
uint64_t retry_wait(const Reinject& reinject, uint32_t attempts);

class Courier {
 public:
  explicit Courier(Service& service) : service_(service) {}
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;
  ~Courier();

  void start();
  // wake makes it look at once. From any thread.
  void wake() { thread_.wake(); }
  // stop ends the thread; a submission under way gets `kGrace` to finish.
  void stop();

 private:
  static constexpr std::chrono::seconds kGrace{5};
  enum class Turn : uint8_t { idle, worked, trouble };
  void run();
  Turn turn();
  Turn deliver(store::Store& store, const store::Outgoing& mail, const Settings& settings);
  Turn archive(store::Store& store, const store::Outgoing& mail, const Settings& settings);
  Turn submit(store::Store& store, const store::Outgoing& mail, const Settings& settings);
  Turn later(store::Store& store, const store::Outgoing& mail, const Settings& settings, const std::string& reason);
  Turn unreadable(store::Store& store, const store::Outgoing& mail, const Settings& settings, const base::Error& error);
  Turn failed(store::Store& store, const store::Outgoing& mail, const std::string& reason);
  Turn noted(const base::Result<void>& done);
  void server_state(bool reached, const Settings& settings, const std::string& reason);

  Service& service_;
  std::atomic<bool> abort_{false};
  std::unique_ptr<submit::SmtpClient> client_;
  bool claims_forgotten_ = false;
  bool store_bad_ = false;
  uint64_t down_wait_ = 0;  // seconds; not 0: the listener was not to be reached
  Background thread_;       // last: it ends before what it uses goes
};

}  // namespace postern::milter

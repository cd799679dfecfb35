// SPDX-License-Identifier: Apache-2.0
// Scanning: the scanner of the daemon and of its commands, as `scan` in postern.yaml says: a pool of worker processes
// that is started when it is first needed, and tried again where it could not be. What goes wrong in it is logged.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "engine/base/guarded.h"
#include "engine/scan/client/pool.h"
#include "milter/settings.h"

namespace postern::milter {

class Scanning : public scan::Scanner {
 public:
  // `crash_list`: contents that crashed a worker, shared by all generations with the same file; null: forgotten.
  Scanning(const ScanPool& settings, std::shared_ptr<scan::CrashList> crash_list);
  ~Scanning() override;

  // start starts the workers where there are none yet; as the user that the daemon runs as. An error says why there can
  // be none; the next scan tries again, but not within two seconds.
  base::Result<void> start();
  scan::Verdict scan(const scan::Job& job) override;
  // status returns nullopt before the first start.
  std::optional<scan::PoolStatus> status() const;
  const ScanPool& settings() const { return settings_; }
  const std::shared_ptr<scan::CrashList>& crash_list() const { return crash_list_; }

 private:
  struct State {
    std::shared_ptr<scan::Pool> pool;
    std::optional<base::Error> failure;  // of the last attempt
    std::chrono::steady_clock::time_point failed;
  };
  base::Result<std::shared_ptr<scan::Pool>> pool();

  const ScanPool settings_;
  const std::shared_ptr<scan::CrashList> crash_list_;
  mutable base::Guarded<State> state_;
};

// reason_text says why something was not scanned, for people.
std::string_view reason_text(scan::Reason reason);

}  // namespace postern::milter

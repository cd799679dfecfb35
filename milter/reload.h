// SPDX-License-Identifier: Apache-2.0
// Reloader: reads the configuration again and makes it current, or says loudly why not. Used by the control thread and,
// for the first load, by the main thread; reloads come one after the other.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "milter/service.h"
#include "milter/settings.h"

namespace postern::milter {

// LoadResult is what one load came to. `diagnostics` are the errors and warnings for people, one or more lines each.
struct LoadResult {
  bool ok = false;
  uint64_t generation = 0;  // the one in use afterwards
  int64_t at = 0;           // seconds since 1970
  size_t errors = 0;
  std::string diagnostics;
};

// Loaded is a first load: a generation, or nullptr and what was wrong.
struct FirstLoad {
  std::shared_ptr<Generation> generation;
  LoadResult result;
};

// load_first reads `path` before the daemon runs.
FirstLoad load_first(const std::string& path);

class Reloader {
 public:
  // `first` is the result the daemon started with.
  Reloader(Service& service, std::string path, LoadResult first);

  // reload loads and installs, logs the outcome and returns it. What only a restart can change (sockets, user) is noted
  // in the diagnostics.
  LoadResult reload();
  LoadResult last() const;

 private:
  Service& service_;
  const std::string path_;
  mutable std::mutex mutex_;
  std::mutex loading_;
  LoadResult last_;
};

// apply_process_settings sets what is the same for the whole process: regex limits.
void apply_process_settings(const Settings& settings);

}  // namespace postern::milter

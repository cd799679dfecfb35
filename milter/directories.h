// SPDX-License-Identifier: Apache-2.0
// Directories in the daemon: their events as log lines, and a look at servers nobody asks just now.
#pragma once
#include <atomic>

#include "engine/directory/directory.h"
#include "milter/settings.h"

namespace postern::milter {

// log_directory_event writes the log line of an event; usable as an EventSink.
void log_directory_event(const directory::Event& event);

// probe_directories tries the servers of `generation` that were never asked or failed; for ServerWatch.
void probe_directories(const Generation& generation, const std::atomic<bool>& stopping);

}  // namespace postern::milter

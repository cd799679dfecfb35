// SPDX-License-Identifier: Apache-2.0
// Directories in the daemon: their events as log lines, and the thread that looks after servers nobody asks just now.
#pragma once
#include "engine/directory/directory.h"
#include "milter/background.h"
#include "milter/service.h"

namespace postern::milter {

// log_directory_event writes the log line of an event; usable as an EventSink.
void log_directory_event(const directory::Event& event);

// DirectoryWatch tries servers which were never asked or failed, of the generation in use, so that an outage and its
// end are told also when no mail comes.
class DirectoryWatch {
 public:
  explicit DirectoryWatch(Service& service) : service_(service) {}

  void start();
  // stop waits for an attempt under way, but not longer than kGrace: the process ends.
  void stop();

 private:
  void run();

  Service& service_;
  Background thread_;
};

}  // namespace postern::milter

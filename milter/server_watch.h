// SPDX-License-Identifier: Apache-2.0
// ServerWatch: the thread that tries servers (directories, engines) which were never asked or failed, of the generation
// in use, so that an outage and its end are told also when no mail comes.
#pragma once
#include "milter/background.h"
#include "milter/service.h"

namespace postern::milter {

class ServerWatch {
 public:
  // Probe tries what needs it and returns early once `stopping` is true; it may throw.
  using Probe = void (*)(const Generation& generation, const std::atomic<bool>& stopping);

  // `thread_name` has at most 15 characters.
  ServerWatch(Service& service, const char* thread_name, Probe probe)
      : service_(service), thread_name_(thread_name), probe_(probe) {}

  void start();
  // stop waits for an attempt under way, but not longer than kGrace: the process ends.
  void stop();

 private:
  Service& service_;
  const char* const thread_name_;
  const Probe probe_;
  Background thread_;
};

}  // namespace postern::milter

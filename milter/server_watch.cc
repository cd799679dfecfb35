// SPDX-License-Identifier: Apache-2.0
// A look at every server once a second.
#include "milter/server_watch.h"

namespace postern::milter {
namespace {

constexpr std::chrono::seconds kWatchEvery{1};
constexpr std::chrono::milliseconds kGrace{500};

}  // namespace

void ServerWatch::start() {
  thread_.start(thread_name_, [this] {
    do {
      try {
        probe_(*service_.current()->generation, thread_.stopping());
      } catch (const std::exception&) {
        // Out of memory, or of threads: the next look may have more.
      }
    } while (thread_.wait_until(Background::Clock::now() + kWatchEvery));
  });
}

void ServerWatch::stop() { (void)thread_.end_within(kGrace); }

}  // namespace postern::milter

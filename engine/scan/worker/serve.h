// SPDX-License-Identifier: Apache-2.0
// Serving jobs: the whole of the program postern-scan but what it scans with. Started by a pool it is the template
// first: it loads everything, gives up its rights and then makes workers, which serve one job after the other.
#pragma once
#include <cstdint>
#include <span>

#include "engine/scan/client/scanner.h"

namespace postern::scan::worker {

// run_program is main(): exit statuses as in base/exit_status.h.
int run_program(int argc, char** argv, void (*prepare)(), Verdict (*scan)(const Job&));

// Serving is what a worker has, for tests that misuse it.
struct Serving {
  int socket = -1;
  std::span<char> pieces;
  uint64_t job = 0;
};
const Serving& serving();

}  // namespace postern::scan::worker

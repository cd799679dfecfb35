// SPDX-License-Identifier: Apache-2.0
// scan_job: one whole scan in the calling thread: types, readers, what they find, and again, within the job's limits.
// Parses hostile bytes with libraries that may crash, so it runs in a worker process; tests and fuzz targets call it
// directly.
#pragma once
#include "engine/scan/client/scanner.h"

namespace postern::scan::worker {

// prepare loads everything that libraries would read from files later; once, before the worker gives up its rights.
void prepare();

Verdict scan_job(const Job& job);

}  // namespace postern::scan::worker

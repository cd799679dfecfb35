// SPDX-License-Identifier: Apache-2.0
// Sandbox: what a scan worker gives up. In two steps, since the template must still make workers: `restrict_template`
// once, after everything was loaded, and `lock_up` in each worker before its first job. Neither can be undone. What a
// worker can do afterwards is compute, and send and receive on the one socket that it has.
#pragma once
#include <cstdint>

#include "engine/base/error.h"

namespace postern::scan::worker {

// restrict_template takes away the file system (Landlock, where the kernel has it; the workers' list of system calls
// holds without it), new privileges, core dumps, being traced by equals, and writing to files.
base::Result<void> restrict_template();

// lock_up bounds address space to `memory` bytes and CPU time, and leaves only the system calls of a list, sends and
// receives only on `socket`. Anything else ends the process, but for calls that libraries make in passing and can do
// without: they fail with an error.
base::Result<void> lock_up(int socket, uint64_t memory);

// limit_cpu has the process ended by SIGXCPU after so much more CPU time; 0: no longer. It belongs to the process that
// called lock_up.
void limit_cpu(uint64_t milliseconds);

}  // namespace postern::scan::worker

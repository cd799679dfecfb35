// SPDX-License-Identifier: Apache-2.0
// MemoryNote: every allocation of the process that fails leaves a note where the asking process sees it, whatever the
// library that wanted the memory makes of it: a result for want of memory is never "nothing found", and a death for
// want of memory no crash.
#pragma once
#include <atomic>
#include <cstdint>

namespace postern::scan::worker {

// note_memory_at has failures noted in `note` from now on; nullptr: nowhere.
void note_memory_at(std::atomic<uint32_t>* note);
void note_memory();

// fail_allocation has the allocation fail that is the `number`th from now, and those after it as well when `all`; 0:
// none. For tests; without an effect where a sanitizer has the allocator.
void fail_allocation(uint64_t number, bool all);

}  // namespace postern::scan::worker

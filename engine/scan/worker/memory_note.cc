// SPDX-License-Identifier: Apache-2.0
// The allocation functions of the C library, put in front of it for the whole process (the linker finds the program's
// first). A sanitizer has an allocator of its own, which is left alone; operator new still leaves its note there.
#include "engine/scan/worker/memory_note.h"

#include <cerrno>
#include <cstddef>
#include <new>

namespace postern::scan::worker {
namespace {

std::atomic<uint32_t>* where = nullptr;
uint64_t fail_in = 0;
bool fail_on = false;

[[noreturn]] void no_memory() {
  note_memory();
  throw std::bad_alloc();
}

}  // namespace

void note_memory_at(std::atomic<uint32_t>* note) {
  where = note;
  std::set_new_handler(note == nullptr ? nullptr : no_memory);
}

void note_memory() {
  if (where != nullptr) where->store(1, std::memory_order_relaxed);
}

void fail_allocation(uint64_t number, bool all) {
  fail_in = number;
  fail_on = all;
}

// due tells whether this allocation is one to fail.
inline bool due() {
  if (fail_in == 0) return false;
  if (fail_in > 1) {
    --fail_in;
    return false;
  }
  if (!fail_on) fail_in = 0;
  return true;
}

}  // namespace postern::scan::worker

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define POSTERN_FOREIGN_ALLOCATOR
#endif
#endif
#if !defined(POSTERN_FOREIGN_ALLOCATOR) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {

void* noted(void* memory, size_t size) noexcept {
  if (memory == nullptr && size > 0) postern::scan::worker::note_memory();
  return memory;
}

bool refuse() {
  if (!postern::scan::worker::due()) return false;
  postern::scan::worker::note_memory();
  errno = ENOMEM;
  return true;
}

}  // namespace

extern "C" {

void* malloc(size_t size) noexcept { return refuse() ? nullptr : noted(__libc_malloc(size), size); }
void* calloc(size_t count, size_t size) noexcept {
  return refuse() ? nullptr : noted(__libc_calloc(count, size), count);
}
void* realloc(void* memory, size_t size) noexcept {
  return size > 0 && refuse() ? nullptr : noted(__libc_realloc(memory, size), size);
}
void* memalign(size_t alignment, size_t size) noexcept {
  return refuse() ? nullptr : noted(__libc_memalign(alignment, size), size);
}
void* aligned_alloc(size_t alignment, size_t size) noexcept { return memalign(alignment, size); }
int posix_memalign(void** out, size_t alignment, size_t size) noexcept {
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  *out = memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}
}
#endif

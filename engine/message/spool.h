// SPDX-License-Identifier: Apache-2.0
// Spool: one message's body as it arrives. In memory up to a limit, then in an unlinked file that is mapped when it is
// read; view() is one contiguous range either way. Past the size limit nothing more is stored, only counted. Owned by
// one transaction, not thread-safe.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "engine/base/limits.h"

namespace postern::message {

class Spool {
 public:
  // `directory` is where the unlinked file goes (O_TMPFILE, or created and unlinked at once); `max_bytes` is what may
  // be stored; `lease`, which may be null, is charged for the memory and must outlive the spool.
  Spool(std::string directory, uint64_t memory_bytes, uint64_t max_bytes, base::MemoryLease* lease);
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  ~Spool();

  // append adds a chunk. Cause::limit past max_bytes (what was stored is freed and later chunks are only counted),
  // Cause::unavailable when memory or disk is short: the message must then be tempfailed.
  base::Result<void> append(std::string_view chunk);

  // finish ends writing; view() may be used from then on, and is good until the spool goes. An error where append gave
  // one.
  base::Result<void> finish();
  std::string_view view() const { return view_; }

  // size counts every byte offered, stored or not.
  uint64_t size() const { return size_; }
  bool over_limit() const { return over_limit_; }

 private:
  base::Result<void> store(std::string_view chunk);
  base::Result<void> spill();
  void release_memory();
  void drop();
  std::string directory_;
  uint64_t memory_bytes_;
  uint64_t max_bytes_;
  base::MemoryLease* lease_;
  std::string memory_;
  uint64_t charged_ = 0;  // what the lease holds for memory_
  base::UniqueFd file_;
  void* map_ = nullptr;
  uint64_t map_size_ = 0;
  std::string_view view_;
  uint64_t size_ = 0;
  bool over_limit_ = false;
  bool failed_ = false;
};

}  // namespace postern::message

// SPDX-License-Identifier: Apache-2.0
// Readers on any bytes: all of a scan by a job that names the bytes' type, or the readers of some types alone. What
// comes back must be whole, its text UTF-8, and every byte that is handed on must be there.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/readers.h"
#include "engine/scan/worker/scan_job.h"
#include "test/support/scan_alone.h"

namespace postern::scan::worker {

inline void prepare_once() {
  static const bool prepared = (prepare(), true);
  static_cast<void>(prepared);
}

inline int scan_bytes(const uint8_t* data, size_t size, std::string_view name, std::string_view mime) {
  prepare_once();
  Job job;
  job.bytes = {reinterpret_cast<const char*>(data), size};
  job.name = name;
  job.declared_mime = mime;
  job.limits.time = std::chrono::milliseconds(5000);
  const Verdict verdict = scan_job(job);
  if (verdict.leaves.empty()) std::abort();
  for (const Leaf& leaf : verdict.leaves) {
    if (!base::is_valid_utf8(leaf.text) || leaf.types.empty()) std::abort();
  }
  return 0;
}

// read_as has the bytes read by every reader of `types`, as if their looks had said so.
inline int read_as(const uint8_t* data, size_t size, std::vector<FileType> types, std::string_view charset = {}) {
  prepare_once();
  Alone context({reinterpret_cast<const char*>(data), size}, charset);
  context.leaf().types = std::move(types);
  std::vector<Reader> done;
  for (const Reading& row : readings()) {
    if (!context.leaf().is(row.type) || std::ranges::find(done, row.reader) != done.end()) continue;
    done.push_back(row.reader);
    try {
      row.reader(context);
    } catch (const std::exception&) {
      context.fail(Reason::corrupt);
    }
  }
  // Where the text ends at its limit, a character may be cut.
  if (context.leaf().text.size() < Alone::limits().text && !base::is_valid_utf8(context.leaf().text)) std::abort();
  return 0;
}

}  // namespace postern::scan::worker

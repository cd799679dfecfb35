// SPDX-License-Identifier: Apache-2.0
// One reader on any bytes, by a job that names their type; what comes back must be whole and its text UTF-8.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/base/text.h"
#include "engine/scan/worker/engine.h"

namespace postern::scan::worker {

inline int scan_bytes(const uint8_t* data, size_t size, std::string_view name, std::string_view mime) {
  static const bool prepared = (prepare(), true);
  static_cast<void>(prepared);
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

}  // namespace postern::scan::worker

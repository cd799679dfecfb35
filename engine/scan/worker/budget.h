// SPDX-License-Identifier: Apache-2.0
// Budget: what a scan may still cost in bytes, members, text and time.
#pragma once
#include <cstdint>

#include "engine/scan/client/scanner.h"

namespace postern::scan::worker {

// Budget is what one scan may still cost; one object shared by all readers of the scan.
class Budget {
 public:
  // `given` is how many bytes the scan was given.
  explicit Budget(const ScanLimits& limits, uint64_t given = UINT64_MAX);

  const ScanLimits& limits() const { return limits_; }
  // out tells that `bytes` more came out of a container into which `in` bytes went and which gave `before` until now.
  // Reason::none: go on; otherwise stop and report the reason.
  Reason out(uint64_t bytes, uint64_t before, uint64_t in);
  // container judges all that came out of one container, `out`, by what went in.
  Reason container(uint64_t out, uint64_t in) const;
  // spent tells whether so much came out altogether that no more may.
  bool spent() const { return out_ > limits_.total; }
  // expired tells whether the time is over. Cheap enough for a call every few kilobytes.
  bool expired() const;
  // take_text tells how many of `bytes` bytes of text still fit, and takes them.
  uint64_t take_text(uint64_t bytes);
  // take_member takes one leaf; false when there are limits.members already.
  bool take_member();

 private:
  ScanLimits limits_;
  uint64_t given_;
  uint64_t out_ = 0;
  uint64_t out_at_clock_ = 0;  // when the clock was looked at
  uint32_t calls_ = 0;         // since then
  uint64_t text_ = 0;
  uint32_t members_ = 0;
  uint64_t cpu_deadline_ns_ = 0;
  uint64_t wall_deadline_ns_ = 0;
};

}  // namespace postern::scan::worker

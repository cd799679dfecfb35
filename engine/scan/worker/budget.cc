// SPDX-License-Identifier: Apache-2.0
// What swells too much, and when the time is over.
#include "engine/scan/worker/budget.h"

#include <algorithm>
#include <ctime>

namespace postern::scan::worker {
namespace {

// Containers small enough to be in memory anyway are not judged by their ratio.
constexpr uint64_t kRatioFrom = 10ull << 20;
// Unpackers hold as much again for themselves: from here on half the ratio is enough.
constexpr uint64_t kHalfRatioFrom = 24ull << 20;
// All that comes out of a scan is judged by what was given: things in things may be bombs together only. From here on,
// as what was unpacked twice counts twice.
constexpr uint64_t kWholeRatioFrom = 40ull << 20;

bool swollen(uint64_t out, uint64_t in, uint64_t ratio) {
  if (out <= kRatioFrom) return false;
  return out / (out > kHalfRatioFrom ? std::max<uint64_t>(ratio / 2, 1) : ratio) > in;
}

constexpr uint32_t kCallsForAClock = 1024;
constexpr uint64_t kBytesForAClock = 64u << 10;

uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Budget::Budget(const ScanLimits& limits, uint64_t given) : limits_(limits), given_(given) {
  const uint64_t span = static_cast<uint64_t>(limits.time.count()) * 1'000'000u;
  cpu_deadline_ns_ = clock_ns(CLOCK_PROCESS_CPUTIME_ID) + span;
  wall_deadline_ns_ = clock_ns(CLOCK_MONOTONIC) + span;
}

Reason Budget::out(uint64_t bytes, uint64_t before, uint64_t in) {
  out_ += bytes;
  const uint64_t now = before + bytes;
  if (now > limits_.size) return Reason::size;
  if (out_ > limits_.total) return Reason::size;
  if (swollen(now, in, limits_.ratio)) return Reason::ratio;
  if (out_ > kWholeRatioFrom && out_ / limits_.ratio > given_) return Reason::ratio;
  // Decoders may give a byte at a time, and the clock of the process is a system call.
  if (++calls_ < kCallsForAClock && out_ - out_at_clock_ < kBytesForAClock) return Reason::none;
  calls_ = 0;
  out_at_clock_ = out_;
  return expired() ? Reason::time : Reason::none;
}

Reason Budget::container(uint64_t out, uint64_t in) const {
  return swollen(out, in, limits_.ratio) ? Reason::ratio : Reason::none;
}

bool Budget::expired() const {
  return clock_ns(CLOCK_PROCESS_CPUTIME_ID) > cpu_deadline_ns_ || clock_ns(CLOCK_MONOTONIC) > wall_deadline_ns_;
}

uint64_t Budget::take_text(uint64_t bytes) {
  const uint64_t fits = bytes < limits_.text - text_ ? bytes : limits_.text - text_;
  text_ += fits;
  return fits;
}

bool Budget::take_member() {
  if (members_ >= limits_.members) return false;
  ++members_;
  return true;
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// LookedAt: how much of a container a walk over it has looked at. Folders and files of an image that share bytes, each
// written down once, could keep a walk for hours and show the same bytes thousands of times over; what writers make is
// looked at once or twice.
#pragma once
#include <cstdint>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

class LookedAt {
 public:
  // A walk over `size` bytes.
  LookedAt(Context& context, uint64_t size) : context_(context), most_(2 * size + kSlack) {}

  // take counts `bytes` more; false: it was twice as much as there is, which is reported.
  bool take(uint64_t bytes) {
    taken_ += bytes;
    if (taken_ <= most_) return true;
    context_.fail(Reason::overlap);
    return false;
  }
  // again begins another walk over the same bytes.
  void again() { taken_ = 0; }

 private:
  static constexpr uint64_t kSlack = 4096;

  Context& context_;
  uint64_t most_;
  uint64_t taken_ = 0;
};

}  // namespace postern::scan::worker

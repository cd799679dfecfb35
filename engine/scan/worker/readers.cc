// SPDX-License-Identifier: Apache-2.0
// Which reader reads which type.
#include "engine/scan/worker/readers.h"

#include <array>

namespace postern::scan::worker {
namespace {

// Containers first, then documents; by file.
constexpr std::array<Reading, 0> kReadings = {};

}  // namespace

std::span<const Reading> readings() { return kReadings; }

}  // namespace postern::scan::worker

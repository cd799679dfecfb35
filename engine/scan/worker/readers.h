// SPDX-License-Identifier: Apache-2.0
// Which reader reads which type. A reader is one function in the file of its format family.
#pragma once
#include <span>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

// Reading is one row: a leaf of which `type` is plausible is given to `reader`.
struct Reading {
  FileType type;
  Reader reader;
};
std::span<const Reading> readings();

}  // namespace postern::scan::worker

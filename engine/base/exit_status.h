// SPDX-License-Identifier: Apache-2.0
// Exit statuses of every program, as sysexits.h numbers them: scripts rely on them, postern(1) and fipsconfig(8) list
// them.
#pragma once
#include "engine/base/error.h"

namespace postern::base {

enum ExitStatus : int {
  kDone = 0,
  kNo = 1,  // the answer is "no"
  kUsage = 64,
  kBadData = 65,
  kUnavailable = 69,
  kSoftware = 70,
  kTemporary = 75,
  kDenied = 77,
  kBadConfig = 78,
};

// start_status is what a daemon ends with when `error` kept it from starting.
ExitStatus start_status(const Error& error);

}  // namespace postern::base

// SPDX-License-Identifier: Apache-2.0
// Exit statuses of every program, as sysexits.h numbers them: scripts rely on them, postern(1) and fipsconfig(8) list
// them.
#pragma once
#include "engine/base/error.h"

namespace postern::base {

inline constexpr int kDone = 0;
inline constexpr int kNo = 1;  // the answer is "no"
inline constexpr int kUsage = 64;
inline constexpr int kBadData = 65;
inline constexpr int kUnavailable = 69;
inline constexpr int kSoftware = 70;
inline constexpr int kTemporary = 75;
inline constexpr int kDenied = 77;
inline constexpr int kBadConfig = 78;

// start_status is what a daemon ends with when `error` kept it from starting.
int start_status(const Error& error);

}  // namespace postern::base

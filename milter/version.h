// SPDX-License-Identifier: Apache-2.0
// The version all programs report.
#pragma once
#include <string_view>

namespace postern::milter {

inline constexpr std::string_view kVersion = POSTERN_VERSION;

}  // namespace postern::milter

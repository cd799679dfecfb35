// SPDX-License-Identifier: Apache-2.0
// The part of postern.yaml that bounds messages and patterns: `limits` and `regex`.
#pragma once
#include "engine/config/option_reader.h"
#include "milter/settings.h"

namespace postern::milter {

// read_limits reads these keys into `settings`.
void read_limits(config::OptionReader& read, const config::Node& root, Settings& settings);

}  // namespace postern::milter

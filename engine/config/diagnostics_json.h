// SPDX-License-Identifier: Apache-2.0
// What is wrong with a configuration, for programs: the list that `postern check --json` and `fipsconfig check --json`
// print.
#pragma once
#include <nlohmann/json.hpp>

#include "engine/config/source.h"

namespace postern::config {

// diagnostics_json returns an array of objects: severity, file, line, column, length, message, hint.
nlohmann::json diagnostics_json(const Sources& sources, const Diagnostics& diagnostics);

}  // namespace postern::config

// SPDX-License-Identifier: Apache-2.0
// Files that commands are given.
#pragma once
#include <string>

#include "engine/base/error.h"

namespace postern::cli {

// read_input reads a whole file, "-" being standard input; at most 1 GiB.
base::Result<std::string> read_input(const std::string& path);

}  // namespace postern::cli

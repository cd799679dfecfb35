// SPDX-License-Identifier: Apache-2.0
// Loaded: a configuration read for a command, with its diagnostics printed to standard error.
#pragma once
#include <memory>
#include <string>

#include "milter/settings.h"

namespace postern::cli {

struct Loaded {
  config::Sources sources;
  std::unique_ptr<config::Diagnostics> diagnostics;
  std::shared_ptr<milter::Generation> generation;  // nullptr when there was an error
};

// load reads `path` and everything it names; errors, and warnings when `warnings`, go to standard error.
std::unique_ptr<Loaded> load(const std::string& path, bool warnings);

}  // namespace postern::cli

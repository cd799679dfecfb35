// SPDX-License-Identifier: Apache-2.0
// The part of postern.yaml that is about mail of our own: `reinject`, `archives` and `alerts`, read and written.
#pragma once
#include <string>

#include "engine/config/option_reader.h"
#include "milter/settings.h"

namespace postern::milter {

// read_mail reads these keys of the file in `folder` into `settings`.
void read_mail(config::OptionReader& read, const config::Node& root, const std::string& folder, Settings& settings);

// read_logging reads how long messages are tracked, and everything about the log.
void read_logging(config::OptionReader& read, const config::Node& root, const std::string& folder, Settings& settings);
// dump_mail writes them as YAML that reads to the same settings.
void dump_mail(const Settings& settings, std::string& out);

}  // namespace postern::milter

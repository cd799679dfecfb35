// SPDX-License-Identifier: Apache-2.0
// `scan` in postern.yaml: how attachments are scanned, read and written.
#pragma once
#include <string>

#include "engine/config/option_reader.h"
#include "milter/settings.h"

namespace postern::milter {

// read_scan reads `scan` of the file in `folder` into `settings`; dump_scan writes it as YAML that reads to the same
// settings.
void read_scan(config::OptionReader& read, const config::Node& root, const std::string& folder, Settings& settings);
void dump_scan(const Settings& settings, std::string& out);

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// The part of postern.yaml that is about signing: `keys`, `dkim` and `sign` of a flow, read and written.
#pragma once
#include <string>

#include "engine/config/option_reader.h"
#include "milter/settings.h"

namespace postern::milter {

// read_signing reads `keys` and `dkim` of the file in `folder` into `settings`.
void read_signing(config::OptionReader& read, const config::Node& root, const std::string& folder, Settings& settings);
// read_flow_signing reads `sign` of one flow; a profile that does not exist is an error at its name.
void read_flow_signing(config::OptionReader& read, const config::Node& node, const Settings& settings, Flow& flow);

// dump_signing writes `keys` and `dkim` as YAML that reads to the same settings.
void dump_signing(const Settings& settings, std::string& out);

}  // namespace postern::milter

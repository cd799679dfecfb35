// SPDX-License-Identifier: Apache-2.0
// `engines` in postern.yaml, and which of them a flow asks: read and written.
#pragma once
#include <string>

#include "engine/config/option_reader.h"
#include "milter/settings.h"

namespace postern::milter {

// read_engines reads `engines`, read_flow_engines a flow's `inspect`; check_engines_used warns of those that none asks.
void read_engines(config::OptionReader& read, const config::Node& root, const std::string& folder, Settings& settings);
void read_flow_engines(config::OptionReader& read, const config::Node& node, const Settings& settings, Flow& flow);
void check_engines_used(config::OptionReader& read, const config::Node& root, const Settings& settings);

// dump_engines and dump_flow_engines write them as YAML that reads to the same settings.
void dump_engines(const Settings& settings, std::string& out);
void dump_flow_engines(const Settings& settings, const Flow& flow, std::string& out);

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// The part of postern.yaml that is about directories: `ldap`, `masquerade`, `group-query`, and what a flow uses of
// them, read and written. Names are looked up at load: a query or profile that does not exist is an error at its name.
#pragma once
#include <string>

#include "engine/config/option_reader.h"
#include "milter/settings.h"

namespace postern::milter {

// read_directories reads `ldap`, `group-query` and `masquerade` of the file in `folder` into `settings`.
void read_directories(config::OptionReader& read, const config::Node& root, const std::string& folder,
                      Settings& settings);
// read_flow_directories reads `masquerade`, `accept` and `route` of one flow.
void read_flow_directories(config::OptionReader& read, const config::Node& node, const std::string& folder,
                           const Settings& settings, Flow& flow);

// check_masquerade reports masquerade profiles that name no quarantine of ours, or that nobody uses.
void check_masquerade(config::OptionReader& read, const config::Node& root, const Settings& settings);
// dump_directories and dump_flow_directories write them as YAML that reads to the same settings.
void dump_directories(const Settings& settings, std::string& out);
void dump_flow_directories(const Settings& settings, const Flow& flow, std::string& out);

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// `ldap` in postern.yaml: directories and the queries that are asked of them, read and written.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/option_reader.h"
#include "milter/settings.h"

namespace postern::milter {

// read_profiles reads `ldap` of the file in `folder` into `settings`; dump_profiles writes it as YAML that reads to the
// same settings.
void read_profiles(config::OptionReader& read, const config::Node& root, const std::string& folder, Settings& settings);
void dump_profiles(const Settings& settings, std::string& out);

// read_time reads a duration of whole seconds; time_text writes it.
void read_time(config::OptionReader& read, const config::Node& map, std::string_view path,
               std::chrono::milliseconds& to);
std::string time_text(std::chrono::milliseconds time);
// is_profile_name tells whether `name` may be a profile's or query's: it stands before or behind a dot elsewhere.
bool is_profile_name(std::string_view name);
// is_key_name tells whether fipsd may have a key called `name`.
bool is_key_name(std::string_view name);
// given returns what stands under `key` of `map`; nullptr where nothing does.
const config::Node* given(const config::Node& map, std::string_view key);

}  // namespace postern::milter

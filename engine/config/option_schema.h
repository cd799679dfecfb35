// SPDX-License-Identifier: Apache-2.0
// The JSON Schema of a configuration file, made from its option table, for editors. Pure.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

#include "engine/config/options.h"

namespace postern::config {

// option_schema returns the schema of the file whose keys `table` lists. A list with rows below it ("flows[].name") is
// a list of maps, any other a list of words or one word; what a table cannot say is for the caller to add.
nlohmann::json option_schema(std::span<const OptionRow> table, std::string_view title, std::string_view description);

}  // namespace postern::config

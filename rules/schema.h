// SPDX-License-Identifier: Apache-2.0
// Schema: the JSON Schema of rule files, made from the language's tables, so that an editor completes and explains what
// the loader accepts.
#pragma once
#include <string>

namespace postern::rules {

// rules_schema returns the schema (draft 07) as indented JSON with a line end; conf/rules.schema.json is this text.
std::string rules_schema();

}  // namespace postern::rules

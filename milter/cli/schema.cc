// SPDX-License-Identifier: Apache-2.0
// postern schema: the JSON Schemas of the two kinds of configuration file, made from the tables the loader uses.
#include <cstdio>

#include "milter/cli/commands.h"
#include "milter/settings.h"
#include "rules/schema.h"

namespace postern::cli {

int run_schema(const SchemaOptions& options) {
  std::fputs((options.which == "rules" ? rules::rules_schema() : milter::settings_schema()).c_str(), stdout);
  return kDone;
}

}  // namespace postern::cli

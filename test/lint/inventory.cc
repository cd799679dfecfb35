// SPDX-License-Identifier: Apache-2.0
// inventory: prints what the programs' own tables hold, one "kind name" a line, for test/lint/documented. Kinds: rule,
// action, variable, smart, filetype, alert, option, subcommand, log, check; fipsd-option, fipsd-log,
// fipsconfig-subcommand.
#include <cstdio>
#include <string_view>

#include "engine/match/smart_id.h"
#include "engine/scan/client/file_type.h"
#include "keystore/events.h"
#include "keystore/fipsconfig/commands.h"
#include "keystore/settings.h"
#include "milter/alert_table.h"
#include "milter/cli/commands.h"
#include "milter/cli/doctor.h"
#include "milter/events.h"
#include "milter/settings.h"
#include "rules/language.h"

namespace {
void print(std::string_view kind, std::string_view name) {
  std::printf("%.*s %.*s\n", static_cast<int>(kind.size()), kind.data(), static_cast<int>(name.size()), name.data());
}
}  // namespace

int main() {
  for (const auto& row : postern::rules::rule_table()) print("rule", row.name);
  for (const auto& row : postern::rules::action_table()) print("action", row.name);
  for (const auto& row : postern::rules::variable_table()) print("variable", row.name);
  for (const auto& row : postern::match::smart_id_table()) print("smart", row.name);
  for (const auto& row : postern::scan::file_types()) print("filetype", row.name);
  for (const auto& row : postern::milter::option_table()) print("option", row.path);
  for (const auto name : postern::cli::subcommands()) print("subcommand", name);
  for (const auto& row : postern::cli::check_table()) print("check", row.id);
  for (const auto& row : postern::milter::events()) print("log", row.id);
  for (const auto& row : postern::milter::alert_table()) print("alert", postern::milter::event(row.raised).id);
  for (const auto& row : postern::keystore::fipsd_option_table()) print("fipsd-option", row.path);
  for (const auto& row : postern::keystore::events()) print("fipsd-log", row.id);
  for (const auto name : postern::keystore::fipsconfig::subcommands()) print("fipsconfig-subcommand", name);
  return 0;
}

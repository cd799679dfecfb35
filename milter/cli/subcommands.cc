// SPDX-License-Identifier: Apache-2.0
// The names of the subcommands; main.cc describes each and a test compares them with its --help.
#include <array>

#include "milter/cli/commands.h"

namespace postern::cli {

std::span<const std::string_view> subcommands() {
  static constexpr std::array<std::string_view, 12> kNames = {"check",  "trace",      "scan",      "status",
                                                              "reload", "ldap",       "outbox",    "engines",
                                                              "doctor", "quarantine", "findevent", "schema"};
  return kNames;
}

}  // namespace postern::cli

// SPDX-License-Identifier: Apache-2.0
// The names of the subcommands; main.cc describes each and a test compares them with its --help.
#include <array>

#include "keystore/fipsconfig/commands.h"

namespace postern::keystore::fipsconfig {

std::span<const std::string_view> subcommands() {
  static constexpr std::array<std::string_view, 28> kNames = {
      "check",        "schema",          "status",        "init",           "passwd",      "key list",
      "key show",     "key reference",   "key dnstxt",    "key generate",   "key import",  "key destroy",
      "cert list",    "cert export",     "cert csr",      "cert self-sign", "cert import", "cert drop",
      "distrust add", "distrust remove", "distrust list", "backup",         "restore",     "zeroise",
      "selftest",     "audit show",      "audit tail",    "audit verify"};
  return kNames;
}

}  // namespace postern::keystore::fipsconfig

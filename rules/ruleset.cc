// SPDX-License-Identifier: Apache-2.0
#include "rules/ruleset.h"

namespace postern::rules {

std::string_view unknown_name(Unknown reason) {
  constexpr std::string_view kNames[] = {"none", "regex-limit", "unscannable", "directory", "dns"};
  return kNames[static_cast<size_t>(reason)];
}

std::string_view on_unknown_name(OnUnknown value) {
  constexpr std::string_view kNames[] = {"skip", "tempfail", "quarantine", "match", "by-action"};
  return kNames[static_cast<size_t>(value)];
}

}  // namespace postern::rules

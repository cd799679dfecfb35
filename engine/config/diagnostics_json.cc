// SPDX-License-Identifier: Apache-2.0
// Diagnostics as JSON.
#include "engine/config/diagnostics_json.h"

namespace postern::config {

nlohmann::json diagnostics_json(const Sources& sources, const Diagnostics& diagnostics) {
  nlohmann::json list = nlohmann::json::array();
  for (const Diagnostic& entry : diagnostics.all()) {
    list.push_back({{"severity", entry.severity == Severity::error ? "error" : "warning"},
                    {"file", sources.path(entry.position.source)},
                    {"line", entry.position.line},
                    {"column", entry.position.column},
                    {"length", entry.length},
                    {"message", entry.message},
                    {"hint", entry.hint}});
  }
  return list;
}

}  // namespace postern::config

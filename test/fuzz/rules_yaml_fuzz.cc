// SPDX-License-Identifier: Apache-2.0
// Any bytes as a rule file: it loads, or there is at least one error and every diagnostic lies inside the file.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "rules/dump.h"
#include "rules/ruleset.h"

namespace {
void require(bool condition) {
  if (!condition) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  postern::config::Sources sources;
  const uint32_t id = sources.add_text("fuzz", std::string(reinterpret_cast<const char*>(data), size));
  postern::config::Diagnostics diagnostics(sources);
  postern::rules::LoadContext context;
  context.groups = true;
  context.login_queries = {"corporate.logins"};
  context.virus_engines = true;
  context.spam_engines = true;
  context.flows = {"inbound", "outbound"};
  context.quarantines = {"Policy"};
  const auto rules = postern::rules::RuleSet::load(sources, {id}, context, diagnostics);
  require((rules == nullptr) == !diagnostics.ok());
  for (const postern::config::Diagnostic& one : diagnostics.all()) {
    require(one.position.source == id);
    require(one.position.line <= size + 1 && one.position.column <= size + 1);
    require(!one.message.empty() && one.length >= 1);
  }
  static_cast<void>(diagnostics.render());
  if (rules != nullptr) {
    for (const postern::rules::Filter& filter : rules->filters()) require(!postern::rules::dump(filter).empty());
  }
  return 0;
}

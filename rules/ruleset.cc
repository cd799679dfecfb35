// SPDX-License-Identifier: Apache-2.0
// Loading of all rule files of a configuration into one frozen rule set, and the words for its small types.
#include "rules/ruleset.h"

#include "rules/prefilter.h"
#include "rules/yaml_loader.h"

namespace postern::rules {

std::string_view unknown_name(Unknown reason) {
  constexpr std::string_view kNames[] = {"none", "regex-limit", "unscannable", "directory", "dns", "engine"};
  return kNames[static_cast<size_t>(reason)];
}

std::string_view on_unknown_name(OnUnknown value) {
  constexpr std::string_view kNames[] = {"skip", "tempfail", "quarantine", "match", "by-action"};
  return kNames[static_cast<size_t>(value)];
}

RuleSet::RuleSet() = default;
RuleSet::~RuleSet() = default;

void RuleSet::prepare() const {
  std::call_once(prepared_, [this] {
    owned_prefilter_ = build_prefilter(*this);
    prefilter_.store(owned_prefilter_.get(), std::memory_order_release);
  });
}

std::shared_ptr<const RuleSet> RuleSet::load(const config::Sources& sources, const std::vector<uint32_t>& files,
                                             const LoadContext& context, config::Diagnostics& diagnostics) {
  Loader loader(sources, context, diagnostics);
  loader.load_texts();
  for (const uint32_t file : files) loader.load_file(file);
  return loader.finish();
}

}  // namespace postern::rules

// SPDX-License-Identifier: Apache-2.0
// Prefilter: the pattern sets of one rule set, one per header field name and one for body texts, so that a thousand
// tests on one field cost one pass over it and not a thousand searches. Built once after load, immutable, shared.
#pragma once
#include <memory>
#include <vector>

#include "engine/match/pattern_set.h"
#include "rules/ruleset.h"

namespace postern::rules {

struct Prefilter {
  std::vector<std::unique_ptr<const match::PatternSet>> headers;  // by header slot; null where PCRE2 alone is as fast
  std::unique_ptr<const match::PatternSet> texts;
};

// number_patterns gives the patterns on each header slot and on texts their numbers (Test::member, Action::member), and
// returns how many there are on texts; those of dictionaries come behind them.
uint32_t number_patterns(std::vector<Filter>& filters, size_t header_slots);

// find_gates returns the gate of every filter; needs the numbers.
std::vector<Gate> find_gates(const std::vector<Filter>& filters);

// build_prefilter compiles the sets; nullptr when none is worth it.
std::unique_ptr<const Prefilter> build_prefilter(const RuleSet& rules);

}  // namespace postern::rules

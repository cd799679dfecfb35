// SPDX-License-Identifier: Apache-2.0
// Collecting the patterns of a rule set. Nested `if`s are bounded by kMaxDepth at load, so the walk recurses.
#include "rules/prefilter.h"

#include <string_view>

namespace postern::rules {
namespace {

// Below these numbers one search after the other takes no longer than a pass of the set.
constexpr size_t kLeastOnHeader = 8;
constexpr size_t kLeastOnText = 3;

bool is_header_pattern(const Test& test) {
  return test.regex && (test.rule->name == "header" || test.rule->name == "subject");
}

bool is_text_pattern(const Test& test) {
  return test.regex && (test.rule->name == "body-contains" || test.rule->name == "only-body-contains");
}

// walk calls `visit` for every test of the branch and of those nested in it.
template <class BranchType, class Visit>
void walk(BranchType& branch, Visit&& visit) {
  for (auto& test : branch.condition.tests) visit(test);
  for (auto* part : {&branch.then_part, &branch.else_part}) {
    for (auto& statement : *part) {
      if (statement.branch != nullptr) walk(*statement.branch, visit);
    }
  }
}

}  // namespace

void number_patterns(std::vector<Filter>& filters, size_t header_slots) {
  std::vector<uint32_t> next(header_slots, 0);
  uint32_t next_text = 0;
  for (Filter& filter : filters) {
    if (!filter.enabled) continue;
    walk(filter.body, [&](Test& test) {
      if (is_text_pattern(test)) {
        test.member = next_text++;
      } else if (is_header_pattern(test) && test.header_slot < header_slots) {
        test.member = next[test.header_slot]++;
      }
    });
  }
}

namespace {

// gate_of looks for a header pattern that node `index` of the condition cannot do without: false and unknown is false.
// The depth of conditions is bounded at load.
Gate gate_of(const Condition& condition, uint32_t index) {
  const Node& node = condition.nodes[index];
  if (node.kind == Node::Kind::test) {
    const Test& test = condition.tests[node.test];
    if (test.op == Operator::eq && is_header_pattern(test)) return {test.header_slot, test.member};
  } else if (node.kind == Node::Kind::all_of) {
    for (const uint32_t child : node.children) {
      const Gate gate = gate_of(condition, child);
      if (gate.member != kNoMember) return gate;
    }
  }
  return {};
}

}  // namespace

std::vector<Gate> find_gates(const std::vector<Filter>& filters) {
  std::vector<Gate> gates;
  gates.reserve(filters.size());
  for (const Filter& filter : filters) {
    const bool plain = filter.phase == Phase::message && filter.body.else_part.empty();
    gates.push_back(plain && !filter.body.condition.nodes.empty() ? gate_of(filter.body.condition, 0) : Gate{});
  }
  return gates;
}

std::unique_ptr<const Prefilter> build_prefilter(const RuleSet& rules) {
  std::vector<std::vector<const match::Regex*>> headers(rules.header_names().size());
  std::vector<const match::Regex*> texts;
  for (const Filter& filter : rules.filters()) {
    if (!filter.enabled) continue;
    walk(filter.body, [&](const Test& test) {
      if (test.member == kNoMember) return;
      (is_text_pattern(test) ? texts : headers[test.header_slot]).push_back(&*test.regex);
    });
  }
  auto made = std::make_unique<Prefilter>();
  made->headers.resize(headers.size());
  bool any = false;
  for (size_t slot = 0; slot < headers.size(); ++slot) {
    if (headers[slot].size() >= kLeastOnHeader) made->headers[slot] = match::PatternSet::build(headers[slot]);
    any = any || made->headers[slot] != nullptr;
  }
  if (texts.size() >= kLeastOnText) made->texts = match::PatternSet::build(texts);
  if (!any && made->texts == nullptr) return nullptr;
  return made;
}

}  // namespace postern::rules

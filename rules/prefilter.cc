// SPDX-License-Identifier: Apache-2.0
// Collecting the patterns of a rule set. Nested `if`s are bounded by kMaxDepth at load, so the walk recurses.
#include "rules/prefilter.h"

#include <string>
#include <string_view>

#include "engine/match/smart_id.h"

namespace postern::rules {
namespace {

// Below these numbers one search after the other takes no longer than a pass of the set.
constexpr size_t kLeastOnHeader = 8;
constexpr size_t kLeastOnText = 3;

bool is_header_pattern(const Test& test) {
  return test.regex && (test.rule->name == "header" || test.rule->name == "subject");
}

bool is_text_pattern(const Test& test) { return test.rule->arguments.starts_with('W'); }
bool is_text_pattern(const Action& action) { return action.row->arguments.starts_with('W'); }

// The screen of a pattern on texts, by what decides.
template <class Owner>
std::string text_screen(const Owner& owner) {
  if (owner.smart != kNoSmart) return std::string(match::smart_id_table()[owner.smart].screen);
  return owner.regex ? match::screen_of(*owner.regex) : std::string();
}

// walk calls `visit` for every test and action of the branch and of those nested in it.
template <class BranchType, class Visit>
void walk(BranchType& branch, Visit&& visit) {
  for (auto& test : branch.condition.tests) visit(test);
  for (auto* part : {&branch.then_part, &branch.else_part}) {
    for (auto& statement : *part) {
      if (statement.branch != nullptr) walk(*statement.branch, visit);
      if (statement.action) visit(*statement.action);
    }
  }
}

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

}  // namespace

uint32_t number_patterns(std::vector<Filter>& filters, size_t header_slots) {
  std::vector<uint32_t> next(header_slots, 0);
  uint32_t next_text = 0;
  for (Filter& filter : filters) {
    if (!filter.enabled) continue;
    walk(filter.body, Overloaded{[&](Test& test) {
                                   if (is_text_pattern(test)) {
                                     test.member = next_text++;
                                   } else if (is_header_pattern(test) && test.header_slot < header_slots) {
                                     test.member = next[test.header_slot]++;
                                   }
                                 },
                                 [&](Action& action) {
                                   if (is_text_pattern(action)) action.member = next_text++;
                                 }});
  }
  return next_text;
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
  std::vector<std::string> texts;
  for (const Filter& filter : rules.filters()) {
    if (!filter.enabled) continue;
    walk(filter.body, Overloaded{[&](const Test& test) {
                                   if (test.member == kNoMember) return;
                                   if (is_text_pattern(test)) {
                                     texts.push_back(text_screen(test));
                                   } else {
                                     headers[test.header_slot].push_back(&*test.regex);
                                   }
                                 },
                                 [&](const Action& action) {
                                   if (action.member != kNoMember) texts.push_back(text_screen(action));
                                 }});
  }
  for (const auto& dictionary : rules.dictionaries()) {
    for (const match::DictionaryEntry& entry : dictionary->entries()) texts.push_back(entry.screen());
  }
  auto made = std::make_unique<Prefilter>();
  made->headers.resize(headers.size());
  bool any = false;
  for (size_t slot = 0; slot < headers.size(); ++slot) {
    if (headers[slot].size() >= kLeastOnHeader) made->headers[slot] = match::PatternSet::build(headers[slot]);
    any = any || made->headers[slot] != nullptr;
  }
  if (texts.size() >= kLeastOnText) made->texts = match::PatternSet::build_screens(texts);
  if (!any && made->texts == nullptr) return nullptr;
  return made;
}

}  // namespace postern::rules

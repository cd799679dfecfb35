// SPDX-License-Identifier: Apache-2.0
// Any bytes as a condition: the parser gives a tree within its bounds or a fault inside the text, and a condition that
// loads has a tree whose children stand behind their parents and whose costs rise.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "rules/dump.h"
#include "rules/parser.h"
#include "rules/ruleset.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_tree(const postern::rules::Condition& condition) {
  using postern::rules::Node;
  for (size_t i = 0; i < condition.nodes.size(); ++i) {
    const Node& node = condition.nodes[i];
    require((node.kind == Node::Kind::test) == node.children.empty());
    if (node.kind == Node::Kind::test) require(node.test < condition.tests.size());
    uint32_t last = 0;
    for (const uint32_t child : node.children) {
      require(child > i && child < condition.nodes.size());
      require(condition.nodes[child].cost >= last);
      require(node.kind == Node::Kind::negation || condition.nodes[child].kind != node.kind);
      last = condition.nodes[child].cost;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  postern::rules::SyntaxFault fault;
  if (!postern::rules::parse_condition(text, postern::rules::kMaxDepth, fault)) {
    require(fault.offset <= text.size());
    require(!fault.message.empty());
  }
  std::string file = "filters:\n  - name: f\n    if: |-\n      ";
  for (const char c : text) {
    file += c;
    if (c == '\n') file += "      ";
  }
  file += "\n    then: [no-op]\n";
  postern::config::Sources sources;
  const uint32_t id = sources.add_text("fuzz", file);
  postern::config::Diagnostics diagnostics(sources);
  const auto rules = postern::rules::RuleSet::load(sources, {id}, {}, diagnostics);
  require((rules == nullptr) == !diagnostics.ok());
  require(!diagnostics.render().empty() || rules != nullptr);
  if (rules != nullptr) {
    for (const postern::rules::Filter& filter : rules->filters()) {
      check_tree(filter.body.condition);
      require(!postern::rules::dump(filter).empty());
    }
  }
  return 0;
}

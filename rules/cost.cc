// SPDX-License-Identifier: Apache-2.0
// The tree is rewritten into a new list from the root down; its depth is bounded by the parser.
#include "rules/cost.h"

#include <algorithm>
#include <limits>
#include <span>

namespace postern::rules {
namespace {

uint32_t add_costs(uint32_t a, uint32_t b) {
  return a > std::numeric_limits<uint32_t>::max() - b ? std::numeric_limits<uint32_t>::max() : a + b;
}

class Rewriter {
 public:
  explicit Rewriter(Condition& condition) : condition_(condition), costs_(condition.nodes.size(), 0) {}

  void run() {
    measure(0);
    out_.reserve(condition_.nodes.size());
    write(0);
    condition_.nodes = std::move(out_);
  }

 private:
  const Node& node(uint32_t index) const { return condition_.nodes[index]; }

  uint32_t measure(uint32_t index) {
    uint32_t cost = 0;
    if (node(index).kind == Node::Kind::test) {
      cost = condition_.tests[node(index).test].rule->cost;
    } else {
      for (const uint32_t child : node(index).children) cost = add_costs(cost, measure(child));
    }
    costs_[index] = cost;
    return cost;
  }

  // The operands of `kind` below `index`, through nested nodes of the same kind.
  void gather(uint32_t index, Node::Kind kind, std::vector<uint32_t>& operands) const {
    for (const uint32_t child : node(index).children) {
      if (node(child).kind == kind) {
        gather(child, kind, operands);
      } else {
        operands.push_back(child);
      }
    }
  }

  uint32_t write(uint32_t index) {
    const Node::Kind kind = node(index).kind;
    const auto at = static_cast<uint32_t>(out_.size());
    Node copy;
    copy.kind = kind;
    copy.test = node(index).test;
    copy.cost = costs_[index];
    out_.push_back(std::move(copy));
    if (kind == Node::Kind::test) return at;
    std::vector<uint32_t> operands;
    if (kind == Node::Kind::negation) {
      operands = node(index).children;
    } else {
      gather(index, kind, operands);
      std::stable_sort(operands.begin(), operands.end(), [&](uint32_t a, uint32_t b) { return costs_[a] < costs_[b]; });
    }
    for (uint32_t& operand : operands) operand = write(operand);
    out_[at].children = std::move(operands);
    return at;
  }

  Condition& condition_;
  std::vector<uint32_t> costs_;
  std::vector<Node> out_;
};

}  // namespace

void order_by_cost(Condition& condition) {
  if (!condition.nodes.empty()) Rewriter(condition).run();
}

}  // namespace postern::rules

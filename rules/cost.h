// SPDX-License-Identifier: Apache-2.0
// Cost: puts the operands of `and` and `or` in rising order of cost, so that a cheap test decides before a dear one
// runs. Tests have no side effects, so only time (and which text $MatchedContent holds) depends on the order.
#pragma once
#include "rules/ast.h"

namespace postern::rules {

// order_by_cost flattens nested nodes of one kind ("a and (b and c)" is one node), gives every node the sum of its
// tests' costs and sorts children by it; equal ones keep their order. Node 0 stays the root and children stand behind
// their parent.
void order_by_cost(Condition& condition);

}  // namespace postern::rules

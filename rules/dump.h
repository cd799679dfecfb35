// SPDX-License-Identifier: Apache-2.0
// Dump: the notation of conditions and filters in tests and traces, one line each:
//   (and (subject =~ "x") (not (valid)))    operands in the order in which they run
#pragma once
#include <string>

#include "rules/ast.h"

namespace postern::rules {

// dump writes a condition; a regex comparison as =~ or !~, sizes in bytes, dates as seconds since 1970.
std::string dump(const Condition& condition);

// dump writes a filter: (filter NAME (if CONDITION) (then STATEMENT…) (else STATEMENT…)).
std::string dump(const Filter& filter);

}  // namespace postern::rules

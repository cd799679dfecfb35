// SPDX-License-Identifier: Apache-2.0
// Templates: texts with action variables, split once at load. `$Name` is a variable (longest run of letters, digits and
// '_' after a letter), `$Header['Name']` a header field, `$$` a dollar sign; a dollar sign before anything else stands
// for itself.
#pragma once
#include <functional>
#include <string_view>

#include "rules/ast.h"
#include "rules/values.h"

namespace postern::rules {

// read_template splits `text`. `found` is called for each variable with its index in variable_table() and its place;
// faults (unknown variables, malformed $Header) go to `wrong`.
Template read_template(std::string_view text, const std::function<void(uint16_t, size_t, size_t)>& found,
                       const std::function<void(const ValueFault&)>& wrong);

}  // namespace postern::rules

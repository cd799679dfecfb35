// SPDX-License-Identifier: Apache-2.0
// Tests: one evaluator per row of rule_table(), looked up by the row's place in it. An evaluator answers for the
// positive form; `!=` is negated by run_test for all of them, and unknown stays unknown. Internal to the evaluator.
#pragma once
#include <string_view>

#include "rules/ast.h"
#include "rules/facts.h"

namespace postern::rules {

using TestFunction = Truth (*)(const Test&, Facts&);

struct NamedTest {
  std::string_view name;
  TestFunction run;
};

// The evaluators of each source file, by rule name.
std::span<const NamedTest> envelope_tests();
std::span<const NamedTest> content_tests();
std::span<const NamedTest> text_tests();
std::span<const NamedTest> scan_tests();
std::span<const NamedTest> engine_tests();

// run_test evaluates one test; a rule without an evaluator is unknown (a unit test holds that there is none).
Truth run_test(const Test& test, Facts& facts);
// has_evaluator tells whether the rule called `name` has one.
bool has_evaluator(std::string_view name);

// not_known is the answer where a fact was never delivered or could not be read.
inline Truth not_known() { return Truth::unknown(Unknown::unscannable); }

// negate, both and either are Kleene's not, and, or. Of two unknowns the graver reason stays (directory, unscannable,
// regex-limit, dns), whichever came first.
Truth negate(Truth value);
Truth both(Truth a, Truth b);
Truth either(Truth a, Truth b);

// search_pattern runs the test's pattern over `subject` and keeps what matched for $MatchedContent.
Truth search_pattern(const Test& test, std::string_view subject, Facts& facts);
void keep_match(Facts& facts, std::string_view matched);

// compare answers `value op number` (ne counts as eq: run_test negates).
bool compare(int64_t value, Operator op, int64_t number);
// compare_at_least answers it where `found` is only a lower bound of the value.
Truth compare_at_least(int64_t found, Operator op, int64_t number);

}  // namespace postern::rules

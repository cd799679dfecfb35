// SPDX-License-Identifier: Apache-2.0
// Rules on what external engines say. Where they are not asked, because a filter said so or the flow has none, every
// comparison is false, whichever its operator; that somebody could not be asked is unknown and never "clean".
#include "rules/tests.h"
#include "rules/verdict_words.h"

namespace postern::rules {
namespace {

// not_compared makes a test false also where run_test() negates it.
Truth not_compared(const Test& test) { return Truth::of(test.op == Operator::ne); }

Truth virus_verdict(const Test& test, Facts& facts) {
  if (!facts.headers_known() || !facts.message().has_body() || test.texts.empty()) return not_known();
  const std::string& word = test.texts.back();
  const VirusFact none;
  const VirusFact& fact = facts.skip_virus || facts.engines == nullptr ? none : facts.engines->virus();
  if (!fact.asked) return word == kSkipped ? Truth::of(true) : not_compared(test);
  if (word == kSkipped) return Truth::of(false);
  for (const std::string& name : fact.found) keep_match(facts, name);
  // Engines that gave no answer can only make it graver than it is.
  const std::string_view gravest = inspect::virus_verdict_name(fact.gravest.value_or(inspect::VirusVerdict::clean));
  if (fact.complete || fact.gravest == inspect::VirusVerdict::infected) return Truth::of(word == gravest);
  if (verdict_rank(word) < verdict_rank(gravest)) return Truth::of(false);
  return Truth::unknown(Unknown::engine);
}

Truth spam_score(const Test& test, Facts& facts) {
  if (!facts.headers_known() || !facts.message().has_body()) return not_known();
  const SpamFact none;
  const SpamFact& fact = facts.skip_spam || facts.engines == nullptr ? none : facts.engines->spam();
  if (!fact.asked) return not_compared(test);
  if (fact.complete && fact.score) return Truth::of(compare(*fact.score, test.op, test.number));
  // An engine that gave no answer can only make the score higher.
  if (!fact.score) return Truth::unknown(fact.reason);
  const Truth least = compare_at_least(*fact.score, test.op, test.number);
  return least.is_unknown() ? Truth::unknown(fact.reason) : least;
}

constexpr NamedTest kTests[] = {
    {"virus-verdict", virus_verdict},
    {"spam-score", spam_score},
};

}  // namespace

std::span<const NamedTest> engine_tests() { return kTests; }

}  // namespace postern::rules

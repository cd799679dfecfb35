// SPDX-License-Identifier: Apache-2.0
// One pass of the prefilter over each reading serves every pattern; what it leaves is counted by PCRE2. Parts are
// folded from the last to the first, so that children come before their parents; nothing recurses.
#include "rules/text_search.h"

#include <algorithm>

#include "engine/match/smart_id.h"
#include "rules/scanned.h"
#include "rules/tests.h"

namespace postern::rules {
namespace {

// Hits is a count, and why there may be more.
struct Hits {
  uint64_t found = 0;
  Unknown reason = Unknown::none;
};

Hits count_in(Facts& facts, const Needle& needle, std::string_view text, const match::Candidates& candidates) {
  Hits out;
  std::string_view first;
  const uint64_t enough = std::max<uint64_t>(needle.threshold, 1);
  if (needle.dictionary != nullptr) {
    const match::Score score = needle.dictionary->score(text, candidates, needle.member, enough);
    out.found = score.points;
    first = score.first;
    if (score.limited) out.reason = Unknown::regex_limit;
  } else if (needle.member == kNoMember || candidates.has(needle.member)) {
    const auto most = static_cast<uint32_t>(std::min<uint64_t>(enough, UINT32_MAX));
    uint32_t found = 0;
    match::Verdict verdict = match::Verdict::limit;
    if (needle.smart != kNoSmart) {
      verdict = match::count_smart_id(needle.smart, text, most, found, &first);
    } else if (needle.regex != nullptr) {
      verdict = needle.regex->count(text, most, found, &first);
    }
    out.found = found;
    if (verdict == match::Verdict::limit) out.reason = Unknown::regex_limit;
  }
  if (out.found > 0) keep_match(facts, first);
  return out;
}

// The most hits in any reading of the texts that count, summed over them.
Hits count_part(Facts& facts, const Needle& needle, Scope scope, uint32_t part, std::string* why) {
  const mime::Part& leaf = facts.structure()->parts[part];
  const bool attached = !leaf.is_leaf() || facts.is_attached(part);
  Hits out;
  for (ContentText& text : facts.content().texts(part)) {
    const bool counts = scope == Scope::all || (scope == Scope::attachments) == (attached || text.uuencoded);
    if (!counts) continue;
    uint64_t best = 0;
    for (size_t i = 0; i < text.readings.size(); ++i) {
      if (!text.candidates[i]) text.candidates[i] = facts.scan_text(text.readings[i]);
      const Hits hits = count_in(facts, needle, text.readings[i], *text.candidates[i]);
      best = std::max(best, hits.found);
      if (out.reason == Unknown::none) out.reason = hits.reason;
    }
    out.found += best;
    if (!text.complete) {
      out.reason = Unknown::unscannable;
      if (why != nullptr && why->empty()) *why = "part " + leaf.path + ": " + text.reason;
    }
  }
  return out;
}

template <class Owner>
Needle make_needle(const Owner& owner, const RuleSet& rules, uint64_t threshold) {
  Needle out;
  out.regex = owner.regex ? &*owner.regex : nullptr;
  out.smart = owner.smart;
  out.member = owner.member;
  if (owner.dictionary < rules.dictionaries().size()) {
    out.dictionary = rules.dictionaries()[owner.dictionary].get();
    out.member = rules.dictionary_member(owner.dictionary);
  }
  out.threshold = std::max<uint64_t>(threshold, 1);
  return out;
}

}  // namespace

Needle needle_of(const Test& test, const RuleSet& rules) { return make_needle(test, rules, test.threshold); }

Needle needle_of(const Action& action, const RuleSet& rules) {
  return make_needle(action, rules, static_cast<uint64_t>(std::max<int64_t>(action.number, 1)));
}

Truth search_parts(Facts& facts, const Needle& needle, Scope scope, uint32_t top, std::string* why) {
  const std::vector<mime::Part>& parts = facts.structure()->parts;
  uint32_t end = top + 1;
  while (end < parts.size() && parts[end].depth > parts[top].depth) ++end;
  std::vector<uint64_t> found(end - top, 0);
  Truth missing = Truth::of(false);
  for (uint32_t i = end; i-- > top;) {
    if (facts.dropped(i)) continue;
    uint64_t& here = found[i - top];
    const Hits hits = count_part(facts, needle, scope, i, why);
    here += hits.found;
    if (hits.reason != Unknown::none) missing = either(missing, Truth::unknown(hits.reason));
    if (here >= needle.threshold) return Truth::of(true);
    if (i == top) break;
    uint64_t& up = found[parts[i].parent - top];
    up = parts[parts[i].parent].type.value == "multipart/alternative" ? std::max(up, here) : up + here;
  }
  return missing;
}

Truth search_text(Facts& facts, const Needle& needle, std::string_view text) {
  const Hits hits = count_in(facts, needle, text, facts.scan_text(text));
  if (hits.found >= needle.threshold) return Truth::of(true);
  return hits.reason == Unknown::none ? Truth::of(false) : Truth::unknown(hits.reason);
}

Truth search_reading(Facts& facts, const Needle& needle, Scope scope, const Inspection::Reading& reading) {
  const std::vector<scan::Leaf>& leaves = reading.verdict.leaves;
  const bool body = is_other_body(facts, reading);
  if (scope == Scope::body && facts.structure()->one_reading && !body) return Truth::of(false);
  uint64_t found = 0;
  Truth missing = reading.verdict.complete() ? Truth::of(false) : not_known();
  for (size_t i = scope == Scope::attachments && body ? 1 : 0; i < leaves.size(); ++i) {
    const scan::Leaf& leaf = leaves[i];
    const Hits hits = count_in(facts, needle, leaf.text, facts.scan_text(leaf.text));
    found += hits.found;
    if (found >= needle.threshold) return Truth::of(true);
    if (hits.reason != Unknown::none) missing = either(missing, Truth::unknown(hits.reason));
  }
  return missing;
}

std::vector<uint32_t> outer_attachments(Facts& facts) {
  std::vector<uint32_t> out;
  const mime::Structure* tree = facts.structure();
  if (tree == nullptr) return out;
  uint32_t end = 0;  // of the attachment taken last: what lies before it stands in that one
  for (const uint32_t part : facts.attachments()) {
    if (part < end) continue;
    out.push_back(part);
    end = part + 1;
    while (end < tree->parts.size() && tree->parts[end].depth > tree->parts[part].depth) ++end;
  }
  return out;
}

}  // namespace postern::rules

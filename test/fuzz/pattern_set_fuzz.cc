// SPDX-License-Identifier: Apache-2.0
// The prefilter against PCRE2: what a pattern finds in a subject, its set must have left as a candidate. Input:
// patterns, one a line, an empty line, the subject.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "engine/match/pattern_set.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::match;
  constexpr size_t kMaxPatterns = 8;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<Regex> regexes;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) break;
    if (regexes.size() == kMaxPatterns || !can_prefilter(line)) continue;
    if (auto regex = Regex::compile(line)) regexes.push_back(std::move(*regex));
  }
  std::vector<const Regex*> pointers;
  for (const Regex& regex : regexes) pointers.push_back(&regex);
  const auto set = PatternSet::build(pointers);
  if (set == nullptr) return 0;
  const Candidates found = set->scan(rest);
  for (size_t i = 0; i < regexes.size(); ++i) {
    if (regexes[i].search(rest) == Verdict::yes && !found.has(i)) std::abort();
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The words that virus-verdict is compared with: those of the engines, from clean to infected, and that none was asked.
#pragma once
#include <array>
#include <string_view>

#include "engine/inspect/answer.h"

namespace postern::rules {

inline constexpr std::string_view kSkipped = "skipped";
inline constexpr std::array kVerdicts = {inspect::VirusVerdict::clean, inspect::VirusVerdict::encrypted,
                                         inspect::VirusVerdict::unscannable, inspect::VirusVerdict::infected};

// verdict_rank is how grave the verdict called `word` is; past all of them for another word.
inline size_t verdict_rank(std::string_view word) {
  size_t rank = 0;
  while (rank < kVerdicts.size() && inspect::virus_verdict_name(kVerdicts[rank]) != word) ++rank;
  return rank;
}

}  // namespace postern::rules

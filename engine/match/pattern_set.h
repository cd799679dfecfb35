// SPDX-License-Identifier: Apache-2.0
// PatternSet: many patterns looked for in one pass over a subject, as a prefilter: it says which of them cannot match,
// and PCRE2 decides the rest, so it changes speed and not answers. One exception is wanted: where PCRE2 would give up
// at a limit but no match is possible, the answer becomes "no". Uses libhs (Hyperscan or Vectorscan) where the build
// found it; without it every pattern stays a candidate. Immutable and used by many threads at once; scratch memory is
// per thread.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/match/regex.h"

namespace postern::match {

// Candidates are the patterns of a set that may match one subject. Default-made: all of them.
class Candidates {
 public:
  bool has(size_t pattern) const {
    return pattern / 64 >= bits_.size() || (bits_[pattern / 64] >> (pattern % 64) & 1) != 0;
  }
  // each calls `visit` with i for every candidate first + i, i < count, in order, until `visit` returns false.
  template <class Visit>
  void each(size_t first, size_t count, Visit visit) const {
    for (size_t i = 0; i < count;) {
      const size_t pattern = first + i;
      const uint64_t word = pattern / 64 < bits_.size() ? bits_[pattern / 64] >> (pattern % 64) : ~uint64_t{0};
      if (word == 0) {
        i += 64 - pattern % 64;
        continue;
      }
      const auto skip = static_cast<size_t>(std::countr_zero(word));
      i += skip;
      if (i >= count || !visit(i)) return;
      ++i;
    }
  }
  // merge adds the candidates for another subject of the same set.
  void merge(const Candidates& other);

 private:
  friend class PatternSet;
  std::vector<uint64_t> bits_;
};

class PatternSet {
 public:
  // build compiles the set; a pattern's number is its place in `patterns`. nullptr when libhs is missing, the processor
  // cannot run it, or it can take none of the patterns. Takes about a millisecond a pattern.
  static std::unique_ptr<const PatternSet> build(std::span<const Regex* const> patterns);
  // build_screens does the same for patterns written for libhs, each of which is in every subject that what it stands
  // for is in; an empty one is always a candidate. They are UTF-8, at most kMaxScreen bytes each.
  static std::unique_ptr<const PatternSet> build_screens(std::span<const std::string> screens);
  ~PatternSet();
  PatternSet(const PatternSet&) = delete;
  PatternSet& operator=(const PatternSet&) = delete;

  // scan returns the patterns that may match `subject`.
  Candidates scan(std::string_view subject) const;

  // none is the answer for no subject at all.
  Candidates none() const;

  // taken is the number of patterns that the prefilter can rule out at all.
  size_t taken() const { return taken_; }

 private:
  struct Database;
  PatternSet(std::unique_ptr<Database> database, std::vector<uint64_t> always, size_t taken);
  std::unique_ptr<Database> database_;
  std::vector<uint64_t> always_;  // bits of the patterns that are always candidates
  size_t taken_;
};

inline constexpr size_t kMaxScreen = 8000;

// screen_of returns what build_screens may take for `pattern`: itself where can_prefilter, else nothing.
std::string screen_of(const Regex& pattern);

// can_prefilter tells whether a pattern is one that PatternSet takes: syntax that PCRE2 and libhs read alike, small
// when its repeats are written out, and without a repeat of something that itself varies in length, which is where
// PCRE2 runs into its limits.
bool can_prefilter(std::string_view pattern);

}  // namespace postern::match

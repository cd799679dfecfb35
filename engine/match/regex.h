// SPDX-License-Identifier: Apache-2.0
// Regex: PCRE2 with JIT and hard limits. Patterns are unanchored searches, UTF-8 aware (invalid UTF-8 in the subject is
// tolerated, never an error), case-sensitive unless (?i). Hitting a limit is an answer of its own, for that subject
// only. A Regex is immutable and may be used by many threads at once: match data, JIT stack and match context are per
// thread.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::match {

// Reads says what a pattern takes a subject for: UTF-8 text, or bytes, each of which is one character.
enum class Reads { text, bytes };

// Verdict of one search; `limit` means the match, depth, heap or JIT-stack limit was hit, so the answer is unknown.
enum class Verdict { no, yes, limit };

// RegexLimits bound one search. `match` counts backtracking steps from one start position, `depth` and `heap_kib` hold
// where the interpreter runs (the JIT has a stack of at most 512 KiB instead), and `milliseconds` of CPU time bound a
// search over a text longer than kPlainSearch; longer texts get 20 ns more per byte.
struct RegexLimits {
  uint32_t match = 200'000;
  uint32_t depth = 10'000;
  uint32_t heap_kib = 8'192;
  uint32_t milliseconds = 20;
  bool operator==(const RegexLimits&) const = default;
};

// kPlainSearch is the length up to which a subject is searched in one call; above it the search goes by windows of
// start positions, so that its time can be looked at.
inline constexpr size_t kPlainSearch = 512;

class Regex {
 public:
  // compile compiles `pattern`; a malformed error's text names the byte offset, which `error_offset` gets too when not
  // null. Patterns over 32 KiB, with more than 250 nested parentheses, or using \C, \G, callouts, (*COMMIT), (*SKIP) or
  // (*NO_JIT) are refused; a pattern cannot raise the limits.
  static base::Result<Regex> compile(std::string_view pattern, size_t* error_offset = nullptr,
                                     Reads reads = Reads::text);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // search tells whether the pattern occurs in `subject`; `matched`, when not null, gets the text that matched (a view
  // into `subject`).
  Verdict search(std::string_view subject, std::string_view* matched = nullptr) const;

  // count counts non-overlapping matches, up to `enough`; an empty match counts once and moves on by one character.
  // `limit` when a search hit a limit before `enough` was reached.
  Verdict count(std::string_view subject, uint32_t enough, uint32_t& found, std::string_view* first = nullptr) const;

  // walk calls `visit` with the offsets of each match; it returns where to go on looking, or npos to stop. Going back,
  // or not moving, ends the walk. `limit` when a search hit a limit, else whether there was any match.
  Verdict walk(std::string_view subject, const std::function<size_t(size_t begin, size_t end)>& visit) const;

  // check_replacement tells whether replace_all can use `replacement` with this pattern: groups exist, braces close.
  base::Result<void> check_replacement(std::string_view replacement) const;

  // replace_all substitutes every match by `replacement`, in which $1, ${1} and ${name} stand for groups, $0 for the
  // whole match, $$ for a dollar sign; any other $ stands for itself. Cause::limit when a limit or `max_bytes` of
  // output was hit, Cause::malformed for a replacement that check_replacement refuses; nothing changed then.
  base::Result<std::string> replace_all(std::string_view subject, std::string_view replacement, size_t max_bytes) const;

  const std::string& pattern() const;
  // literal returns the pattern's text when the pattern has no special character at all and so is a plain substring
  // search, else an empty view.
  std::string_view literal() const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

// set_regex_limits changes the limits for searches from now on, in all threads.
void set_regex_limits(const RegexLimits& limits);

}  // namespace postern::match

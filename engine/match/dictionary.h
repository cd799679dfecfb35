// SPDX-License-Identifier: Apache-2.0
// Dictionary: words, phrases, patterns and smart identifiers with weights. The score of a text is Σ hits × weight. Who
// reads the files is the rules' business; this is the compiled form. Immutable, used by many threads at once.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/match/pattern_set.h"
#include "engine/match/regex.h"

namespace postern::match {

// DictionaryEntry is one line of a dictionary. A plain entry is text, in which a blank stands for any white space; a
// smart one names an identifier of smart_id_table().
struct DictionaryEntry {
  enum class Kind : uint8_t { plain, regex, smart };
  Kind kind = Kind::plain;
  std::string text;  // as written; smart: without '*'
  uint32_t weight = 1;
  bool whole_words = false;
  bool case_sensitive = false;
  std::optional<Regex> regex;  // plain, regex: what decides
  size_t smart = 0;            // index in smart_id_table()

  // compile makes `regex` or `smart` of `text`; malformed when it cannot be used: a pattern that PCRE2 refuses or that
  // matches the empty text, an unknown identifier. `error_offset`, when not null, gets the byte of `text`.
  base::Result<void> compile(size_t* error_offset = nullptr);

  // screen returns a pattern that is in every text with a hit, for PatternSet; empty when there is none.
  std::string screen() const;

  // count counts hits, up to `enough`.
  Verdict count(std::string_view subject, uint32_t enough, uint32_t& found, std::string_view* first) const;
};

// Score is what a dictionary found in one text. `limited`: an entry ran into a limit, so that there may be more.
struct Score {
  uint64_t points = 0;
  bool limited = false;
  std::string_view first;  // the text of the first hit, a view into the subject
};

class Dictionary {
 public:
  // All entries must be compiled.
  Dictionary(std::string name, std::vector<DictionaryEntry> entries)
      : name_(std::move(name)), entries_(std::move(entries)) {}

  const std::string& name() const { return name_; }
  const std::vector<DictionaryEntry>& entries() const { return entries_; }

  // score adds up the hits in `subject` until `enough` points. Entry i is pattern `first_member` + i of `candidates`;
  // entries that those rule out are not searched. Ends at the first limit hit, which bounds the time that poison takes.
  Score score(std::string_view subject, const Candidates& candidates, size_t first_member, uint64_t enough) const;

 private:
  std::string name_;
  std::vector<DictionaryEntry> entries_;
};

}  // namespace postern::match

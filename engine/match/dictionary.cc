// SPDX-License-Identifier: Apache-2.0
// Entries become patterns here. What PCRE2 takes for the same letter in another case is asked of PCRE2 itself, so that
// the screen of a word in any script agrees with the search that decides.
#include "engine/match/dictionary.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>

#include "engine/base/text.h"
#include "engine/match/smart_id.h"

namespace postern::match {
namespace {

constexpr std::string_view kBlanks =
    R"([\s\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]+)";
constexpr std::string_view kNoWordBefore = R"((?<![\p{L}\p{M}\p{N}_]))";
constexpr std::string_view kNoWordBehind = R"((?![\p{L}\p{M}\p{N}_]))";

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_letter(char c) { return base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z'; }

size_t character_size(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

uint32_t code_point(std::string_view character) {
  uint32_t code = static_cast<unsigned char>(character[0]);
  if (character.size() > 1) code &= 0xFFu >> (character.size() + 1);
  for (const char c : character.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3F);
  return code;
}

void append_utf8(uint32_t code, std::string& out) {
  if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
  }
  out += static_cast<char>(0x80 | (code & 0x3F));
}

// Whether characters around `code` can have a case at all: ideographs and Hangul syllables, of which a dictionary may
// hold thousands, have none.
bool may_have_case(uint32_t code) {
  return code < 0x2E80 || (code >= 0xA640 && code < 0xAC00) || (code >= 0xFB00 && code < 0x20000);
}

// Every character from U+0080 on that may have a case, in UTF-8.
const std::string& all_characters() {
  static const std::string text = [] {
    std::string out;
    for (uint32_t code = 0x80; code < 0x20000; ++code) {
      if (may_have_case(code)) append_utf8(code, out);
    }
    return out;
  }();
  return text;
}

// case_variants returns the pattern for `character` (not ASCII) in any case; empty when that could not be found out.
std::string case_variants(std::string_view character) {
  const uint32_t code = code_point(character);
  if (!may_have_case(code)) return std::string(character);
  static std::mutex mutex;
  static std::map<uint32_t, std::string> known;
  const std::lock_guard<std::mutex> guard(mutex);
  if (const auto at = known.find(code); at != known.end()) return at->second;
  std::string out = "(?:" + std::string(character);
  const base::Result<Regex> regex = Regex::compile("(?i)" + std::string(character));
  if (!regex) return {};
  for (const std::string_view letters :
       {std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), std::string_view(all_characters())}) {
    const Verdict verdict = regex->walk(letters, [&](size_t begin, size_t end) {
      if (letters.substr(begin, end - begin) != character) out.append("|").append(letters, begin, end - begin);
      return end;
    });
    if (verdict == Verdict::limit) return {};
  }
  out += ")";
  known.emplace(code, out);
  return out;
}

// quote writes plain text as a pattern. `fold`: each character that is not ASCII in every case, for libhs; nothing when
// that is not known.
std::optional<std::string> quote(std::string_view text, bool fold) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t size = std::min(character_size(text[i]), text.size() - i);
    if (is_blank(text[i])) {
      while (i < text.size() && is_blank(text[i])) ++i;
      out += kBlanks;
      continue;
    }
    const std::string_view character = text.substr(i, size);
    if (size == 1) {
      if (!is_word(text[i])) out += '\\';
      out += text[i];
    } else if (fold) {
      const std::string variants = case_variants(character);
      if (variants.empty()) return std::nullopt;
      out += variants;
    } else {
      out += character;
    }
    i += size;
  }
  return out;
}

}  // namespace

base::Result<void> DictionaryEntry::compile(size_t* error_offset) {
  if (error_offset != nullptr) *error_offset = 0;
  if (kind == Kind::smart) {
    const int index = find_smart_id(text);
    if (index < 0) return base::fail(base::Cause::malformed, "unknown smart identifier '*" + text + "'");
    smart = static_cast<size_t>(index);
    return {};
  }
  if (!base::is_valid_utf8(text)) return base::fail(base::Cause::malformed, "not valid UTF-8");
  std::string pattern;
  if (kind == Kind::plain) {
    if (base::trim(text).empty()) return base::fail(base::Cause::malformed, "the entry is empty");
    pattern = *quote(text, false);
  } else {
    // By itself first, so that a fault is said with its place.
    base::Result<Regex> alone = Regex::compile(text, error_offset);
    if (!alone) return std::unexpected(std::move(alone.error()));
    if (alone->search("") == Verdict::yes) {
      return base::fail(base::Cause::malformed, "the pattern matches the empty text, and so everything");
    }
    pattern = text;
  }
  const bool before = whole_words && (kind == Kind::regex || is_word(text.front()));
  const bool behind = whole_words && (kind == Kind::regex || is_word(text.back()));
  std::string whole = case_sensitive ? "" : "(?i)";
  if (before) whole += kNoWordBefore;
  whole += kind == Kind::regex ? "(?:" + pattern + ")" : pattern;
  if (behind) whole += kNoWordBehind;
  base::Result<Regex> compiled = Regex::compile(whole);
  if (!compiled) return std::unexpected(std::move(compiled.error()));
  regex = std::move(*compiled);
  return {};
}

std::string DictionaryEntry::screen() const {
  switch (kind) {
    case Kind::smart:
      return std::string(smart_id_table()[smart].screen);
    case Kind::regex: {
      const std::string pattern = (case_sensitive || text.starts_with("(?i)") ? "" : "(?i)") + text;
      return can_prefilter(pattern) ? pattern : std::string();
    }
    case Kind::plain:
      break;
  }
  const std::optional<std::string> pattern = quote(text, !case_sensitive);
  if (!pattern || pattern->size() > kMaxScreen) return {};
  return (case_sensitive || std::ranges::none_of(text, is_letter) ? "" : "(?i)") + *pattern;
}

Verdict DictionaryEntry::count(std::string_view subject, uint32_t enough, uint32_t& found,
                               std::string_view* first) const {
  found = 0;
  if (kind == Kind::smart) return count_smart_id(smart, subject, enough, found, first);
  return regex ? regex->count(subject, enough, found, first) : Verdict::limit;
}

Score Dictionary::score(std::string_view subject, const Candidates& candidates, size_t first_member,
                        uint64_t enough) const {
  Score out;
  candidates.each(first_member, entries_.size(), [&](size_t i) {
    const DictionaryEntry& entry = entries_[i];
    if (entry.weight == 0) return true;
    const uint64_t missing = enough - std::min(enough, out.points);
    const uint64_t wanted =
        std::min<uint64_t>((missing + entry.weight - 1) / entry.weight, std::numeric_limits<uint32_t>::max());
    uint32_t found = 0;
    std::string_view first;
    const Verdict verdict = entry.count(subject, static_cast<uint32_t>(std::max<uint64_t>(wanted, 1)), found, &first);
    if (found > 0 && out.points == 0) out.first = first;
    out.points += uint64_t{found} * entry.weight;
    if (verdict == Verdict::limit) out.limited = true;
    return out.points < enough && !out.limited;
  });
  return out;
}

}  // namespace postern::match

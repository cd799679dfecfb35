// SPDX-License-Identifier: Apache-2.0
// The prefilter: which patterns it takes, and that it never rules out what PCRE2 finds, over written and made-up
// patterns and subjects.
#include "engine/match/pattern_set.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace postern::match {
namespace {

TEST(PatternSet, TakesWhatBothLibrariesReadAlike) {
  for (const char* pattern : {
           "a",
           "(?i)casino",
           "(?ims)^a.b$",
           "\\b(?:click|visit) (?:here|now)\\b",
           "[^]a]",
           "[a\\]b]",
           "a{3}",
           "a{2,5}?",
           "(?:[0-9]{4} ?){4}",
           "\\bact now\\b.{0,60}\\blimited\\b",
           "a.*b",
           "\\d+\\.\\d+",
           "x(?-i:y)",
           "(a|b|)",
           "\\$\\^\\{",
           "[\\d\\]]",
           "(?:ab){40}",
           "\\Aabc\\z",
           "a|b",
           "(?:a?b){1}",
       }) {
    EXPECT_TRUE(can_prefilter(pattern)) << pattern;
  }
}

TEST(PatternSet, LeavesTheRestToPcre) {
  for (const char* pattern : {
           "",
           "(a+)+$",
           "(a*)*",
           "(?:a|b?)*",
           "(?:a|aa)+",
           "(a{1,3})+",
           "(?:a?){40}a{40}",
           "(a+){2,}",
           "(?:a+b){1,3}",
           "(a)\\1",
           "(?=a)b",
           "(?<=a)b",
           "(?<n>a)",
           "(?>a+)b",
           "a++",
           "a*+",
           "\\p{L}",
           "\\Qa+\\E",
           "\\R",
           "\\X",
           "\\K",
           "\\x41",
           "\\h",
           "(*UCP)a",
           "(?x) a b",
           "a(?i)b",
           "(?i)a(?i)b",
           "((?i)a)b",
           "[[:alpha:]]",
           "[\\x41]",
           "a{,3}",
           "{",
           "a{x",
           "*a",
           "^*",
           "a**",
           "(",
           ")",
           "[a",
           "a\\",
           "((a{50}){50}){50}",
           "(?:a{1000}){3}",
           "\xC3\xA4",
           "a{3,2}",
           "(?#c)a",
           "(?|a|b)",
           "\\N{U+41}",
           "\\cA",
       }) {
    EXPECT_FALSE(can_prefilter(pattern)) << pattern;
  }
  EXPECT_FALSE(can_prefilter(std::string(1001, 'a')));
  EXPECT_FALSE(can_prefilter(std::string(400, '(') + "a" + std::string(400, ')')));
}

TEST(Candidates, AreAllUntilToldOtherwise) {
  Candidates all;
  EXPECT_TRUE(all.has(0));
  EXPECT_TRUE(all.has(1'000'000));
}

std::vector<Regex> compiled(const std::vector<std::string>& patterns) {
  std::vector<Regex> out;
  for (const std::string& pattern : patterns) {
    auto regex = Regex::compile(pattern);
    EXPECT_TRUE(regex) << pattern;
    if (regex) out.push_back(std::move(*regex));
  }
  return out;
}

std::vector<const Regex*> pointers(const std::vector<Regex>& regexes) {
  std::vector<const Regex*> out;
  for (const Regex& regex : regexes) out.push_back(&regex);
  return out;
}

#ifdef POSTERN_HAVE_HS

TEST(PatternSet, RulesOutAndMerges) {
  const auto regexes = compiled({"(?i)casino", "(a+)+$", "winner$", "x{2,3}y"});
  const auto set = PatternSet::build(pointers(regexes));
  ASSERT_NE(set, nullptr);
  EXPECT_EQ(set->taken(), 3u);
  Candidates found = set->scan("visit the CASINO");
  EXPECT_TRUE(found.has(0));
  EXPECT_TRUE(found.has(1)) << "not taken, so always a candidate";
  EXPECT_FALSE(found.has(2));
  EXPECT_FALSE(found.has(3));
  found.merge(set->scan("axxyb"));
  EXPECT_TRUE(found.has(0));
  EXPECT_FALSE(found.has(2));
  EXPECT_TRUE(found.has(3));
  EXPECT_FALSE(set->scan("").has(2));
  EXPECT_FALSE(set->scan("caf\xC3\xA9").has(2));
  EXPECT_TRUE(set->scan("caf\xC3\xA9 casino").has(0));
  EXPECT_TRUE(set->scan("\xE2\x84\xAA").has(2)) << "folds to k: left to PCRE2";
  EXPECT_TRUE(set->scan("ca\xC5\xBFino").has(0)) << "folds to s: left to PCRE2";
  found.merge(set->scan("\xFF"));
  EXPECT_TRUE(found.has(2));
}

TEST(PatternSet, HoldsManyPatterns) {
  std::vector<std::string> patterns;
  for (int i = 0; i < 300; ++i) patterns.push_back("(?i)\\bcampaign-" + std::to_string(1000 + i) + "\\b");
  const auto regexes = compiled(patterns);
  const auto set = PatternSet::build(pointers(regexes));
  ASSERT_NE(set, nullptr);
  const Candidates found = set->scan("the Campaign-1234 ended");
  for (size_t i = 0; i < patterns.size(); ++i) EXPECT_EQ(found.has(i), i == 234) << i;
}

TEST(PatternSet, NothingToTakeIsNoSet) {
  const auto regexes = compiled({"(a+)+$", "\\p{Greek}"});
  EXPECT_EQ(PatternSet::build(pointers(regexes)), nullptr);
  EXPECT_EQ(PatternSet::build({}), nullptr);
}

// Grammar writes patterns of the kind can_prefilter takes, over a small alphabet so that matches happen.
class Grammar {
 public:
  explicit Grammar(uint32_t seed) : random_(seed) {}

  std::string pattern() {
    constexpr std::array<const char*, 6> kFlags = {"", "", "(?i)", "(?s)", "(?m)", "(?im)"};
    return kFlags[below(kFlags.size())] + alternatives(0);
  }

  std::string subject() {
    constexpr std::string_view kAlphabet = "aabbcckKsSxX01289 \t\n\r\v\f.-_@\x7F";
    constexpr std::array<const char*, 12> kOthers = {
        "\xC3\xA9",         "\xC3\x85",     "\xC2\xA0", "\xC2\x85", "\xE2\x80\xA8", "\xE4\xB8\xAD",
        "\xF0\x9F\x98\x80", "\xE2\x84\xAA", "\xC5\xBF", "\xFF",     "\xC3",         "\xCC\x81"};
    std::string out;
    const bool ascii = below(2) == 0;
    for (size_t left = below(40); left > 0; --left) {
      if (!ascii && below(12) == 0) {
        out += kOthers[below(below(8) == 0 ? kOthers.size() : 7)];
      } else {
        out += kAlphabet[below(kAlphabet.size())];
      }
    }
    if (below(50) == 0) out += '\0';
    return out;
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }

  std::string alternatives(int depth) {
    std::string out = sequence(depth);
    while (below(5) == 0) out += "|" + sequence(depth);
    return out;
  }

  std::string sequence(int depth) {
    std::string out;
    for (size_t left = 1 + below(4); left > 0; --left) out += item(depth);
    return out;
  }

  std::string item(int depth) {
    constexpr std::array<const char*, 9> kZeroWidth = {"^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z", "\\b", "^"};
    if (below(8) == 0) return kZeroWidth[below(kZeroWidth.size())];
    const bool group = depth < 3 && below(5) == 0;
    std::string out = group ? (below(2) == 0   ? "("
                               : below(2) == 0 ? "(?:"
                                               : "(?i:") +
                                  alternatives(depth + 1) + ")"
                            : atom();
    constexpr std::array<const char*, 12> kRepeats = {"",  "",    "",      "",       "*",    "+",
                                                      "?", "{2}", "{1,3}", "{0,2}?", "{2,}", "+?"};
    return out + kRepeats[below(kRepeats.size())];
  }

  std::string atom() {
    constexpr std::array<const char*, 26> kAtoms = {
        "a",   "b",    "c",    "k",        "S",        "x",      "0",    ".", "\\d", "\\D", "\\w", "\\W",   "\\s",
        "\\S", "[ab]", "[^a]", "[a-c0-9]", "[\\s\\-]", "[^\\w]", "[]x]", "-", "\\.", "\\n", " ",   "[k-s]", "[\\D]"};
    return kAtoms[below(kAtoms.size())];
  }

  std::mt19937 random_;
};

TEST(PatternSet, NeverRulesOutWhatMatches) {
  Grammar grammar(4711);
  size_t taken = 0;
  size_t matches = 0;
  size_t ruled_out = 0;
  for (int round = 0; round < 30; ++round) {
    std::vector<Regex> regexes;
    while (regexes.size() < 12) {
      const std::string pattern = grammar.pattern();
      if (!can_prefilter(pattern)) continue;
      if (auto regex = Regex::compile(pattern)) regexes.push_back(std::move(*regex));
    }
    const auto set = PatternSet::build(pointers(regexes));
    if (set == nullptr) continue;
    taken += set->taken();
    for (int i = 0; i < 200; ++i) {
      const std::string subject = grammar.subject();
      const Candidates found = set->scan(subject);
      for (size_t j = 0; j < regexes.size(); ++j) {
        const bool match = regexes[j].search(subject) == Verdict::yes;
        matches += match ? 1 : 0;
        ruled_out += found.has(j) ? 0 : 1;
        ASSERT_TRUE(found.has(j) || !match) << regexes[j].pattern() << " on " << testing::PrintToString(subject);
      }
    }
  }
  EXPECT_GT(taken, 250u);
  EXPECT_GT(matches, 5'000u);
  EXPECT_GT(ruled_out, 5'000u);
}

#else

TEST(PatternSet, WithoutLibraryThereIsNoSet) {
  const auto regexes = compiled({"a", "b"});
  EXPECT_EQ(PatternSet::build(pointers(regexes)), nullptr);
}

#endif

}  // namespace
}  // namespace postern::match

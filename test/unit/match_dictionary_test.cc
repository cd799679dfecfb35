// SPDX-License-Identifier: Apache-2.0
// Dictionaries: what an entry finds, how hits become a score, and that the prefilter over all entries leaves every one
// that has a hit, in any script and case.
#include "engine/match/dictionary.h"

#include <gtest/gtest.h>

#include <random>

namespace postern::match {
namespace {

using Kind = DictionaryEntry::Kind;

DictionaryEntry entry(std::string text, Kind kind = Kind::plain, uint32_t weight = 1, bool whole = false,
                      bool sensitive = false) {
  DictionaryEntry out;
  out.kind = kind;
  out.text = std::move(text);
  out.weight = weight;
  out.whole_words = whole;
  out.case_sensitive = sensitive;
  const auto compiled = out.compile();
  EXPECT_TRUE(compiled) << out.text << ": " << (compiled ? "" : compiled.error().text());
  return out;
}

uint32_t hits(const DictionaryEntry& entry, std::string_view text) {
  uint32_t found = 0;
  EXPECT_NE(entry.count(text, 1000, found, nullptr), Verdict::limit) << entry.text;
  return found;
}

TEST(DictionaryEntry, PlainTextIsText) {
  EXPECT_EQ(hits(entry("a.b*c"), "a.b*c axbxc A.B*C"), 2u);
  EXPECT_EQ(hits(entry("a.b*c", Kind::plain, 1, false, true), "a.b*c A.B*C"), 1u);
  EXPECT_EQ(hits(entry("project x"), "project x, Project\r\n  X, project\xC2\xA0x, projectx"), 3u);
  EXPECT_EQ(hits(entry("stra\xC3\x9F"
                       "e"),
                 "STRA\xC3\x9F"
                 "E"),
            1u);
  EXPECT_EQ(hits(entry("\xD1\x82\xD0\xB0\xD0\xB9\xD0\xBD\xD0\xB0"), "\xD0\xA2\xD0\x90\xD0\x99\xD0\x9D\xD0\x90"), 1u);
  EXPECT_EQ(hits(entry("\\Q[x]\\E"), "\\Q[x]\\E"), 1u);
  EXPECT_EQ(hits(entry("#1 offer"), "the #1 offer"), 1u);
}

TEST(DictionaryEntry, WholeWords) {
  const auto word = entry("cash", Kind::plain, 1, true);
  EXPECT_EQ(hits(word, "cash, CASH! cashier ecash cash_flow \"cash\""), 3u);
  EXPECT_EQ(hits(entry("\xC3\xBC"
                       "ber",
                       Kind::plain, 1, true),
                 "\xC3\xBC"
                 "ber \xC3\xBC"
                 "bers gegen\xC3\xBC"
                 "ber"),
            1u)
      << "letters are letters in every script";
  EXPECT_EQ(hits(entry("$100", Kind::plain, 1, true), "US$100 $1000"), 1u) << "only a word has an edge";
  EXPECT_EQ(hits(entry("c[ao]sh|coin", Kind::regex, 1, true), "cosh coins coin"), 2u);
}

TEST(DictionaryEntry, RefusesWhatCannotBeUsed) {
  struct {
    Kind kind;
    const char* text;
    const char* says;
    size_t offset;
  } const cases[] = {
      {Kind::regex, "a(b", "missing closing parenthesis", 3},
      {Kind::regex, "x*", "matches the empty text", 0},
      {Kind::regex, ".*", "matches the empty text", 0},
      {Kind::smart, "visa", "unknown smart identifier '*visa'", 0},
      {Kind::plain, "  ", "empty", 0},
      {Kind::plain, "\xFF", "not valid UTF-8", 0},
  };
  for (const auto& each : cases) {
    DictionaryEntry out;
    out.kind = each.kind;
    out.text = each.text;
    size_t offset = 99;
    const auto compiled = out.compile(&offset);
    ASSERT_FALSE(compiled) << each.text;
    EXPECT_NE(compiled.error().text().find(each.says), std::string::npos) << compiled.error().text();
    EXPECT_EQ(offset, each.offset) << each.text;
  }
}

Dictionary sample() {
  std::vector<DictionaryEntry> entries;
  entries.push_back(entry("secret", Kind::plain, 2));
  entries.push_back(entry("budget"));
  entries.push_back(entry("gr(?:a|e)y", Kind::regex, 5));
  entries.push_back(entry("credit", Kind::smart, 10));
  entries.push_back(entry("ignored", Kind::plain, 0));
  return {"sample", std::move(entries)};
}

TEST(Dictionary, ScoreIsHitsTimesWeight) {
  const Dictionary words = sample();
  const auto points = [&](std::string_view text) { return words.score(text, {}, 0, 1'000'000).points; };
  EXPECT_EQ(points("nothing"), 0u);
  EXPECT_EQ(points("secret SECRET budget"), 5u);
  EXPECT_EQ(points("gray grey budget ignored"), 11u);
  EXPECT_EQ(points("4111 1111 1111 1111"), 10u);
  EXPECT_EQ(words.score("a secret is a secret", {}, 0, 2).first, "secret");
  EXPECT_GE(words.score("secret secret secret", {}, 0, 4).points, 4u);
}

TEST(Dictionary, EndsAtTheFirstLimit) {
  std::vector<DictionaryEntry> entries;
  for (int i = 0; i < 100; ++i) entries.push_back(entry("(a|aa|" + std::to_string(i) + ")+$", Kind::regex));
  const Dictionary poison("poison", std::move(entries));
  const std::string text = std::string(64 << 10, 'a') + "b";
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  const Score score = poison.score(text, {}, 0, 1);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  EXPECT_TRUE(score.limited);
  const double ms = static_cast<double>(after.tv_sec - before.tv_sec) * 1e3 +
                    static_cast<double>(after.tv_nsec - before.tv_nsec) / 1e6;
  std::printf("100 poison entries against 64 KiB: %.1f ms CPU\n", ms);
  EXPECT_LT(ms, 5000) << "only against hangs";
}

// Scores with the prefilter equal those without.
void compare(const Dictionary& words, const std::vector<std::string>& texts) {
  std::vector<std::string> screens;
  for (const DictionaryEntry& each : words.entries()) screens.push_back(each.screen());
  const auto set = PatternSet::build_screens(screens);
#ifdef POSTERN_HAVE_HS
  ASSERT_NE(set, nullptr);
#else
  if (set == nullptr) return;
#endif
  for (const std::string& text : texts) {
    const Candidates found = set->scan(text);
    EXPECT_EQ(words.score(text, found, 0, UINT32_MAX).points, words.score(text, {}, 0, UINT32_MAX).points) << text;
  }
}

TEST(Dictionary, PrefilterChangesNoScore) {
  compare(sample(), {"secret",
                     "SE\xC5\xBF"
                     "CRET",
                     "gr\xC3\xA9y grey", "4111-1111-1111-1111", "", "\xFF secret", "4111 1111\r\n1111 1111"});
  // Letters whose case has more than two forms, in several scripts.
  const std::vector<std::string> words = {
      "stra\xC3\x9F"
      "e",
      "\xCF\x83\xCE\xAF\xCF\x83\xCF\x85\xCF\x86\xCE\xBF\xCF\x82",
      "\xC3\xA5ngstr\xC3\xB6m",
      "\xD1\x82\xD0\xB0\xD0\xB9\xD0\xBD\xD0\xB0",
      "kilo",
      "\xE2\x84\xAA",
      "\xC2\xB5g",
      "\xCF\x89",
      "\xE6\xA9\x9F\xE5\xAF\x86",
      "fi\xC5\x82tr",
      "\xC4\xB0zmir",
      "\xEF\xBD\x81\xEF\xBD\x82",
      "project x",
      "\xC7\x86",
      "\xE1\xBA\x9E"};
  std::vector<DictionaryEntry> entries;
  for (const std::string& word : words) {
    entries.push_back(entry(word));
    entries.push_back(entry(word, Kind::plain, 1, true));
    entries.push_back(entry(word, Kind::plain, 1, false, true));
  }
  const Dictionary all("all", std::move(entries));
  std::vector<std::string> texts = {
      "STRA\xC3\x9F"
      "E STRA\xE1\xBA\x9E"
      "E",
      "\xCE\xA3\xCE\x8A\xCE\xA3\xCE\xA5\xCE\xA6\xCE\x9F\xCE\xA3",
      "\xE2\x84\xABngstr\xC3\x96m",
      "\xD0\xA2\xD0\x90\xD0\x99\xD0\x9D\xD0\x90 \xE1\xB2\x83",
      "KILO \xE2\x84\xAAILO",
      "\xCE\xBCg \xC2\xB5G \xCE\x9CG",
      "\xE2\x84\xA6 \xCE\xA9",
      "\xE6\xA9\x9F\xE5\xAF\x86\xE3\x81\xA7\xE3\x81\x99",
      "FI\xC5\x81TR",
      "\xC4\xB0ZMIR izmir",
      "\xEF\xBC\xA1\xEF\xBC\xA2",
      "Project\n\n \t X",
      "\xC7\x84 \xC7\x85"};
  for (const std::string& word : words) texts.push_back("x " + word + " y");
  const size_t written = texts.size();
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (int k = 0; k < 6; ++k) text += texts[random() % written] + (random() % 2 == 0 ? " " : "");
    if (random() % 4 == 0) text.erase(random() % text.size(), 1);
    texts.push_back(text);
  }
  compare(all, texts);
}

TEST(Candidates, EachVisitsWhatIsSet) {
  std::vector<std::string> screens(200, "never");
  screens[3] = screens[64] = screens[127] = screens[199] = "there";
  screens[130] = "";
  const auto set = PatternSet::build_screens(screens);
#ifndef POSTERN_HAVE_HS
  if (set == nullptr) return;
#endif
  ASSERT_NE(set, nullptr);
  EXPECT_EQ(set->taken(), 199u);
  const Candidates found = set->scan("is there");
  std::vector<size_t> seen;
  const auto visit = [&](size_t i) {
    seen.push_back(i);
    return true;
  };
  found.each(3, 197, visit);
  EXPECT_EQ(seen, (std::vector<size_t>{0, 61, 124, 127, 196}));
  seen.clear();
  found.each(65, 60, visit);
  EXPECT_TRUE(seen.empty());
  Candidates().each(70, 3, visit);
  EXPECT_EQ(seen, (std::vector<size_t>{0, 1, 2}));
}

}  // namespace
}  // namespace postern::match

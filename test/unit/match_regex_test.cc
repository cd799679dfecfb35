// SPDX-License-Identifier: Apache-2.0
// Regex: answers by table, limits that hold, patterns that are refused, and a comparison with PCRE2 called plainly, so
// that searching by windows can never change an answer.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <gtest/gtest.h>
#include <pcre2.h>
#include <time.h>

#include <random>
#include <thread>

#include "engine/match/regex.h"

namespace postern::match {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Regex compiled(std::string_view pattern) {
  auto regex = Regex::compile(pattern);
  EXPECT_TRUE(regex) << pattern << ": " << regex.error().text();
  return std::move(*regex);
}

TEST(Regex, Searches) {
  struct Case {
    std::string_view pattern;
    std::string_view subject;
    Verdict verdict;
    std::string_view matched;
  };
  constexpr Case kCases[] = {
      {"b+", "abbbc", Verdict::yes, "bbb"},
      {"^b", "abc", Verdict::no, ""},
      {"", "", Verdict::yes, ""},
      {"", "abc", Verdict::yes, ""},
      {"^$", "", Verdict::yes, ""},
      {"^$", "a", Verdict::no, ""},
      {".", "", Verdict::no, ""},
      {"Offer", "an offer", Verdict::no, ""},
      {"(?i)Offer", "an oFFeR", Verdict::yes, "oFFeR"},
      {R"(\.exe$)", "a.exe", Verdict::yes, ".exe"},
      {R"(\.exe$)", "a_exe", Verdict::no, ""},
      {"(?i)ärger", "großer ÄRGER", Verdict::yes, "ÄRGER"},
      {"^a.b$", "aäb", Verdict::yes, "aäb"},
      {"[ä-ö]", "xö", Verdict::yes, "ö"},
      // Invalid UTF-8 in the subject is stepped over; what is valid round it still matches.
      {"b", "\xff\xfe b", Verdict::yes, "b"},
      {"é", "\xe3\xc3\xa9", Verdict::yes, "é"},
      {"a.b",
       "a\xff"
       "b",
       Verdict::no, ""},
      {".*ab", "\xff xab", Verdict::yes, " xab"},
      {"end$", "\x80\x80 end", Verdict::yes, "end"},
      {std::string_view("a\0b", 3), std::string_view("xa\0bx", 5), Verdict::yes, std::string_view("a\0b", 3)},
      {R"((?<=x)y)", "xy", Verdict::yes, "y"},
      {R"(a\Kb)", "ab", Verdict::yes, "b"},
  };
  for (const Case& c : kCases) {
    auto regex = Regex::compile(c.pattern);
    ASSERT_TRUE(regex) << c.pattern;
    for (const size_t padding : {size_t{0}, size_t{4000}}) {
      // A second round with a long line in front of the subject goes by windows; `^` and `$` then mean each line.
      const bool multi_line = padding != 0;
      const std::string subject = std::string(padding, '-') + (padding != 0 ? "\n" : "") + std::string(c.subject);
      const bool sees_padding = c.matched.empty() || c.pattern == ".";
      if (multi_line && sees_padding) continue;
      const Regex used = multi_line ? compiled("(?m)" + std::string(c.pattern)) : compiled(c.pattern);
      std::string_view matched = "?";
      EXPECT_EQ(used.search(subject, &matched), c.verdict) << c.pattern << " on " << c.subject << " +" << padding;
      if (c.verdict == Verdict::yes) {
        EXPECT_EQ(matched, c.matched) << c.pattern;
      }
    }
  }
}

TEST(Regex, NullViewIsAnEmptySubject) {
  EXPECT_EQ(compiled("^$").search(std::string_view()), Verdict::yes);
  EXPECT_EQ(compiled("").search(std::string_view()), Verdict::yes);
  EXPECT_EQ(compiled(std::string_view()).search("x"), Verdict::yes);
}

TEST(Regex, RefusesAndSaysWhere) {
  struct Case {
    std::string pattern;
    size_t offset;
    std::string_view says;
  };
  const Case cases[] = {
      {"a(b", 3, "missing closing parenthesis"},
      {"a)b", 1, "unmatched closing parenthesis"},
      {"x*+*", 3, "quantifier does not follow"},
      {"[z-a]", 3, "range out of order"},
      {R"(ab\C)", 4, "\\C"},
      {R"(ab\G)", 2, "\\G is not supported"},
      {"ab(?C1)", 7, "callouts"},
      {"(?C'x')a", 8, "callouts"},
      {"a(*COMMIT)b", 1, "COMMIT is not supported"},
      {"aa(*SKIP:x)b", 2, "SKIP is not supported"},
      {"(*NO_JIT)a", 0, "NO_JIT is not supported"},
      {"(?<a>x)(?<a>y)", 12, "same name"},
      {"\xff", 0, "UTF-8"},
      {std::string(40'000, 'a'), 32768, "longer than 32768"},
      {std::string(251, '(') + std::string(251, ')'), 251, "too deeply nested"},
  };
  for (const Case& c : cases) {
    size_t offset = 999'999;
    auto regex = Regex::compile(c.pattern, &offset);
    ASSERT_FALSE(regex) << c.pattern;
    EXPECT_EQ(regex.error().cause(), base::Cause::malformed);
    EXPECT_NE(regex.error().text().find(c.says), std::string::npos) << regex.error().text();
    EXPECT_NEAR(static_cast<double>(offset), static_cast<double>(c.offset), 1) << c.pattern.substr(0, 40);
  }
  // The same letters where they mean themselves.
  for (const std::string_view pattern : {R"(\Qa\G(*SKIP)\E)", "[(*SKIP)]", R"(\\G)", R"(\(*COMMIT\))", "[]\\G(]|x"}) {
    const bool class_escape = pattern.starts_with("[]");
    EXPECT_EQ(Regex::compile(pattern).has_value(), !class_escape) << pattern;
  }
  EXPECT_TRUE(Regex::compile(std::string(250, '(') + std::string(250, ')')));
}

TEST(Regex, CatastrophicPatternsEndSoon) {
  const std::string_view patterns[] = {"(a+)+$",
                                       "(a|aa)+$",
                                       "(a|a)*b$",
                                       "a*a*a*a*[xy]",
                                       "(?:a|b)*[yz]",
                                       "(?s).*.*.*[yz]",
                                       "(a*)*[yz]",
                                       "a{1,60000}[xy]",
                                       "(?=a*[yz])a",
                                       "(.+)\\1[xyz]",
                                       "(?:a?){30}a{30}[xy]",
                                       "(?:(?=a*[yz])?a)*[xy]",
                                       "^(([a-z])+.)+[A-Z]([a-z])+$",
                                       "(?R)?a[xy]",
                                       "(\\w+\\s?)*$!"};
  const std::string subject = std::string(64u << 10, 'a') + "b";
  for (const std::string_view pattern : patterns) {
    const Regex regex = compiled(pattern);
    const double before = cpu_seconds();
    const Verdict verdict = regex.search(subject);
    const double spent = cpu_seconds() - before;
    EXPECT_NE(verdict, Verdict::yes) << pattern;
    // Generous: a search may use 20 ms + 20 ns/byte twice (see Stopwatch) and overrun by one window.
    EXPECT_LT(spent, 1.0) << pattern;
    RecordProperty(std::string(pattern), std::to_string(spent));
  }
  const Regex worst = compiled("(a+)+$");
  const double before = cpu_seconds();
  EXPECT_EQ(worst.search(subject), Verdict::limit);
  EXPECT_LT(cpu_seconds() - before, 1.0);
  // The next subject is answered as ever: a limit belongs to one search.
  EXPECT_EQ(worst.search("aaa"), Verdict::yes);
  EXPECT_EQ(worst.search("b"), Verdict::no);
}

TEST(Regex, PatternCannotRaiseLimits) {
  const std::string subject = std::string(64u << 10, 'a') + "b";
  for (const std::string_view pattern :
       {"(*LIMIT_MATCH=4000000000)(a+)+$", "(*LIMIT_DEPTH=4000000000)(a+)+$", "(*LIMIT_HEAP=4000000)(a+)+$"}) {
    EXPECT_EQ(compiled(pattern).search(subject), Verdict::limit) << pattern;
  }
  EXPECT_EQ(compiled("(*LIMIT_MATCH=1)(?:a|b)*?c").search("ababababababc"), Verdict::limit);
}

TEST(Regex, LimitsCanBeSet) {
  const Regex regex = compiled("(?:a|b)+[cd]");
  const std::string subject(400, 'a');
  set_regex_limits({.match = 10});
  EXPECT_EQ(regex.search(subject), Verdict::limit);
  // Other threads follow too.
  Verdict other = Verdict::yes;
  std::thread([&] { other = regex.search(subject); }).join();
  EXPECT_EQ(other, Verdict::limit);
  set_regex_limits({});
  EXPECT_EQ(regex.search(subject), Verdict::no);
}

TEST(Regex, ThousandSearchesFromManyThreads) {
  const Regex regex = compiled("(?i)needle-[0-9]+");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) {
        const std::string subject = "hay " + std::string(static_cast<size_t>(i), 'x') + " NEEDLE-" + std::to_string(t);
        std::string_view matched;
        if (regex.search(subject, &matched) != Verdict::yes || matched != "NEEDLE-" + std::to_string(t)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(Regex, Counts) {
  struct Case {
    std::string_view pattern;
    std::string_view subject;
    uint32_t enough;
    uint32_t found;
    Verdict verdict;
    std::string_view first;
  };
  constexpr Case kCases[] = {
      {"a", "banana", 3, 3, Verdict::yes, "a"}, {"a", "banana", 4, 3, Verdict::no, "a"},
      {"a", "banana", 2, 2, Verdict::yes, "a"}, {"ana", "banana", 2, 1, Verdict::no, "ana"},
      {"", "äöü", 9, 4, Verdict::no, ""},       {"x*", "axxb", 9, 4, Verdict::no, ""},
      {"^a", "aaa", 2, 1, Verdict::no, "a"},    {"z", "aaa", 1, 0, Verdict::no, "-"},
      {R"(a\K)", "aaa", 9, 3, Verdict::no, ""}, {R"((?=a))", "aaa", 9, 3, Verdict::no, ""},
      {"a", "banana", 0, 0, Verdict::yes, "-"}, {R"((?<=a)b)", "abab", 9, 2, Verdict::no, "b"},
  };
  for (const Case& c : kCases) {
    uint32_t found = 99;
    std::string_view first = "-";
    EXPECT_EQ(compiled(c.pattern).count(c.subject, c.enough, found, &first), c.verdict) << c.pattern;
    EXPECT_EQ(found, c.found) << c.pattern << " in " << c.subject;
    EXPECT_EQ(first, c.first) << c.pattern;
  }
  uint32_t found = 0;
  EXPECT_EQ(compiled("(a+)+$").count(std::string(50'000, 'a') + "b", 3, found), Verdict::limit);
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += "word ";
  EXPECT_EQ(compiled("w[a-z]+").count(many, 1'000'000, found), Verdict::no);
  EXPECT_EQ(found, 20'000u);
}

TEST(Regex, Replaces) {
  struct Case {
    std::string_view pattern;
    std::string_view subject;
    std::string_view replacement;
    std::string_view result;
  };
  constexpr Case kCases[] = {
      {"a", "banana", "o", "bonono"},
      {"a", "banana", "", "bnn"},
      {"x", "banana", "o", "banana"},
      {"(b)(a)", "banana", "$2$1", "abnana"},
      {"(?<first>b)", "banana", "${first}${1}$0", "bbbanana"},
      {"(b)", "b", "${1}0", "b0"},
      {"b", "b", "$$1 $ $x a$", "$1 $ $x a$"},
      {"(x)?b", "b", "[$1]", "[]"},
      {"", "aö", "-", "-a-ö-"},
      {"x*", "axxb", "-", "-a--b-"},
      {"^", "abc", ">", ">abc"},
      {"$", "abc", "<", "abc<"},
      {R"((?i)^(\[ext\]\s*)+)", "[EXT] [ext] hi", "[EXT] ", "[EXT] hi"},
      {R"(a\Kb)", "abab", "x", "axax"},
      {R"((?=b))", "abab", "-", "a-ba-b"},
      {R"(\d+)",
       "a\xff"
       "1\xff"
       "22",
       "#",
       "a\xff"
       "#\xff"
       "#"},
      {"^\\s*", "", "x", "x"},
  };
  for (const Case& c : kCases) {
    auto result = compiled(c.pattern).replace_all(c.subject, c.replacement, 1000);
    ASSERT_TRUE(result) << c.pattern << ": " << result.error().text();
    EXPECT_EQ(*result, c.result) << c.pattern << " in " << c.subject;
  }
}

TEST(Regex, ReplaceRefuses) {
  const Regex regex = compiled("(?<name>a)(b)");
  for (const std::string_view replacement : {"$3", "${3}", "${nam}", "${}", "${name", "$99999999999999999999"}) {
    EXPECT_FALSE(regex.check_replacement(replacement)) << replacement;
    auto result = regex.replace_all("zz", replacement, 100);
    ASSERT_FALSE(result) << replacement;
    EXPECT_EQ(result.error().cause(), base::Cause::malformed);
  }
  EXPECT_TRUE(regex.check_replacement("$0 $1 $2 ${name} $$"));
  EXPECT_EQ(regex.replace_all(std::string(200, 'x'), "", 100).error().cause(), base::Cause::limit);
  EXPECT_EQ(compiled("a").replace_all(std::string(50, 'a'), "xxxx", 100).error().cause(), base::Cause::limit);
  EXPECT_EQ(compiled("(a+)+$").replace_all(std::string(50'000, 'a') + "b", "", 1 << 20).error().cause(),
            base::Cause::limit);
}

TEST(Regex, SaysWhatIsALiteral) {
  EXPECT_EQ(compiled("plain text, ä/7").literal(), "plain text, ä/7");
  for (const std::string_view pattern : {"", "a.b", "(?i)abc", "a$", "^a", "a|b", R"(a\.)", "[a]", "a{2}", "a+"}) {
    EXPECT_EQ(compiled(pattern).literal(), "") << pattern;
  }
}

// The oracle: the same pattern by one plain pcre2_match call: no JIT, no windows, no limits but PCRE2's own.
std::pair<int, std::string> plain_match(const std::string& pattern, std::string_view subject) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NO_DOTSTAR_ANCHOR, &error, &at, nullptr);
  if (code == nullptr) return {-1000, ""};
  pcre2_match_data* data = pcre2_match_data_create(20, nullptr);
  const int rc = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), 0, 0, data, nullptr);
  std::string matched;
  if (rc >= 0) {
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
    if (offsets[0] <= offsets[1]) matched = subject.substr(offsets[0], offsets[1] - offsets[0]);
  }
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  return {rc, matched};
}

TEST(Regex, AnswersAsPcre2DoesForRandomSubjects) {
  const std::string patterns[] = {"ab+a",        "(?i)ÄB",           "^b",          "a$",           R"(\bab\b)",
                                  "(?m)^a+$",    "(?s)a.{3,40}b.*ä", "(?<=ab)a",    "(a|b)\\1\\1b", ".*ab.*ä",
                                  "(?<!b)ä\\Kb", "[^ab]{3}",         "a(?=b)",      "(?:ab|ba)+ä+", "(?=.*äää)b",
                                  "\\R\\Rb",     "(?i)[ÄÖ]{2}a",     "ä?a?b?\n\n\n"};
  std::mt19937 random(20260901);
  const std::string_view alphabet[] = {"a", "b", "\n", " ", "ä", "Ä", "\xff", "\x80", "\xc3", "\xe2\x82", "ab", "\r\n"};
  for (int round = 0; round < 300; ++round) {
    std::string subject;
    const size_t length = round % 3 == 0 ? random() % 60 : 513 + random() % 3000;
    // Letters thin out in some rounds, so that matches are far apart and many windows see none.
    const size_t letters = 2 + random() % (std::size(alphabet) - 1);
    while (subject.size() < length) subject += alphabet[random() % letters];
    const std::string exact(subject.data(), subject.size());
    for (const std::string& pattern : patterns) {
      const auto [rc, expected] = plain_match(pattern, exact);
      ASSERT_NE(rc, -1000) << pattern;
      std::string_view matched;
      const Verdict verdict = compiled(pattern).search(exact, &matched);
      if (verdict == Verdict::limit) continue;
      ASSERT_EQ(verdict == Verdict::yes, rc >= 0) << pattern << " round " << round;
      if (rc >= 0) {
        ASSERT_EQ(matched, expected) << pattern << " round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace postern::match

// SPDX-License-Identifier: Apache-2.0
// Content rules over a folder of sample mails, for checkouts that have one beside them: every filter, dictionary score
// and threshold comes to the same with and without the prefilter.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/match/smart_id.h"
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

// A rule set whose filters look for words, patterns and smart identifiers in every way a filter can.
std::string rule_file(const std::vector<std::string>& words) {
  std::string out = "filters:\n";
  int number = 0;
  const auto add = [&](const std::string& condition) {
    out += filter("f" + std::to_string(number++), condition, {"no-op"});
  };
  for (const match::SmartIdRow& row : match::smart_id_table()) {
    add("body-contains(\"*" + std::string(row.name) + "\")");
    add("attachment-contains(\"*" + std::string(row.name) + "\", 2)");
  }
  for (const std::string& word : words) {
    add("body-contains(\"(?i)\\b" + word + "\\b\", 2)");
    add("header(\"Subject\") == \"(?i)" + word + "\"");
    add("only-body-contains(\"" + word + "\")");
  }
  for (const char* pattern : {R"(https?:\/\/[^\s>]{20,})", R"(\d{2}\.\d{2}\.\d{4})", R"((?i)[a-z]+@[a-z]+\.[a-z]{2,})",
                              R"(^From)", R"(\p{Cyrillic}{3,})", R"((?i)straße|größe)", R"(.)"}) {
    add(std::string("body-contains(\"") + pattern + "\", 3)");
  }
  for (const int score : {1, 5, 50, 500}) {
    add("dictionary-match(\"words\", " + std::to_string(score) + ")");
    add("body-dictionary-match(\"words\", " + std::to_string(score) + ")");
    add("attachment-dictionary-match(\"words\", " + std::to_string(score) + ")");
  }
  add("subject-dictionary-match(\"words\")");
  add("header-dictionary-match(\"words\", \"Received\")");
  return out;
}

std::shared_ptr<const match::Dictionary> words_dictionary(const std::vector<std::string>& words) {
  std::vector<match::DictionaryEntry> entries;
  for (size_t i = 0; i < words.size(); ++i) {
    match::DictionaryEntry entry;
    entry.text = words[i];
    entry.weight = static_cast<uint32_t>(i % 3 + 1);
    entry.whole_words = i % 2 == 0;
    entry.case_sensitive = i % 5 == 0;
    EXPECT_TRUE(entry.compile());
    entries.push_back(std::move(entry));
  }
  return std::make_shared<const match::Dictionary>("words", std::move(entries));
}

TEST(RulesCorpus, PrefilterChangesNothing) {
  const std::vector<std::string> words = {"the",      "invoice", "message", "Project", "und",   "test",
                                          "secret",   "free",    "click",   "content", "MIME",  "hello",
                                          "é",        "größe",   "привет",  "price",   "zwei",  "account",
                                          "password", "x",       "postern", "please",  "order", "wrote"};
  LoadContext context = default_context();
  context.dictionaries.push_back(words_dictionary(words));
  const std::string text = rule_file(words);
  const auto plain = load(text, context);
  const auto prepared = load(text, context);
  ASSERT_TRUE(plain != nullptr && prepared != nullptr);
  prepared->prepare();
  EXPECT_EQ(plain->prefilter(), nullptr);
  // Whether a search ends at a limit may depend on how busy the machine is; here none shall.
  match::set_regex_limits({.match = 10'000'000, .milliseconds = 60'000});
  size_t files = 0;
  size_t hits = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(POSTERN_CORPUS)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".eml" || entry.file_size() > (256u << 10)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string file(std::istreambuf_iterator<char>(in), {});
    Mail first(file);
    Mail second(file);
    const Outcome without = run(*plain, first);
    const Outcome with = run(*prepared, second);
    ASSERT_EQ(without.reports.size(), with.reports.size()) << entry.path();
    for (size_t i = 0; i < with.reports.size(); ++i) {
      ASSERT_EQ(truth_text(with.reports[i].result), truth_text(without.reports[i].result))
          << entry.path() << " " << with.reports[i].filter->name;
      hits += with.reports[i].result.is_yes() ? 1 : 0;
    }
    ++files;
  }
  match::set_regex_limits({});
  std::printf("%zu mails, %zu filters each, %zu hits, the same with and without the prefilter\n", files,
              plain->filters().size(), hits);
  EXPECT_GT(files, 50u);
  EXPECT_GT(hits, files);
}

}  // namespace
}  // namespace postern::rules::test

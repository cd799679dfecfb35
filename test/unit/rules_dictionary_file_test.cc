// SPDX-License-Identifier: Apache-2.0
// Dictionary files: what their lines mean, in every declared charset, and what is said about those that are wrong.
#include "rules/dictionary_file.h"

#include <gtest/gtest.h>

namespace postern::rules::test {
namespace {

using match::DictionaryEntry;

struct Loaded {
  std::shared_ptr<const match::Dictionary> dictionary;
  std::string diagnostics;
};

Loaded load(const std::string& name, const std::string& text) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  Loaded out;
  out.dictionary = load_dictionary(sources, sources.add_text(name, text), diagnostics);
  out.diagnostics = diagnostics.render();
  return out;
}

std::string entries(const Loaded& loaded) {
  if (loaded.dictionary == nullptr) return loaded.diagnostics;
  std::string out;
  for (const DictionaryEntry& each : loaded.dictionary->entries()) {
    constexpr std::string_view kKinds[] = {"", "/", "*"};
    out += std::string(kKinds[static_cast<size_t>(each.kind)]) + each.text + ":" + std::to_string(each.weight) +
           (each.whole_words ? "w" : "") + (each.case_sensitive ? "c" : "") + "\n";
  }
  return out;
}

TEST(DictionaryFile, TextLines) {
  const Loaded loaded =
      load("x/words.txt",
           "# comment\r\n\r\n%whole-words\n%case-sensitive false\n  secret \nbudget,5\nplan\t7\nSmith, John\n"
           "Boeing, 747,1\n/gr[ae]y/,2\n/x,3/\n*credit,10\n\\#1\n\\*credit\n\\%whole-words\n\\/etc/\n[#]\nzero,0\n");
  EXPECT_EQ(entries(loaded),
            "secret:1w\nbudget:5w\nplan:7w\nSmith, John:1w\nBoeing, 747:1w\n/gr[ae]y:2w\n/x,3:1w\n*credit:10w\n#1:1w\n"
            "*credit:1w\n%whole-words:1w\n/etc/:1w\n[#]:1w\nzero:0w\n");
  ASSERT_NE(loaded.dictionary, nullptr);
  EXPECT_EQ(loaded.dictionary->name(), "words");
  EXPECT_EQ(loaded.diagnostics, "");
  EXPECT_EQ(entries(load("a.txt", "%regex\nfoo.bar\n[#]x,4\n*ssn\n")), "/foo.bar:1\n/[#]x:4\n*ssn:1\n");
}

TEST(DictionaryFile, Yaml) {
  EXPECT_EQ(
      entries(load("a.yaml",
                   "whole-words: true\nentries:\n  - secret\n  - {text: project x, weight: 5, case-sensitive: true}\n"
                   "  - {regex: 'acme[- ]?corp', whole-words: false}\n  - {smart: credit, weight: 10}\n  - '*ssn'\n"
                   "  - {text: '*ssn'}\n  - 12\n")),
      "secret:1w\nproject x:5wc\n/acme[- ]?corp:1\n*credit:10w\n*ssn:1w\n*ssn:1w\n12:1w\n");
}

TEST(DictionaryFile, Charsets) {
  const std::string wanted = "M\xC3\xBCller:1\n";
  EXPECT_EQ(entries(load("a.txt", "M\xC3\xBCller\n")), wanted);
  EXPECT_EQ(entries(load("a.txt", "\xEF\xBB\xBFM\xC3\xBCller\n")), wanted);
  EXPECT_EQ(entries(load("a.txt", "# Worte\n%charset iso-8859-1\nM\xFCller\n")), wanted);
  EXPECT_EQ(entries(load("a.txt", "%charset koi8-r\n\xD3\xC5\xCB\xD2\xC5\xD4\n")),
            "\xD1\x81\xD0\xB5\xD0\xBA\xD1\x80\xD0\xB5\xD1\x82:1\n");
  using namespace std::string_literals;
  EXPECT_EQ(entries(load("a.txt", "\xFF\xFEM\0\xFC\0l\0l\0e\0r\0\n\0"s)), wanted);
  EXPECT_EQ(entries(load("a.txt", "M\0\xFC\0l\0l\0e\0r\0\n\0"s)), wanted);
}

TEST(DictionaryFile, SaysWhatIsWrongAndWhere) {
  struct {
    const char* name;
    const char* text;
    std::vector<const char*> says;
  } const cases[] = {
      {"a.txt", "ok\n/a(b/\n", {"a.txt:2:5: error:", "missing closing parenthesis", "^"}},
      {"a.txt", "term,1001\n", {"a.txt:1:6: error: a weight is a number from 0 to 1000", "term,1"}},
      {"a.txt", "%whole-word\n", {"a.txt:1:1: error: unknown setting '%whole-word'", "did you mean 'whole-words'?"}},
      {"a.txt", "x\n%regex\n", {"a.txt:2:1: error: settings stand before the first entry"}},
      {"a.txt", "%regex maybe\n", {"a.txt:1:8: error: '%regex' takes true, false or nothing"}},
      {"a.txt", "*kredit\n", {"a.txt:1:2: error: unknown smart identifier '*kredit'", "did you mean '*credit'?"}},
      {"a.txt", "/.*/\n", {"a.txt:1:2: error: the pattern matches the empty text"}},
      {"a.txt", "good\nM\xFCller\n", {"a.txt:2:2: error: this is not valid UTF-8", "%charset"}},
      {"a.txt", "%charset klingon\n", {"a.txt:1:10: error: unknown charset 'klingon'"}},
      {"a b.txt", "x\n", {"the name of a dictionary's file"}},
      {"a.yaml", "entries:\n  - {regex: 'a(b'}\n", {"a.yaml:2:17: error:", "missing closing parenthesis"}},
      {"a.yaml", "entrys: []\n", {"a.yaml:1:1: error: unknown key 'entrys'", "did you mean 'entries'?"}},
      {"a.yaml", "entries:\n  - {text: a, regex: b}\n", {"an entry is one of 'text', 'regex' and 'smart'"}},
      {"a.yaml", "entries:\n  - {weight: 3}\n", {"has no 'text', 'regex' or 'smart'"}},
      {"a.yaml", "entries:\n  - {text: a, weight: heavy}\n", {"a.yaml:2:23: error: a weight is a number"}},
      {"a.yaml", "whole-words: maybe\n", {"'whole-words' takes true or false"}},
      {"a.yaml", "entries: {a: b}\n", {"'entries' takes a list"}},
      {"a.yaml", "- a\n", {"a dictionary is a map with 'entries'"}},
      {"a.yaml", "entries:\n  - [a]\n", {"an entry is a text, or a map"}},
  };
  for (const auto& each : cases) {
    const Loaded loaded = load(each.name, each.text);
    EXPECT_EQ(loaded.dictionary, nullptr) << each.text;
    for (const char* said : each.says) {
      EXPECT_NE(loaded.diagnostics.find(said), std::string::npos) << "wanted: " << said << "\n" << loaded.diagnostics;
    }
  }
  const Loaded several = load("a.txt", "/a(/\n/b(/\n*x\n");
  EXPECT_NE(several.diagnostics.find("a.txt:3:"), std::string::npos) << "all errors are reported\n"
                                                                     << several.diagnostics;
}

TEST(DictionaryFile, Warns) {
  const Loaded twice = load("a.txt", "one\ntwo\none\n");
  EXPECT_NE(twice.dictionary, nullptr);
  EXPECT_NE(twice.diagnostics.find("a.txt:3:1: warning: 'one' is here twice"), std::string::npos) << twice.diagnostics;
  const Loaded empty = load("a.txt", "# nothing\n");
  EXPECT_NE(empty.dictionary, nullptr);
  EXPECT_NE(empty.diagnostics.find("has no entries"), std::string::npos);
}

}  // namespace
}  // namespace postern::rules::test

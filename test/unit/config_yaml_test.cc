// SPDX-License-Identifier: Apache-2.0
// YAML as Postern reads it: trees in a dump notation, everything that must be refused with its place, and the way from
// each byte of a value back to its place in the file, whatever style it was written in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <random>

#include "engine/base/text.h"
#include "engine/config/yaml.h"

namespace postern::config {
namespace {

std::string dump(const Node& node) {
  switch (node.kind) {
    case NodeKind::null:
      return "null";
    case NodeKind::scalar:
      return (node.quoted ? "'" : "") + base::escape_for_log(node.text) + (node.quoted ? "'" : "");
    case NodeKind::sequence: {
      std::string out = "[";
      for (const Node& item : node.items) out += (out.size() > 1 ? " " : "") + dump(item);
      return out + "]";
    }
    case NodeKind::map: {
      std::string out = "{";
      for (const auto& [key, value] : node.entries) {
        out += (out.size() > 1 ? " " : "") + dump(key) + "=" + dump(value);
      }
      return out + "}";
    }
  }
  return "?";
}

struct Parsed {
  Sources sources;
  Diagnostics diagnostics{sources};
  std::optional<Node> node;
};

std::unique_ptr<Parsed> parse(std::string text) {
  auto parsed = std::make_unique<Parsed>();
  const uint32_t id = parsed->sources.add_text("t.yaml", std::move(text));
  parsed->node = parse_yaml(parsed->sources, id, parsed->diagnostics);
  return parsed;
}

TEST(Yaml, Trees) {
  struct Case {
    std::string_view text;
    std::string_view tree;
  };
  constexpr Case kCases[] = {
      {"", "null"},
      {"# only a comment\n", "null"},
      {"---\n", "null"},
      {"---\na: 1\n...\n", "{a=1}"},
      {"a: 1\nb: two words\n", "{a=1 b=two words}"},
      {"a: NO\nb: 010\nc: 1e3\nd: 0x10\ne: yes\n", "{a=NO b=010 c=1e3 d=0x10 e=yes}"},
      {"a: ~\nb: null\nc:\nd: ''\n", "{a=null b=null c=null d=''}"},
      {"a: \"x\\ty\\n\\u00e4\"\n", "{a='x\\x09y\\x0aä'}"},
      {"a: 'it''s'\n", "{a='it's'}"},
      {"- a\n- - b\n  - c\n-\n", "[a [b c] null]"},
      {"a: [1, 'two', {b: 3}]\n", "{a=[1 'two' {b=3}]}"},
      {"a: >-\n  one\n  two\n\n  three\n", "{a='one two\\x0athree'}"},
      {"a: |\n  one\n   two\n\n", "{a='one\\x0a two\\x0a'}"},
      {"a: one\n  two\n\n  three\nb: 1\n", "{a=one two\\x0athree b=1}"},
      {"then: [{quarantine: Policy}]\n", "{then=[{quarantine=Policy}]}"},
      {"a: {x: 1,\n    y: [2,\n  3]}  # end\n", "{a={x=1 y=[2 3]}}"},
      {"? a\n: b\n", "{a=b}"},
      {"\"a b\": c\n", "{'a b'=c}"},
      {"a: http://x/#frag\n", "{a=http://x/#frag}"},
      {"a: b#c d\n", "{a=b#c d}"},
      {"a: x == \"(?i)\\.exe$\" and not y\n", "{a=x == \"(?i)\\\\.exe$\" and not y}"},
      {"\xEF\xBB\xBFklärung: grün\n", "{klärung=grün}"},
      {"a: 1\r\nb: >-\r\n  x\r\n  y\r\n", "{a=1 b='x y'}"},
      {"<<: x\n", "{<<=x}"},
  };
  for (const Case& c : kCases) {
    const auto parsed = parse(std::string(c.text));
    ASSERT_TRUE(parsed->node) << c.text << parsed->diagnostics.render();
    EXPECT_EQ(dump(*parsed->node), c.tree) << c.text;
    EXPECT_TRUE(parsed->diagnostics.ok()) << parsed->diagnostics.render();
  }
}

TEST(Yaml, RefusesWithPlace) {
  struct Case {
    std::string text;
    uint32_t line;
    uint32_t column;
    std::string_view says;
  };
  const Case cases[] = {
      {"a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key 'a'"},
      {"x:\n  - {k: 1, k: 2}\n", 2, 12, "duplicate key 'k'"},
      {"'a': 1\na: 2\n", 2, 1, "duplicate key 'a'"},
      {"a: \"never closed\nb: 2\n", 1, 4, "quote is never closed"},
      {"a: 'never closed", 1, 17, "quote is never closed"},
      {"a: &x 1\n", 1, 4, "anchors"},
      {"a: &x [*x]\n", 1, 4, "anchors"},
      {"a: *x\n", 1, 4, ""},
      {"a: !!str 1\n", 1, 4, "tags"},
      {"a: !x [1]\n", 1, 4, "tags"},
      {"!x\na: 1\n", 1, 1, "tags"},
      {"a: 1\n---\nb: 2\n", 2, 1, "one document"},
      {"%YAML 1.2\n---\na: 1\n", 1, 1, "directives"},
      {"a: 1\n\tb: 2\n", 2, 1, ""},
      {"a: [1, 2\n", 2, 1, ""},
      {"a: [{b: c\n", 1, 5, "never closed"},
      {"a: 1\n b: 2\n", 2, 3, ""},
      {"[a]: b\n", 1, 1, "key must be a word"},
      {"{a: 1}: b\n", 1, 1, "key must be a word"},
      {"a: b: c\n", 1, 5, ""},
      {std::string("a: x\0y\n", 7), 1, 5, "control character 0x00"},
      {"a: x\x1by\n", 1, 5, "control character 0x1b"},
      {"a: x\ry\n", 1, 5, "control character 0x0d"},
      {"a: x\x7fy\n", 1, 5, "control character 0x7f"},
      {"a: 1\nb: x\xffy\n", 2, 5, "not valid UTF-8"},
      {"a: \"x\" y\n", 1, 8, ""},
      {"a: [1] y\n", 1, 8, ""},
      {"a: 'x'y\n", 1, 7, ""},
  };
  for (const Case& c : cases) {
    const auto parsed = parse(c.text);
    ASSERT_FALSE(parsed->diagnostics.ok()) << c.text << " gave " << (parsed->node ? dump(*parsed->node) : "nothing");
    const Diagnostic first = parsed->diagnostics.all().front();
    EXPECT_EQ(first.position.line, c.line) << c.text << parsed->diagnostics.render();
    EXPECT_EQ(first.position.column, c.column) << c.text << parsed->diagnostics.render();
    EXPECT_NE(first.message.find(c.says), std::string::npos) << c.text << parsed->diagnostics.render();
  }
}

TEST(Yaml, DuplicateKeyLeavesTheTree) {
  const auto parsed = parse("a: 1\na: {b: 2}\nc: 3\n");
  ASSERT_TRUE(parsed->node);
  EXPECT_EQ(dump(*parsed->node), "{a=1 c=3}");
  EXPECT_EQ(parsed->diagnostics.error_count(), 1u);
}

TEST(Yaml, TabsInIndentationAreNamed) {
  const auto parsed = parse("a:\n\tb: 2\n");
  EXPECT_THAT(parsed->diagnostics.render(), testing::HasSubstr("t.yaml:2:"));
  EXPECT_THAT(parsed->diagnostics.render(), testing::HasSubstr("hint: YAML is indented by blanks"));
}

std::string repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST(Yaml, DepthSizeAndCountAreBounded) {
  std::string staircase;
  for (size_t i = 0; i < 20'000; ++i) staircase += std::string(i, ' ') + "a:\n";
  std::string steps;
  for (size_t i = 0; i < 3000; ++i) steps += std::string(i, ' ') + "a:\n";
  const std::pair<std::string, std::string_view> bombs[] = {
      {repeat("[", 20'000), ""},
      {repeat("[\n", 2'000'000), ""},
      {"a: " + repeat("{b: ", 20'000), ""},
      {repeat("- ", 20'000) + "a", ""},
      {repeat("? ", 20'000) + "a", ""},
      {steps, "nested deeper than 64"},
      {"[" + repeat("x, ", 200'000) + "x]\n", "longer than 256 KiB"},
      {repeat("- x\n", 1'000'001), "more than 1,000,000 values"},
      {repeat("[", 65) + repeat("]", 65), "nested deeper than 64"},
  };
  for (const auto& [text, says] : bombs) {
    timespec before{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    const auto parsed = parse(text);
    timespec after{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    EXPECT_FALSE(parsed->diagnostics.ok()) << text.substr(0, 20);
    EXPECT_FALSE(parsed->node) << text.substr(0, 20);
    EXPECT_THAT(parsed->diagnostics.render(), testing::HasSubstr(std::string(says))) << text.substr(0, 20);
    EXPECT_LT(after.tv_sec - before.tv_sec, 60) << text.substr(0, 20);
  }
  EXPECT_TRUE(parse(repeat("[", 64) + repeat("]", 64))->node);
}

TEST(Yaml, PrivateKeysAreLeftOut) {
  const std::string key =
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHgkVIhhUp3Pq7vW0000000000000000000000000000\n"
      "-----END PRIVATE KEY-----\n";
  std::string indented = key;
  for (size_t at = 0; (at = indented.find('\n', at)) != std::string::npos && at + 1 < indented.size(); at += 5) {
    indented.insert(at + 1, "    ");
  }
  const auto block = parse("a: 1\nkey: |\n    " + indented + "b: 2\n");
  ASSERT_TRUE(block->node) << block->diagnostics.render();
  EXPECT_EQ(dump(*block->node), "{a=1 b=2}");
  EXPECT_TRUE(block->diagnostics.ok());
  ASSERT_EQ(block->diagnostics.all().size(), 1u);
  EXPECT_EQ(block->diagnostics.all()[0].severity, Severity::warning);
  EXPECT_EQ(block->diagnostics.all()[0].position.line, 3u);

  const auto bare = parse("a: 1\n" + key + "b: 2\n");
  ASSERT_TRUE(bare->node) << bare->diagnostics.render();
  EXPECT_EQ(dump(*bare->node), "{a=1 b=2}");
  EXPECT_EQ(bare->diagnostics.all().size(), 1u);

  const auto item = parse("a: [x, \"" + base::one_line(key) + "\", y]\n");
  ASSERT_TRUE(item->node) << item->diagnostics.render();
  EXPECT_EQ(dump(*item->node), "{a=[x y]}");
  EXPECT_EQ(item->diagnostics.all().size(), 1u);

  const auto comment = parse("# " + base::one_line(key) + "\na: 1\n");
  ASSERT_TRUE(comment->node);
  EXPECT_EQ(comment->diagnostics.all().size(), 1u);

  // The words alone are no key: a rule may look for them.
  const auto rule = parse("if: body-contains(\"-----BEGIN RSA PRIVATE KEY-----\")\n");
  ASSERT_TRUE(rule->node);
  EXPECT_TRUE(rule->diagnostics.all().empty());
  EXPECT_EQ(rule->node->entries.size(), 1u);
}

TEST(Yaml, PlacesInScalars) {
  struct Case {
    std::string_view text;
    std::string_view word;  // in the value
    uint32_t line;
    uint32_t column;
  };
  constexpr Case kCases[] = {
      {"if: subject == \"x\" and wrong\n", "wrong", 1, 24},
      {"if: >-\n  subject == \"x\"\n  and wrong\n", "wrong", 3, 7},
      {"if: >-\n\n  subject == \"x\"\n\n\n    more\n   and wrong\n", "wrong", 7, 8},
      {"if: |\n  subject\n    and wrong\n", "wrong", 3, 9},
      {"if: |2\n    subject\n   wrong\n", "wrong", 3, 4},
      {"if: subject\n  and\n\n  wrong\n", "wrong", 4, 3},
      {"if: \"subject\\n\\\"x\\u00e4\\\" wrong\"\n", "wrong", 1, 27},
      {"if: \"subject\n  and \\\n   wrong\"\n", "wrong", 3, 4},
      {"if: 'sub''ject\n\n  and wrong'\n", "wrong", 3, 7},
      {"- if: {a: [x, wrong]}\n", "wrong", 1, 15},
      {"if: >\r\n  a\r\n  wrong\r\n", "wrong", 3, 3},
      {"\xEF\xBB\xBFif: wrong\n", "wrong", 1, 5},
  };
  for (const Case& c : kCases) {
    const auto parsed = parse(std::string(c.text));
    ASSERT_TRUE(parsed->node) << c.text << parsed->diagnostics.render();
    const Node* node = &*parsed->node;
    while (node->kind != NodeKind::scalar || node->text.find(c.word) == std::string::npos) {
      node = node->kind == NodeKind::sequence ? &node->items.back() : &node->entries.back().second;
    }
    const Position at = node->position_of(parsed->sources, node->text.find(c.word));
    EXPECT_EQ(at.line, c.line) << c.text;
    EXPECT_EQ(at.column, c.column) << c.text;
  }
}

// Writes `lines` as a value of the given style; the value that comes back need not be known here, only that each of its
// letters is found in the file again.
std::string written(ScalarStyle style, const std::vector<std::string>& lines, size_t indent) {
  const std::string margin(indent, ' ');
  std::string out;
  if (style == ScalarStyle::literal || style == ScalarStyle::folded) {
    out = style == ScalarStyle::literal ? "|\n" : ">-\n";
    for (const std::string& line : lines) out += line.empty() ? "\n" : margin + line + "\n";
    return out;
  }
  const char* quote = style == ScalarStyle::single_quoted ? "'" : style == ScalarStyle::double_quoted ? "\"" : "";
  out = quote;
  for (size_t i = 0; i < lines.size(); ++i)
    out += (i > 0 && !lines[i].empty() ? margin : "") + lines[i] + (i + 1 < lines.size() ? "\n" : "");
  return out + quote + "\n";
}

TEST(Yaml, EveryByteOfAValueHasItsPlace) {
  std::mt19937 random(4711);
  constexpr std::string_view kWords[] = {"alpha", "b", "c==d", "(x)", "ä", "and", "€uro", "$x"};
  size_t checked = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto style = static_cast<ScalarStyle>(round % 5);
    const bool block = style == ScalarStyle::literal || style == ScalarStyle::folded;
    std::vector<std::string> lines;
    const size_t count = 1 + random() % 6;
    for (size_t n = 0; n < count; ++n) {
      std::string line;
      // The first and last line always have text, so that quotes and plain scalars begin and end where they should.
      const bool may_be_empty = n > 0 && n + 1 < count;
      if (block && n > 0) line = std::string(random() % 3, ' ');
      for (size_t words = may_be_empty && random() % 3 == 0 ? 0 : 1 + random() % 4; words > 0; --words) {
        line +=
            std::string(kWords[random() % std::size(kWords)]) + (words > 1 ? std::string(1 + random() % 2, ' ') : "");
      }
      if (line.find_first_not_of(' ') == std::string::npos) line.clear();
      lines.push_back(line);
    }
    const std::string text = "top:\n  - k: " + written(style, lines, 6) + "    next: [1]\n";
    const auto parsed = parse(text);
    ASSERT_TRUE(parsed->node) << text << parsed->diagnostics.render();
    const Node& node = parsed->node->entries[0].second.items[0].entries[0].second;
    for (size_t i = 0; i < node.text.size(); ++i) {
      const Position at = node.position_of(parsed->sources, i);
      const size_t offset = parsed->sources.offset_of(at);
      if (node.text[i] == ' ' || node.text[i] == '\n') continue;  // may stand for a line end
      ASSERT_LT(offset, text.size());
      ASSERT_EQ(text[offset], node.text[i]) << text << "byte " << i << " of " << node.text;
      ++checked;
    }
    ASSERT_EQ(dump(parsed->node->entries[0].second.items[0].entries[1].second), "[1]") << text;
  }
  EXPECT_GT(checked, 20'000u);
}

TEST(Yaml, LengthsForCarets) {
  const auto parsed = parse("name: two words  # c\nblock: >-\n  first line\n  second\nmap: {a: 1}\n");
  ASSERT_TRUE(parsed->node);
  EXPECT_EQ(parsed->node->get("name")->length(parsed->sources), 9u);
  EXPECT_EQ(parsed->node->get("block")->length(parsed->sources), 10u);
  EXPECT_EQ(parsed->node->get("map")->length(parsed->sources), 1u);
  EXPECT_EQ(parsed->node->key_node("block")->position.line, 2u);
  EXPECT_EQ(parsed->node->get("block")->position.line, 3u);
  EXPECT_EQ(parsed->node->get("none"), nullptr);
  EXPECT_EQ(parsed->node->key_node("none"), nullptr);
}

}  // namespace
}  // namespace postern::config

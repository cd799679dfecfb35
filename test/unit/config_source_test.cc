// SPDX-License-Identifier: Apache-2.0
// Sources, diagnostics as they are shown, and option tables.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/config/options.h"
#include "engine/config/source.h"

namespace postern::config {
namespace {

TEST(Sources, LinesAndPlaces) {
  Sources sources;
  const uint32_t id = sources.add_text("a.yaml", "one\r\ntwo\n\nfour");
  EXPECT_EQ(sources.line(id, 1), "one");
  EXPECT_EQ(sources.line(id, 2), "two");
  EXPECT_EQ(sources.line(id, 3), "");
  EXPECT_EQ(sources.line(id, 4), "four");
  EXPECT_EQ(sources.line(id, 5), "");
  EXPECT_EQ(sources.line(id, 0), "");
  for (size_t offset = 0; offset <= sources.text(id).size(); ++offset) {
    EXPECT_EQ(sources.offset_of(sources.position_at(id, offset)), offset);
  }
  const Position at = sources.position_at(id, 7);
  EXPECT_EQ(at.line, 2u);
  EXPECT_EQ(at.column, 3u);
  const uint32_t marked = sources.add_text("b.yaml", "\xEF\xBB\xBFx: 1\n");
  EXPECT_EQ(sources.line(marked, 1), "x: 1");
  EXPECT_EQ(sources.position_at(marked, 3).column, 1u);
  const uint32_t empty = sources.add_text("c.yaml", "");
  EXPECT_EQ(sources.line(empty, 1), "");
}

TEST(Sources, FilesThatCannotBeRead) {
  Sources sources;
  const auto missing = sources.add_file("/nonexistent/postern.yaml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().cause(), base::Cause::not_found);
  EXPECT_NE(missing.error().text().find("/nonexistent/postern.yaml"), std::string::npos);
  const auto folder = std::filesystem::temp_directory_path() / ("postern-source-" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  EXPECT_EQ(sources.add_file(folder).error().cause(), base::Cause::misconfigured);
  const std::string fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(sources.add_file(fifo).error().cause(), base::Cause::misconfigured);
  const std::string large = folder / "large";
  std::ofstream(large) << std::string((16u << 20) + 1, 'x');
  EXPECT_EQ(sources.add_file(large).error().cause(), base::Cause::limit);
  const std::string good = folder / "good";
  std::ofstream(good) << "a: 1\n";
  const auto id = sources.add_file(good);
  ASSERT_TRUE(id);
  EXPECT_EQ(sources.text(*id), "a: 1\n");
  std::filesystem::remove_all(folder);
}

TEST(Diagnostics, RendersLineAndCaret) {
  Sources sources;
  const uint32_t id = sources.add_text("a.yaml", "a: b\n\tkéy:\tvalue\nx\x1b[31m\n");
  const uint32_t other = sources.add_text("rules.d/b.yaml", "z");
  Diagnostics diagnostics(sources);
  EXPECT_TRUE(diagnostics.ok());
  diagnostics.warning({other, 0, 0}, 1, "the whole file");
  diagnostics.error({id, 2, 8}, 5, "wrong value", "did you mean 'other'?");
  diagnostics.error({id, 1, 1}, 1, "first");
  diagnostics.error({id, 1, 5}, 9, "at the end");
  diagnostics.error({id, 3, 3}, 2, "not shown raw");
  EXPECT_FALSE(diagnostics.ok());
  EXPECT_EQ(diagnostics.error_count(), 4u);
  EXPECT_EQ(diagnostics.render(),
            "a.yaml:1:1: error: first\n"
            "  a: b\n"
            "  ^\n"
            "a.yaml:1:5: error: at the end\n"
            "  a: b\n"
            "      ^\n"
            "a.yaml:2:8: error: wrong value\n"
            "  \tkéy:\tvalue\n"
            "  \t    \t^~~~~\n"
            "  hint: did you mean 'other'?\n"
            "a.yaml:3:3: error: not shown raw\n"
            "  x?[31m\n"
            "    ^~\n"
            "rules.d/b.yaml: warning: the whole file\n");
}

TEST(Diagnostics, LongLinesAreCutRoundThePlace) {
  Sources sources;
  std::string line;
  for (int i = 0; i < 5000; ++i) line += "ä";
  const uint32_t id = sources.add_text("a.yaml", line);
  Diagnostics diagnostics(sources);
  diagnostics.error({id, 1, 5001}, 4000, "here");
  const std::string text = diagnostics.render();
  EXPECT_LT(text.size(), 1000u);
  EXPECT_NE(text.find("^~~~"), std::string::npos);
}

TEST(Diagnostics, StopsStoringAfterAThousand) {
  Sources sources;
  const uint32_t id = sources.add_text("a.yaml", "x");
  Diagnostics diagnostics(sources);
  for (int i = 0; i < 5000; ++i) diagnostics.error({id, 1, 1}, 1, "no");
  EXPECT_EQ(diagnostics.error_count(), 5000u);
  EXPECT_EQ(diagnostics.all().size(), 1001u);
  EXPECT_TRUE(diagnostics.render().ends_with("warning: more than 1,000 messages; the rest is not shown\n"));
}

TEST(Options, FindsRowsAndChildren) {
  constexpr OptionRow kTable[] = {
      {"hostname", OptionType::text, "", "", ""},
      {"limits", OptionType::map, "", "", ""},
      {"limits.size", OptionType::size, "1M", "", ""},
      {"flows[]", OptionType::list, "", "", ""},
      {"flows[].when.client", OptionType::list, "", "", ""},
      {"flows[].name", OptionType::text, "", "", ""},
      {"quarantines.*", OptionType::map, "", "", ""},
      {"quarantines.*.size", OptionType::size, "", "", ""},
  };
  EXPECT_EQ(find_option(kTable, "limits.size"), &kTable[2]);
  EXPECT_EQ(find_option(kTable, "quarantines.Policy.size"), &kTable[7]);
  EXPECT_EQ(find_option(kTable, "quarantines.*.size"), &kTable[7]);
  EXPECT_EQ(find_option(kTable, "quarantines.Policy"), &kTable[6]);
  EXPECT_EQ(find_option(kTable, "flows[].when.client"), &kTable[4]);
  EXPECT_EQ(find_option(kTable, "limits.siz"), nullptr);
  EXPECT_EQ(find_option(kTable, "limits.size.more"), nullptr);
  EXPECT_EQ(find_option(kTable, ""), nullptr);
  using testing::ElementsAre;
  EXPECT_THAT(option_children(kTable, ""), ElementsAre("hostname", "limits", "flows", "quarantines"));
  EXPECT_THAT(option_children(kTable, "flows[]"), ElementsAre("when", "name"));
  EXPECT_THAT(option_children(kTable, "quarantines.Policy"), ElementsAre("size"));
  EXPECT_THAT(option_children(kTable, "quarantines"), ElementsAre());
  EXPECT_THAT(option_children(kTable, "hostname"), ElementsAre());
}

}  // namespace
}  // namespace postern::config

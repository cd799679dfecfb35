// SPDX-License-Identifier: Apache-2.0
// Golden diagnostics: for each test/golden/rules-errors/NAME.yaml the whole report stands in NAME.expected, as `postern
// check` would print it. With POSTERN_UPDATE_GOLDEN set, the expected files are written anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "rules/ruleset.h"

namespace postern::rules {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(GoldenDiagnostics, RuleFiles) {
  const std::filesystem::path folder = std::filesystem::path(POSTERN_SOURCE_DIR) / "test/golden/rules-errors";
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    ++count;
    config::Sources sources;
    const uint32_t id = sources.add_text(entry.path().filename().string(), read(entry.path()));
    config::Diagnostics diagnostics(sources);
    LoadContext context;
    context.groups = true;
    context.login_queries = {"corporate.logins"};
    context.virus_engines = true;
    context.spam_engines = true;
    context.flows = {"inbound", "outbound"};
    context.quarantines = {"Policy"};
    context.archives = {"project-mail"};
    if (entry.path().stem() == "mail") {
      context.reinject = true;
      context.store = true;
      context.texts = {{"warning", sources.add_text("texts/warning.txt", "Hello\n$EnvelopeForm, $$5\n")}};
    }
    context.sendmail = entry.path().filename().string().starts_with("sendmail");
    const auto rules = RuleSet::load(sources, {id}, context, diagnostics);
    EXPECT_EQ(rules == nullptr, diagnostics.error_count() > 0) << entry.path();
    const std::string got = diagnostics.render();
    EXPECT_NE(got, "") << entry.path();
    std::filesystem::path expected = entry.path();
    expected.replace_extension(".expected");
    if (std::getenv("POSTERN_UPDATE_GOLDEN") != nullptr) std::ofstream(expected, std::ios::binary) << got;
    EXPECT_EQ(got, read(expected)) << entry.path();
  }
  EXPECT_GE(count, 12u);
}

}  // namespace
}  // namespace postern::rules

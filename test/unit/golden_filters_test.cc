// SPDX-License-Identifier: Apache-2.0
// Golden tests: each folder of test/golden/filters holds filters.yaml, input.eml (LF line ends), where wanted
// envelope.yaml, and `expected`: the verdict, what each filter did, the change list for the MTA and the resulting
// message. POSTERN_UPDATE_GOLDEN=1 in the environment writes `expected` anew, to be read before it is kept.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

namespace fs = std::filesystem;

// Goes up with each case that is added, so that none gets lost.
constexpr size_t kCases = 27;

fs::path root() { return fs::path(POSTERN_SOURCE_DIR) / "test/golden/filters"; }

std::vector<std::string> cases() {
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(root())) {
    if (entry.is_directory()) names.insert(entry.path().filename().string());
  }
  return {names.begin(), names.end()};
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

// envelope.yaml: from, to (a list), client-ip, client-name, helo, auth, listener, smtputf8.
void set_envelope(Mail& mail, const std::string& yaml) {
  config::Sources sources;
  const uint32_t id = sources.add_text("envelope.yaml", yaml);
  config::Diagnostics diagnostics(sources);
  const auto tree = config::parse_yaml(sources, id, diagnostics);
  ASSERT_TRUE(tree.has_value()) << diagnostics.render();
  message::Message& message = *mail.message;
  for (const auto& [key, value] : tree->entries) {
    if (key.text == "from") {
      message.envelope.from = value.text;
    } else if (key.text == "to") {
      message.envelope.recipients.clear();
      for (const config::Node& item : value.items) message.envelope.recipients.push_back({item.text, {}});
    } else if (key.text == "client-ip") {
      message.connection.client_ip = value.text;
    } else if (key.text == "client-name") {
      message.connection.client_name = value.text;
    } else if (key.text == "helo") {
      message.connection.helo = value.text;
    } else if (key.text == "auth") {
      message.envelope.auth_user = value.text;
    } else if (key.text == "listener") {
      message.connection.daemon_name = value.text;
    } else if (key.text == "smtputf8") {
      message.envelope.smtputf8 = value.text == "true";
    } else {
      FAIL() << "unknown key " << key.text;
    }
  }
  message.keep_received_envelope();
}

std::string_view verdict_text(VerdictKind verdict) {
  constexpr std::string_view kNames[] = {"pass", "accept", "reject", "bounce", "tempfail", "discard"};
  return kNames[static_cast<size_t>(verdict)];
}

std::string describe(const Outcome& outcome, Mail& mail) {
  std::string out = "verdict: " + std::string(verdict_text(outcome.verdict));
  if (!outcome.decided_by.empty()) out += " by " + outcome.decided_by;
  out += "\n";
  if (outcome.reply.code != 0) {
    out +=
        "reply: " + std::to_string(outcome.reply.code) + " " + outcome.reply.enhanced + " " + outcome.reply.text + "\n";
  }
  for (const std::string& name : outcome.quarantines) out += "quarantine: " + name + "\n";
  for (const std::string& tag : outcome.tags) out += "tag: " + tag + "\n";
  for (const std::string& entry : outcome.log_entries) out += "log: " + entry + "\n";
  for (const FilterReport& report : outcome.reports) {
    out += "filter: " + report.filter->name + " " + truth_text(report.result) + (report.observed ? " observed" : "") +
           "\n";
    for (const std::string& action : report.actions) out += "  " + action + "\n";
    if (!report.detail.empty()) out += "  (" + report.detail + ")\n";
  }
  const bool refused = outcome.verdict != VerdictKind::pass && outcome.verdict != VerdictKind::accept;
  if (refused) return out;
  for (const message::Change& change : message::diff(*mail.message).changes) {
    out += "change: " + std::string(message::op_name(change.op));
    if (!change.name.empty()) out += " " + change.name + " " + std::to_string(change.index);
    if (!change.value.empty()) out += " \"" + base::escape_for_log(change.value, 10'000) + "\"";
    out += "\n";
  }
  return out + "message:\n" + mail.whole();
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, Case) {
  const fs::path folder = root() / GetParam();
  const auto rules = load(read(folder / "filters.yaml"));
  ASSERT_NE(rules, nullptr);
  Mail mail(read(folder / "input.eml"));
  if (fs::exists(folder / "envelope.yaml")) set_envelope(mail, read(folder / "envelope.yaml"));
  const Outcome outcome = run(*rules, mail);
  const std::string actual = describe(outcome, mail);
  if (std::getenv("POSTERN_UPDATE_GOLDEN") != nullptr) std::ofstream(folder / "expected", std::ios::binary) << actual;
  EXPECT_EQ(actual, read(folder / "expected"));
}

std::string test_name(const testing::TestParamInfo<std::string>& param) {
  std::string name = param.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Filters, Golden, testing::ValuesIn(cases()), test_name);

TEST(GoldenFolder, CountOfCases) { EXPECT_EQ(cases().size(), kCases); }

}  // namespace
}  // namespace postern::rules::test

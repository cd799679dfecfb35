// SPDX-License-Identifier: Apache-2.0
// Loader: rule files to filters. It walks the YAML of each file, has the checker look at every condition and action,
// and sees what only the whole shows: names used twice, statements and filters that can never run, what the rule set
// needs of the MTA. One load, one thread; the result is a RuleSet.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rules/check.h"
#include "rules/ruleset.h"

namespace postern::rules {

inline constexpr size_t kMaxFilters = 20'000;  // of all files together

class Loader {
 public:
  Loader(const config::Sources& sources, const LoadContext& context, config::Diagnostics& diagnostics);

  // load_file adds the filters of one file.
  void load_file(uint32_t source);
  // load_texts reads what notices may say; before any file.
  void load_texts() { checker_.check_texts(); }
  // finish freezes what was loaded; nullptr when anything was wrong.
  std::shared_ptr<const RuleSet> finish();

 private:
  // What a list of statements does: the needs of its parts, and whether it always ends filter processing.
  struct Effect {
    uint32_t needs = 0;
    bool ends = false;
    bool strict = false;
  };

  void load_filter(const config::Node& node);
  void read_name(const config::Node& map, Filter& filter);
  void read_flows(const config::Node& map, Filter& filter);
  void read_settings(const config::Node& map, Filter& filter);
  bool known_keys(const config::Node& map, bool nested);
  bool choose(const config::Node& map, std::string_view key, std::span<const std::string_view> words, size_t& index);
  Effect read_branch(const config::Node& map, Phase phase, uint32_t depth, Branch& out, bool& then_strict);
  Effect read_list(const config::Node* node, std::string_view key, Phase phase, uint32_t depth,
                   std::vector<Statement>& out);
  Effect read_statement(const config::Node& node, Phase phase, uint32_t depth, std::vector<Statement>& out);
  uint32_t quarantine_need(const Filter& filter) const;
  void warn_unreachable();

  const config::Sources& sources_;
  config::Diagnostics& diagnostics_;
  std::shared_ptr<RuleSet> rules_;
  Checker checker_;
  std::map<std::string, config::Position, std::less<>> names_;
  std::vector<bool> ends_;  // per filter: always ends filter processing
  bool too_many_ = false;
};

}  // namespace postern::rules

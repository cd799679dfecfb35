// SPDX-License-Identifier: Apache-2.0
// The YAML side of rule files. Nesting of `if`s and parentheses together is bounded by kMaxDepth, so the walk may
// recurse.
#include "rules/yaml_loader.h"

#include <algorithm>
#include <array>

#include "rules/prefilter.h"

namespace postern::rules {
namespace {

constexpr std::string_view kFilterKeys[] = {"name",       "flows",   "if",   "then",  "else",
                                            "on-unknown", "enabled", "mode", "phase", "comment"};
constexpr std::string_view kBranchKeys[] = {"if", "then", "else", "comment"};
constexpr std::string_view kPhases[] = {"connect", "helo", "mail", "rcpt", "data", "message"};
constexpr std::string_view kModes[] = {"enforce", "observe"};
constexpr std::string_view kBooleans[] = {"true", "false"};
constexpr std::string_view kOnUnknown[] = {"skip", "tempfail", "quarantine", "match", "by-action"};

constexpr size_t kLongestName = 100;
constexpr uint32_t kEdits = kEditHeader | kEditBody | kEditRecipients | kEditSender | kEditQuarantine;

std::string joined(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) {
    if (!out.empty()) out += ", ";
    out += word;
  }
  return out;
}

bool is_constant_true(const Condition& condition) {
  return condition.nodes.size() == 1 && condition.nodes[0].kind == Node::Kind::test &&
         condition.tests[0].rule->name == "true";
}

bool is_good_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), [](char c) {
    const char lower = base::ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

bool is_strict(std::string_view action) {
  return action == "drop" || action == "bounce" || action == "reject" || action == "quarantine" ||
         action.starts_with("drop-attachments");
}

}  // namespace

Loader::Loader(const config::Sources& sources, const LoadContext& context, config::Diagnostics& diagnostics)
    : sources_(sources),
      diagnostics_(diagnostics),
      rules_(std::make_shared<RuleSet>()),
      checker_(sources, diagnostics, context) {
  rules_->context_ = context;
}

void Loader::load_file(uint32_t source) {
  const std::optional<config::Node> root = config::parse_yaml(sources_, source, diagnostics_);
  if (!root || root->kind == config::NodeKind::null) return;
  Report& report = checker_.report();
  if (root->kind != config::NodeKind::map) {
    report.error(*root, "a rule file begins with 'filters:'", "and the list of filters below it");
    return;
  }
  for (const auto& [key, value] : root->entries) {
    if (key.text == "filters") continue;
    constexpr std::string_view kKeys[] = {"filters"};
    const std::string hint = did_you_mean(key.text, kKeys);
    report.error(key, "unknown key " + quoted(key.text), hint.empty() ? "a rule file has one key, 'filters'" : hint);
  }
  const config::Node* filters = root->get("filters");
  if (filters == nullptr || filters->kind == config::NodeKind::null) return;
  if (filters->kind != config::NodeKind::sequence) {
    report.error(*filters, "'filters' takes a list", "each filter begins with '- name: …'");
    return;
  }
  for (const config::Node& node : filters->items) {
    if (rules_->filters_.size() >= kMaxFilters) {
      if (!too_many_) report.error(node, "more than " + std::to_string(kMaxFilters) + " filters");
      too_many_ = true;
      return;
    }
    load_filter(node);
  }
}

void Loader::load_filter(const config::Node& node) {
  Report& report = checker_.report();
  if (node.kind != config::NodeKind::map) {
    report.error(node, "a filter is a map of 'name', 'if', 'then' and so on");
    return;
  }
  known_keys(node, false);
  Filter filter;
  filter.position = node.position;
  filter.file = sources_.path(node.position.source);
  read_name(node, filter);
  filter.line = filter.position.line;
  read_flows(node, filter);
  read_settings(node, filter);
  if (node.get("then") == nullptr) {
    report.error(node.entries.empty() ? node : node.entries.front().first, "this filter has no 'then'");
  }
  const Effect effect = read_branch(node, filter.phase, 0, filter.body, filter.strict);
  if (filter.enabled) {
    filter.needs = effect.needs;
    filter.needs |= quarantine_need(filter);
    if (filter.mode == Mode::observe) filter.needs &= ~kEdits;  // it looks, and changes nothing
    rules_->needs_ |= filter.needs;
    rules_->phases_ |= 1u << static_cast<unsigned>(filter.phase);
  }
  ends_.push_back(effect.ends && filter.enabled && filter.mode == Mode::enforce);
  rules_->filters_.push_back(std::move(filter));
}

bool Loader::known_keys(const config::Node& map, bool nested) {
  const std::span<const std::string_view> keys =
      nested ? std::span<const std::string_view>(kBranchKeys) : std::span<const std::string_view>(kFilterKeys);
  bool good = true;
  for (const auto& [key, value] : map.entries) {
    if (std::find(keys.begin(), keys.end(), key.text) != keys.end()) continue;
    std::string hint = did_you_mean(key.text, keys);
    if (find_action(key.text) != nullptr) {
      hint = quoted(key.text) + " is an action: it stands in a list under 'then'";
    } else if (hint.empty()) {
      hint = "known here: " + joined(keys);
    }
    checker_.report().error(key, (nested ? "a nested 'if' has no key " : "a filter has no key ") + quoted(key.text),
                            std::move(hint));
    good = false;
  }
  return good;
}

void Loader::read_name(const config::Node& map, Filter& filter) {
  Report& report = checker_.report();
  const config::Node* name = map.get("name");
  if (name == nullptr) {
    report.error(map.entries.empty() ? map : map.entries.front().first, "this filter has no 'name'");
    return;
  }
  filter.position = name->position;
  if (name->kind != config::NodeKind::scalar || !is_good_name(name->text)) {
    report.error(*name, "a filter's name is made of letters, digits, '-' and '_', at most " +
                            std::to_string(kLongestName) + " of them");
    return;
  }
  filter.name = name->text;
  const auto [at, fresh] = names_.try_emplace(name->text, name->position);
  if (!fresh) {
    report.error(*name, "filter name " + quoted(name->text) + " is used twice",
                 "the other one is at " + sources_.path(at->second.source) + ":" + std::to_string(at->second.line));
  }
}

void Loader::read_flows(const config::Node& map, Filter& filter) {
  Report& report = checker_.report();
  const config::Node* flows = map.get("flows");
  if (flows == nullptr || flows->kind == config::NodeKind::null) return;
  if (flows->kind != config::NodeKind::sequence) {
    report.error(*flows, "'flows' takes a list", "for example flows: [inbound]");
    return;
  }
  if (flows->items.empty()) {
    report.error(*flows, "this list of flows is empty, so that the filter would never run",
                 "leave 'flows' out for every flow, or write enabled: false");
    return;
  }
  const std::vector<std::string>& known = rules_->context_.flows;
  for (const config::Node& flow : flows->items) {
    if (flow.kind != config::NodeKind::scalar || std::find(known.begin(), known.end(), flow.text) == known.end()) {
      const std::vector<std::string_view> names(known.begin(), known.end());
      std::string hint = did_you_mean(flow.text, names);
      if (hint.empty()) hint = "flows are named in postern.yaml under 'flows'";
      report.error(flow, "there is no flow " + quoted(flow.text), std::move(hint));
    } else if (std::find(filter.flows.begin(), filter.flows.end(), flow.text) != filter.flows.end()) {
      report.error(flow, "flow " + quoted(flow.text) + " stands here twice");
    } else {
      filter.flows.push_back(flow.text);
    }
  }
}

bool Loader::choose(const config::Node& map, std::string_view key, std::span<const std::string_view> words,
                    size_t& index) {
  const config::Node* node = map.get(key);
  if (node == nullptr) return false;
  const auto at = std::find(words.begin(), words.end(), node->text);
  if (node->kind == config::NodeKind::scalar && at != words.end()) {
    index = static_cast<size_t>(at - words.begin());
    return true;
  }
  std::string hint = did_you_mean(node->text, words);
  if (hint.empty()) hint = "one of " + joined(words);
  checker_.report().error(*node, quoted(key) + " cannot be " + quoted(node->text), std::move(hint));
  return false;
}

void Loader::read_settings(const config::Node& map, Filter& filter) {
  size_t index = 0;
  if (choose(map, "phase", kPhases, index)) filter.phase = static_cast<Phase>(index);
  if (choose(map, "mode", kModes, index)) filter.mode = static_cast<Mode>(index);
  if (choose(map, "enabled", kBooleans, index)) filter.enabled = index == 0;
  if (choose(map, "on-unknown", kOnUnknown, index)) {
    filter.on_unknown = static_cast<OnUnknown>(index);
    if (filter.on_unknown == OnUnknown::quarantine && filter.phase != Phase::message) {
      checker_.report().error(*map.get("on-unknown"),
                              "nothing can be quarantined at phase " + std::string(phase_name(filter.phase)),
                              "write tempfail");
    }
  }
  const config::Node* comment = map.get("comment");
  if (comment != nullptr && comment->kind != config::NodeKind::scalar && comment->kind != config::NodeKind::null) {
    checker_.report().error(*comment, "'comment' takes a text");
  }
}

Loader::Effect Loader::read_branch(const config::Node& map, Phase phase, uint32_t depth, Branch& out,
                                   bool& then_strict) {
  const config::Node* condition = map.get("if");
  bool constant = false;
  Effect effect;
  if (condition == nullptr) {
    out.condition = Checker::always(map.position);
    constant = true;
  } else if (condition->kind == config::NodeKind::null) {
    checker_.report().error(*map.key_node("if"), "this 'if' has no condition", "leave 'if' out, or write 'true'");
  } else if (std::optional<Condition> checked = checker_.condition(*condition, phase, depth)) {
    out.condition = std::move(*checked);
    constant = is_constant_true(out.condition);
    for (const Test& test : out.condition.tests) effect.needs |= test.needs;
  }
  const Effect then_effect = read_list(map.get("then"), "then", phase, depth, out.then_part);
  const Effect else_effect = read_list(map.get("else"), "else", phase, depth, out.else_part);
  effect.needs |= then_effect.needs | else_effect.needs;
  effect.ends = then_effect.ends && (constant || else_effect.ends);
  effect.strict = then_effect.strict || else_effect.strict;
  then_strict = then_effect.strict;
  return effect;
}

Loader::Effect Loader::read_list(const config::Node* node, std::string_view key, Phase phase, uint32_t depth,
                                 std::vector<Statement>& out) {
  Effect effect;
  if (node == nullptr || node->kind == config::NodeKind::null) return effect;
  Report& report = checker_.report();
  if (node->kind != config::NodeKind::sequence) {
    report.error(*node, quoted(key) + " takes a list of actions",
                 node->kind == config::NodeKind::scalar
                     ? "write '" + std::string(key) + ": [" + base::escape_for_log(node->text, 60) + "]'"
                     : "begin each action with '- '");
    return effect;
  }
  bool reported = false;
  for (const config::Node& item : node->items) {
    if (effect.ends && !reported) {
      report.error(item, "this is never reached: what stands before it always ends filter processing");
      reported = true;
    }
    const Effect one = read_statement(item, phase, depth, out);
    effect.needs |= one.needs;
    effect.ends = effect.ends || one.ends;
    effect.strict = effect.strict || one.strict;
  }
  return effect;
}

Loader::Effect Loader::read_statement(const config::Node& node, Phase phase, uint32_t depth,
                                      std::vector<Statement>& out) {
  Report& report = checker_.report();
  Effect effect;
  if (node.kind == config::NodeKind::map && (node.get("if") != nullptr || node.get("then") != nullptr)) {
    if (!known_keys(node, true)) return effect;
    if (node.get("if") == nullptr || node.get("then") == nullptr) {
      report.error(node, "a nested 'if' needs both 'if' and 'then'");
      return effect;
    }
    if (depth + 1 >= kMaxDepth) {
      report.error(node, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
      return effect;
    }
    Statement statement;
    statement.branch = std::make_unique<Branch>();
    bool then_strict = false;
    effect = read_branch(node, phase, depth + 1, *statement.branch, then_strict);
    out.push_back(std::move(statement));
    return effect;
  }
  const config::Node* name = &node;
  const config::Node* value = nullptr;
  if (node.kind == config::NodeKind::map) {
    if (node.entries.size() != 1) {
      report.error(node.entries.empty() ? node : node.entries[1].first, "one list item holds one action",
                   "begin the next action with '- ' on a line of its own");
      return effect;
    }
    name = &node.entries[0].first;
    value = &node.entries[0].second;
  } else if (node.kind != config::NodeKind::scalar) {
    report.error(node, node.kind == config::NodeKind::null
                           ? "the list item before this is empty: expected an action or a nested 'if'"
                           : "expected an action or a nested 'if'");
    return effect;
  }
  std::optional<Action> action = checker_.action(*name, value, phase);
  if (!action) return effect;
  effect.needs = action->row->needs;
  for (const Template& text : action->templates) effect.needs |= text.needs;
  effect.ends = action->row->final_action;
  effect.strict = is_strict(action->row->name);
  Statement statement;
  statement.action = std::move(*action);
  out.push_back(std::move(statement));
  return effect;
}

uint32_t Loader::quarantine_need(const Filter& filter) const {
  // An action on header or body may itself find that it cannot tell.
  const bool edits_body = (filter.needs & kEditBody) != 0;
  const bool may_doubt = !is_constant_true(filter.body.condition) || edits_body || (filter.needs & kEditHeader) != 0;
  if (filter.phase != Phase::message || !may_doubt) return 0;
  const auto may = [&](OnUnknown value) {
    return value == OnUnknown::quarantine || (value == OnUnknown::by_action && (filter.strict || edits_body));
  };
  const auto& defaults = rules_->context_.on_unknown;
  const bool any = filter.on_unknown ? may(*filter.on_unknown) : std::any_of(defaults.begin(), defaults.end(), may);
  return any ? static_cast<uint32_t>(kEditQuarantine) : 0;
}

// A filter that ends processing for whatever it sees hides later filters of its flows and phase.
void Loader::warn_unreachable() {
  const std::vector<std::string>& flows = rules_->context_.flows;
  std::array<std::map<std::string, size_t, std::less<>>, 6> ended;  // per phase: flow → filter that ends it
  for (size_t i = 0; i < rules_->filters_.size(); ++i) {
    const Filter& filter = rules_->filters_[i];
    if (!filter.enabled) continue;
    auto& here = ended[static_cast<size_t>(filter.phase)];
    const std::vector<std::string>& mine = filter.flows.empty() ? flows : filter.flows;
    const bool hidden = !mine.empty() && std::all_of(mine.begin(), mine.end(),
                                                     [&](const std::string& flow) { return here.contains(flow); });
    if (hidden) {
      std::set<size_t> causes;
      for (const std::string& flow : mine) causes.insert(here.find(flow)->second);
      std::string hint;
      for (const size_t index : causes) {
        const Filter& cause = rules_->filters_[index];
        hint += (hint.empty() ? "filter " : " and ") + quoted(cause.name) + " at " + cause.file + ":" +
                std::to_string(cause.line);
      }
      hint += causes.size() == 1 ? " ends" : " end";
      diagnostics_.warning(filter.position, static_cast<uint32_t>(std::max<size_t>(filter.name.size(), 1)),
                           "filter " + quoted(filter.name) + " is never reached",
                           hint + " filter processing before it for every message");
    } else if (ends_[i]) {
      for (const std::string& flow : mine) here.try_emplace(flow, i);
    }
  }
}

std::shared_ptr<const RuleSet> Loader::finish() {
  if (!diagnostics_.ok()) return nullptr;
  warn_unreachable();
  rules_->header_names_ = checker_.take_header_names();
  rules_->dictionaries_ = checker_.take_dictionaries();
  uint32_t member = number_patterns(rules_->filters_, rules_->header_names_.size());
  for (const auto& dictionary : rules_->dictionaries_) {
    rules_->dictionary_members_.push_back(member);
    member += static_cast<uint32_t>(dictionary->entries().size());
  }
  rules_->gates_ = find_gates(rules_->filters_);
  return std::move(rules_);
}

}  // namespace postern::rules

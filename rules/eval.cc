// SPDX-License-Identifier: Apache-2.0
// Evaluation of conditions and the run over the filters of a phase. Depth of conditions and of nested `if`s is bounded
// at load (kMaxDepth), so both walks recurse. A filter whose condition is plainly false costs its condition only:
// nothing is allocated or reported for it.
#include "rules/eval.h"

#include <algorithm>

#include "rules/actions.h"
#include "rules/tests.h"

namespace postern::rules {
namespace {

// Filters of the rcpt phase run once a recipient: what is kept about them must stay small.
constexpr size_t kMaxReports = 20'000;

Truth evaluate_node(const Condition& condition, uint32_t index, Facts& facts) {
  const Node& node = condition.nodes[index];
  switch (node.kind) {
    case Node::Kind::test:
      return run_test(condition.tests[node.test], facts);
    case Node::Kind::negation:
      return negate(evaluate_node(condition, node.children[0], facts));
    case Node::Kind::all_of: {
      Truth answer = Truth::of(true);
      for (const uint32_t child : node.children) {
        answer = both(answer, evaluate_node(condition, child, facts));
        if (answer.is_no()) break;
      }
      return answer;
    }
    case Node::Kind::any_of: {
      Truth answer = Truth::of(false);
      for (const uint32_t child : node.children) {
        answer = either(answer, evaluate_node(condition, child, facts));
        if (answer.is_yes()) break;
      }
      return answer;
    }
  }
  return not_known();
}

std::string_view phrase(OnUnknown outcome) {
  switch (outcome) {
    case OnUnknown::skip:
      return "skipped";
    case OnUnknown::tempfail:
      return "message deferred";
    case OnUnknown::quarantine:
      return "message quarantined";
    case OnUnknown::match:
      return "taken as true";
    case OnUnknown::by_action:
      break;
  }
  return "skipped";
}

void add_detail(FilterReport& report, std::string_view text) {
  if (!report.detail.empty()) report.detail += "; ";
  report.detail += text;
}

// Run is one filter being run over the message.
class Run {
 public:
  Run(const RuleSet& rules, const Filter& filter, Facts& facts, Outcome& outcome)
      : rules_(rules), filter_(filter), facts_(facts), outcome_(outcome) {
    report_.filter = &filter;
    report_.observed = filter.mode == Mode::observe;
  }

  // branch runs the statements that `truth` chooses; true when filter processing has ended.
  bool branch(const Branch& body, Truth truth) {
    if (truth.is_unknown()) {
      switch (settle(truth.reason, false)) {
        case OnUnknown::tempfail:
          return true;
        case OnUnknown::match:
          break;
        default:
          return false;
      }
    }
    return statements(truth.is_no() ? body.else_part : body.then_part);
  }

  FilterReport& report() { return report_; }

 private:
  bool statements(const std::vector<Statement>& list) {
    for (const Statement& statement : list) {
      if (statement.branch != nullptr) {
        const Truth truth = evaluate_condition(statement.branch->condition, rules_, facts_);
        if (branch(*statement.branch, truth)) return true;
      }
      if (statement.action && action(*statement.action)) return true;
    }
    return false;
  }

  bool action(const Action& action) {
    ActionContext context{filter_, facts_, outcome_, report_.observed};
    ActionResult result = run_action(action, context);
    report_.actions.push_back(std::move(result.text));
    if (!result.detail.empty()) add_detail(report_, result.detail);
    if (result.problem != Unknown::none &&
        settle(result.problem, action.row->name.starts_with("drop-attachments")) == OnUnknown::tempfail) {
      return true;
    }
    if (!action.row->final_action) return false;
    if (!report_.observed) outcome_.decided_by = filter_.name;
    return true;
  }

  // settle applies the filter's on-unknown to something that could not be told, reports and returns what was done.
  // `deny` asks for the strict side of by-action whatever the filter's own actions are.
  OnUnknown settle(Unknown reason, bool deny) {
    OnUnknown outcome = filter_.on_unknown.value_or(
        rules_.context().on_unknown[std::min(static_cast<size_t>(reason), kUnknownReasons - 1)]);
    if (outcome == OnUnknown::by_action) {
      outcome = filter_.strict || deny ? OnUnknown::quarantine : OnUnknown::skip;
    }
    // Before end of message nothing can be quarantined yet.
    if (outcome == OnUnknown::quarantine && facts_.phase != Phase::message) outcome = OnUnknown::tempfail;
    std::string detail = "unknown (";
    detail += unknown_name(reason);
    detail += "): ";
    if (report_.observed) detail += "would be ";
    detail += phrase(outcome);
    add_detail(report_, detail);
    if (report_.observed) return outcome;
    if (outcome == OnUnknown::tempfail) {
      outcome_.verdict = VerdictKind::tempfail;
      outcome_.reply = {451, "4.7.1", "Message could not be checked, please try again later"};
      outcome_.decided_by = filter_.name;
    } else if (outcome == OnUnknown::quarantine) {
      outcome_.hold(rules_.context().default_quarantine, filter_.name, "unknown: " + std::string(unknown_name(reason)));
    }
    return outcome;
  }

  const RuleSet& rules_;
  const Filter& filter_;
  Facts& facts_;
  Outcome& outcome_;
  FilterReport report_;
};

// Runs one filter; true when filter processing has ended.
bool run_filter(const RuleSet& rules, const Filter& filter, Facts& facts, const EvalOptions& options,
                Outcome& outcome) {
  if (!facts.matched_content.empty()) facts.matched_content.clear();
  const Truth truth = evaluate_condition(filter.body.condition, rules, facts);
  if (truth.is_no() && filter.body.else_part.empty()) {
    if (options.report_all && outcome.reports.size() < kMaxReports) {
      FilterReport& report = outcome.reports.emplace_back();
      report.filter = &filter;
      report.result = truth;
      report.observed = filter.mode == Mode::observe;
    }
    return false;
  }
  Run run(rules, filter, facts, outcome);
  const bool ended = run.branch(filter.body, truth);
  run.report().result = truth;
  if (outcome.reports.size() < kMaxReports) outcome.reports.push_back(std::move(run.report()));
  // What is only observed ends nothing.
  return ended && filter.mode != Mode::observe;
}

bool applies(const Filter& filter, Phase phase, std::string_view flow) {
  if (!filter.enabled || filter.phase != phase) return false;
  return filter.flows.empty() || std::ranges::find(filter.flows, flow) != filter.flows.end();
}

bool refused(VerdictKind verdict) { return verdict != VerdictKind::pass && verdict != VerdictKind::accept; }

}  // namespace

Truth evaluate_condition(const Condition& condition, const RuleSet&, Facts& facts) {
  return condition.nodes.empty() ? not_known() : evaluate_node(condition, 0, facts);
}

void evaluate(const RuleSet& rules, Phase phase, Facts& facts, const EvalOptions& options, Outcome& outcome) {
  facts.phase = phase;
  outcome.verdict = VerdictKind::pass;
  outcome.reply = {};
  outcome.decided_by.clear();
  if (phase == Phase::message && (rules.needs() & kEditHeader) != 0) strip_route_headers(facts);
  if (rules.has_phase(phase)) {
    const std::vector<Filter>& filters = rules.filters();
    const std::vector<Gate>& gates = rules.gates();
    const size_t count = options.filters != nullptr ? options.filters->size() : filters.size();
    const bool use_gates = facts.headers_known() && !options.report_all && gates.size() == filters.size();
    for (size_t i = 0; i < count; ++i) {
      const size_t index = options.filters != nullptr ? (*options.filters)[i] : i;
      if (index >= filters.size()) continue;
      // Most filters of a long list end here: nothing of the filter itself is touched.
      if (use_gates && gates[index].member != kNoMember &&
          !facts.header_may_match(gates[index].slot, gates[index].member)) {
        continue;
      }
      if (!applies(filters[index], phase, facts.flow())) continue;
      if (options.keep_going != nullptr && !(*options.keep_going)()) break;
      if (run_filter(rules, filters[index], facts, options, outcome)) break;
    }
  }
  if (!refused(outcome.verdict)) apply_body_edits(facts);
}

}  // namespace postern::rules

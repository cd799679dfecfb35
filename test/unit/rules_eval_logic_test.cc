// SPDX-License-Identifier: Apache-2.0
// Three-valued logic, the order of evaluation, what becomes of filters whose condition is unknown, and the run over the
// filters of a phase.
#include <chrono>
#include <ctime>
#include <random>

#include "rules/tests.h"
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules::test {
namespace {

constexpr std::string_view kMessage = "From: a@example.com\nSubject: hello\n\nbody\n";
// Takes more steps than a search may, on a run of a's.
constexpr std::string_view kPoison = R"((?:a|aa)+(?:b|c)(?:a|aa)+$)";

std::string poison_subject() { return "From: a@example.com\nSubject: " + std::string(900, 'a') + "\n\nbody\n"; }

const Truth kNo = Truth::of(false);
const Truth kYes = Truth::of(true);

TEST(Kleene, Tables) {
  const Truth dns = Truth::unknown(Unknown::dns);
  const Truth limit = Truth::unknown(Unknown::regex_limit);
  const Truth scan = Truth::unknown(Unknown::unscannable);
  const Truth directory = Truth::unknown(Unknown::directory);
  EXPECT_EQ(truth_text(negate(kNo)), "true");
  EXPECT_EQ(truth_text(negate(kYes)), "false");
  EXPECT_EQ(truth_text(negate(dns)), "unknown(dns)");
  struct {
    Truth a, b;
    const char* conjunction;
    const char* disjunction;
  } const cases[] = {
      {kNo, kNo, "false", "false"},
      {kNo, kYes, "false", "true"},
      {kYes, kYes, "true", "true"},
      {kNo, limit, "false", "unknown(regex-limit)"},
      {kYes, limit, "unknown(regex-limit)", "true"},
      {dns, limit, "unknown(regex-limit)", "unknown(regex-limit)"},
      {scan, limit, "unknown(unscannable)", "unknown(unscannable)"},
      {scan, directory, "unknown(directory)", "unknown(directory)"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(truth_text(both(each.a, each.b)), each.conjunction);
    EXPECT_EQ(truth_text(both(each.b, each.a)), each.conjunction);
    EXPECT_EQ(truth_text(either(each.a, each.b)), each.disjunction);
    EXPECT_EQ(truth_text(either(each.b, each.a)), each.disjunction);
  }
}

TEST(Kleene, InConditions) {
  // mail-from is unknown: it was never delivered.
  Mail mail(kMessage);
  mail.message->envelope.from.reset();
  struct {
    const char* condition;
    const char* expected;
  } const cases[] = {
      {R"(mail-from == "x" and rcpt-count == 1)", "unknown(unscannable)"},
      {R"(mail-from == "x" and rcpt-count == 2)", "false"},
      {R"(rcpt-count == 2 and mail-from == "x")", "false"},
      {R"(mail-from == "x" or rcpt-count == 1)", "true"},
      {R"(mail-from == "x" or rcpt-count == 2)", "unknown(unscannable)"},
      {R"(not mail-from == "x")", "unknown(unscannable)"},
      {R"(not (mail-from == "x" and rcpt-count == 2))", "true"},
      {R"(mail-from != "x")", "unknown(unscannable)"},
      {R"(rcpt-count == 1 or rcpt-count == 2 and rcpt-count == 3)", "true"},
      {R"((rcpt-count == 1 or rcpt-count == 2) and rcpt-count == 3)", "false"},
      {R"(not rcpt-count == 2 and rcpt-count == 1)", "true"},
  };
  for (const auto& each : cases) EXPECT_EQ(ask(each.condition, mail), each.expected) << each.condition;
}

// Random conditions: whatever the order of operands, the answer and its reason are those of an evaluator that looks at
// everything from left to right.
class Random {
 public:
  explicit Random(uint32_t seed) : random_(seed) {}

  Condition make(int depth) {
    Condition out;
    out.nodes.emplace_back();
    fill(out, 0, depth);
    return out;
  }

  Truth oracle(const Condition& condition, uint32_t index) const {
    const Node& node = condition.nodes[index];
    if (node.kind == Node::Kind::test) return leaf(condition.tests[node.test]);
    int no = 0;
    int yes = 0;
    int worst = -1;
    Unknown reason = Unknown::none;
    for (const uint32_t child : node.children) {
      const Truth truth = oracle(condition, child);
      no += truth.is_no() ? 1 : 0;
      yes += truth.is_yes() ? 1 : 0;
      if (!truth.is_unknown()) continue;
      const int rank = truth.reason == Unknown::unscannable ? 2 : truth.reason == Unknown::regex_limit ? 1 : 0;
      if (rank > worst) {
        worst = rank;
        reason = truth.reason;
      }
    }
    const int all = static_cast<int>(node.children.size());
    switch (node.kind) {
      case Node::Kind::negation:
        if (worst >= 0) return Truth::unknown(reason);
        return Truth::of(no == 1);
      case Node::Kind::all_of:
        if (no > 0) return kNo;
        return yes == all ? kYes : Truth::unknown(reason);
      default:
        if (yes > 0) return kYes;
        return no == all ? kNo : Truth::unknown(reason);
    }
  }

  void shuffle(Condition& condition) {
    for (Node& node : condition.nodes) std::shuffle(node.children.begin(), node.children.end(), random_);
  }

 private:
  // What each leaf answers on the message of the test below.
  static Truth leaf(const Test& test) {
    if (test.rule->name == "true") return kYes;
    if (test.rule->name == "mail-from") return Truth::unknown(Unknown::unscannable);
    if (test.rule->name == "rcpt-count") return Truth::of(test.number == 1);
    return Truth::unknown(Unknown::regex_limit);  // recv-listener with a poison pattern, see fill()
  }

  void fill(Condition& out, uint32_t index, int depth) {
    const uint32_t pick = random_() % 8;
    if (depth == 0 || pick < 3) {
      Test test;
      switch (random_() % 4) {
        case 0:
          test.rule = find_rule("true");
          break;
        case 1:
          test.rule = find_rule("mail-from");
          test.op = Operator::eq;
          test.regex.emplace(*match::Regex::compile("x"));
          break;
        case 2:
          test.rule = find_rule("rcpt-count");
          test.op = Operator::eq;
          test.number = random_() % 2;
          break;
        default:
          test.rule = find_rule("rcpt-to");
          test.op = Operator::eq;
          test.regex.emplace(*match::Regex::compile(kPoison));
          break;
      }
      out.nodes[index].kind = Node::Kind::test;
      out.nodes[index].test = static_cast<uint32_t>(out.tests.size());
      out.tests.push_back(std::move(test));
      return;
    }
    const uint32_t count = pick == 3 ? 1 : 2 + random_() % 3;
    out.nodes[index].kind = pick == 3 ? Node::Kind::negation : pick < 6 ? Node::Kind::all_of : Node::Kind::any_of;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t child = static_cast<uint32_t>(out.nodes.size());
      out.nodes.emplace_back();
      out.nodes[index].children.push_back(child);
      fill(out, child, depth - 1);
    }
  }

  std::mt19937 random_;
};

TEST(Kleene, OrderOfOperandsDoesNotChangeTheAnswer) {
  Mail mail(kMessage);
  mail.message->envelope.from.reset();
  mail.message->envelope.recipients = {{std::string(400, 'a'), {}}};
  const auto rules = load("filters: []\n");
  ASSERT_NE(rules, nullptr);
  Facts facts(*mail.message, *rules, "inbound", 0);
  match::set_regex_limits({.match = 500, .depth = 100, .heap_kib = 64});
  Random random(20250615);
  int unknown = 0;
  for (int i = 0; i < 2000; ++i) {
    Condition condition = random.make(4);
    const std::string expected = truth_text(random.oracle(condition, 0));
    unknown += expected.starts_with("unknown") ? 1 : 0;
    EXPECT_EQ(truth_text(evaluate_condition(condition, *rules, facts)), expected);
    random.shuffle(condition);
    EXPECT_EQ(truth_text(evaluate_condition(condition, *rules, facts)), expected);
  }
  EXPECT_GT(unknown, 200);
  match::set_regex_limits({});
}

TEST(Kleene, StopsWhenTheAnswerIsCertain) {
  // The text is decoded only when a test asks for it.
  const auto rules = load_filter(R"(rcpt-count == 2 and body-contains("x"))", {"no-op"});
  Mail mail(kMessage);
  EXPECT_EQ(truth_text(run(*rules, mail).reports[0].result), "false");
  EXPECT_FALSE(mail.message->structure_parsed());
  const auto other = load_filter(R"(body-contains("x") or rcpt-count == 1)", {"no-op"});
  EXPECT_EQ(truth_text(run(*other, mail).reports[0].result), "true");
  EXPECT_FALSE(mail.message->structure_parsed());
}

TEST(RegexLimit, PoisonHeaderHurtsOneMessageOnly) {
  const auto rules = load("filters:\n" + filter("poison", "subject == \"" + std::string(kPoison) + "\"", {"drop"}) +
                          filter("next", R"(subject == "hello")", {"insert-header: {name: X-Next, value: hit}"}));
  ASSERT_NE(rules, nullptr);
  match::set_regex_limits({.match = 2000, .depth = 1000, .heap_kib = 256});
  const std::string poison = poison_subject();
  for (int i = 0; i < 1000; ++i) {
    Mail bad(poison);
    const Outcome outcome = run(*rules, bad);
    ASSERT_EQ(truth_text(outcome.reports[0].result), "unknown(regex-limit)") << i;
    ASSERT_EQ(outcome.quarantines, std::vector<std::string>{"Policy"}) << "the filter drops: its doubt is not skipped";
    Mail good(kMessage);
    const Outcome next = run(*rules, good);
    ASSERT_EQ(truth_text(next.reports[0].result), "false") << i;
    ASSERT_TRUE(next.quarantines.empty());
    ASSERT_EQ(good.header("X-Next"), "hit") << i;
  }
  match::set_regex_limits({});
}

struct UnknownCase {
  const char* on_unknown;
  const char* action;
  VerdictKind verdict;
  bool quarantined;
  bool ran;  // the action's header was inserted
};

TEST(OnUnknown, EachOutcome) {
  const UnknownCase cases[] = {
      {"skip", "insert-header: {name: X-Ran, value: y}", VerdictKind::pass, false, false},
      {"tempfail", "insert-header: {name: X-Ran, value: y}", VerdictKind::tempfail, false, false},
      {"quarantine", "insert-header: {name: X-Ran, value: y}", VerdictKind::pass, true, false},
      {"match", "insert-header: {name: X-Ran, value: y}", VerdictKind::pass, false, true},
      {"by-action", "insert-header: {name: X-Ran, value: y}", VerdictKind::pass, false, false},
      {"by-action", "drop", VerdictKind::pass, true, false},
      {"by-action", "reject", VerdictKind::pass, true, false},
      {"by-action", "quarantine: Policy", VerdictKind::pass, true, false},
      {"match", "drop", VerdictKind::discard, false, false},
  };
  for (const UnknownCase& each : cases) {
    const auto rules = load_filter(R"(mail-from == "x")", {each.action}, "on-unknown: " + std::string(each.on_unknown));
    ASSERT_NE(rules, nullptr);
    Mail mail(kMessage);
    mail.message->envelope.from.reset();
    const Outcome outcome = run(*rules, mail);
    EXPECT_EQ(outcome.verdict, each.verdict) << each.on_unknown << " " << each.action;
    EXPECT_EQ(!outcome.quarantines.empty(), each.quarantined) << each.on_unknown << " " << each.action;
    EXPECT_EQ(mail.headers().count("X-Ran") == 1, each.ran) << each.on_unknown << " " << each.action;
    ASSERT_EQ(outcome.reports.size(), 1u);
    EXPECT_TRUE(outcome.reports[0].detail.starts_with("unknown (unscannable): ")) << outcome.reports[0].detail;
    if (each.verdict == VerdictKind::tempfail) {
      EXPECT_EQ(outcome.reply.code, 451);
      EXPECT_EQ(outcome.decided_by, "f");
    }
  }
}

TEST(OnUnknown, DefaultsByReason) {
  LoadContext context = default_context();
  context.on_unknown[static_cast<size_t>(Unknown::unscannable)] = OnUnknown::tempfail;
  const auto rules = load("filters:\n" + filter("f", R"(mail-from == "x")", {"no-op"}), context);
  Mail mail(kMessage);
  mail.message->envelope.from.reset();
  EXPECT_EQ(run(*rules, mail).verdict, VerdictKind::tempfail);
}

TEST(OnUnknown, BeforeEndOfMessageThereIsNoQuarantine) {
  for (const char* action : {"reject", "log-entry: x"}) {
    const auto rules = load_filter(R"(remote-ip == "10.0.0.0/8")", {action}, "phase: connect");
    Mail mail(kMessage);
    mail.message->connection.client_ip.reset();
    const Outcome outcome = run(*rules, mail, Phase::connect);
    EXPECT_TRUE(outcome.quarantines.empty());
    EXPECT_EQ(outcome.verdict, std::string_view(action) == "reject" ? VerdictKind::tempfail : VerdictKind::pass);
  }
}

TEST(OnUnknown, NestedConditionFollowsTheFilter) {
  const auto rules = load(R"(filters:
  - name: f
    if: "true"
    then:
      - insert-header: {name: X-Before, value: "1"}
      - if: mail-from == "x"
        then: [drop]
        else: [{insert-header: {name: X-Else, value: "1"}}]
      - insert-header: {name: X-After, value: "1"}
    on-unknown: quarantine
)");
  ASSERT_NE(rules, nullptr);
  Mail mail(kMessage);
  mail.message->envelope.from.reset();
  const Outcome outcome = run(*rules, mail);
  EXPECT_EQ(outcome.verdict, VerdictKind::pass);
  EXPECT_EQ(outcome.quarantines, std::vector<std::string>{"Policy"});
  EXPECT_EQ(mail.headers().count("X-Before"), 1u);
  EXPECT_EQ(mail.headers().count("X-Else"), 0u);
  EXPECT_EQ(mail.headers().count("X-After"), 1u);
}

TEST(Filters, NestedIfAndElse) {
  const auto rules = load(R"(filters:
  - name: f
    if: rcpt-count > 1
    then: [{insert-header: {name: X-Way, value: many}}]
    else:
      - if: mail-from == "example"
        then: [{insert-header: {name: X-Way, value: one-example}}]
        else: [{insert-header: {name: X-Way, value: one-other}}]
)");
  ASSERT_NE(rules, nullptr);
  Mail mail(kMessage);
  run(*rules, mail);
  EXPECT_EQ(mail.header("X-Way"), "one-example");
  Mail other(kMessage);
  other.message->envelope.from = "x@y";
  run(*rules, other);
  EXPECT_EQ(other.header("X-Way"), "one-other");
  Mail many(kMessage);
  many.message->envelope.recipients = {{"a@x", {}}, {"b@x", {}}};
  run(*rules, many);
  EXPECT_EQ(many.header("X-Way"), "many");
}

TEST(Filters, FinalActionEndsTheRun) {
  const auto rules = load("filters:\n" + filter("a", R"(subject == "hello")", {"skip-filters"}) +
                          filter("b", R"(subject == "hel")", {"drop"}));
  Mail mail(kMessage);
  const Outcome outcome = run(*rules, mail);
  EXPECT_EQ(outcome.verdict, VerdictKind::accept);
  EXPECT_EQ(outcome.decided_by, "a");
  EXPECT_EQ(outcome.reports.size(), 1u);
}

TEST(Filters, FlowsPhasesAndSelection) {
  const auto rules = load("filters:\n" + filter("in", "true", {"tag-message: in"}, "flows: [inbound]") +
                          filter("out", "true", {"tag-message: out"}, "flows: [outbound]") +
                          filter("off", R"(rcpt-count > 0)", {"tag-message: off"}, "enabled: false") +
                          filter("early", R"(mail-from == "example")", {"log-entry: early"}, "phase: mail") +
                          filter("all", R"(rcpt-count > 0)", {"tag-message: all"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(kMessage);
  EXPECT_EQ(run(*rules, mail).tags, (std::vector<std::string>{"in", "all"}));
  EXPECT_EQ(run(*rules, mail, Phase::message, "outbound").tags, (std::vector<std::string>{"out", "all"}));
  EXPECT_EQ(run(*rules, mail, Phase::mail).log_entries, std::vector<std::string>{"early: early"});
  const std::vector<uint32_t> chosen = {4, 99};
  Facts facts(*mail.message, *rules, "inbound", 0);
  Outcome outcome;
  evaluate(*rules, Phase::message, facts, {.report_all = false, .filters = &chosen}, outcome);
  EXPECT_EQ(outcome.tags, std::vector<std::string>{"all"});
}

TEST(Filters, ObserveDoesNothing) {
  const auto rules = load("filters:\n" +
                          filter("watch", "true",
                                 {"insert-header: {name: X-Seen, value: y}", "strip-header: Subject",
                                  "add-footer: below", "alt-rcpt-to: x@y.example", "add-rcpt-to: z@y.example",
                                  "quarantine: Policy", "tag-message: t", "log-entry: l", "drop"},
                                 "mode: observe") +
                          filter("after", R"(subject == "hello")", {"tag-message: ran"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(kMessage);
  const std::string before = mail.whole();
  const Outcome outcome = run(*rules, mail);
  EXPECT_EQ(outcome.verdict, VerdictKind::pass);
  EXPECT_EQ(outcome.tags, std::vector<std::string>{"ran"});
  EXPECT_TRUE(outcome.quarantines.empty());
  EXPECT_TRUE(outcome.log_entries.empty());
  EXPECT_EQ(mail.whole(), before);
  EXPECT_EQ(mail.message->envelope.recipients.size(), 1u);
  ASSERT_EQ(outcome.reports.size(), 2u);
  EXPECT_TRUE(outcome.reports[0].observed);
  EXPECT_EQ(outcome.reports[0].actions.size(), 9u) << "every action it would do is named";
  // An unknown condition is only reported, too.
  const auto doubt = load_filter(R"(mail-from == "x")", {"drop"}, "mode: observe");
  Mail unknown(kMessage);
  unknown.message->envelope.from.reset();
  const Outcome watched = run(*doubt, unknown);
  EXPECT_EQ(watched.verdict, VerdictKind::pass);
  EXPECT_TRUE(watched.quarantines.empty());
  EXPECT_EQ(watched.reports[0].detail, "unknown (unscannable): would be message quarantined");
}

TEST(Filters, HeaderRulesSeeEarlierEdits) {
  const auto rules = load("filters:\n" +
                          filter("a", R"(subject == "hello")",
                                 {"insert-header: {name: X-New, value: here}", "strip-header: X-Old",
                                  "edit-header-text: {name: Subject, pattern: hello, replacement: goodbye}"}) +
                          filter("b", R"(header("X-New") == "here")", {"tag-message: new"}) +
                          filter("c", R"(header("X-Old"))", {"tag-message: old"}) +
                          filter("d", R"(subject == "goodbye")", {"tag-message: edited"}) +
                          filter("e", R"(subject == "hello")", {"tag-message: unedited"}));
  ASSERT_NE(rules, nullptr);
  Mail mail("Subject: hello\nX-Old: 1\n\n");
  EXPECT_EQ(run(*rules, mail).tags, (std::vector<std::string>{"new", "edited"}));
}

// A bound on work, not on speed: against a quadratic walk or a decode per filter.
TEST(Filters, ThousandsOfHeaderFiltersCostLittle) {
  std::string yaml = "filters:\n";
  for (int i = 0; i < 2000; ++i) {
    yaml += filter("f" + std::to_string(i),
                   std::string(i % 2 == 0 ? "subject" : R"(header("X-Mailer"))") + " == \"marker-" + std::to_string(i) +
                       "[0-9]$\"",
                   {"drop"});
  }
  const auto rules = load(yaml);
  ASSERT_NE(rules, nullptr);
  std::string text = "Subject: an ordinary subject of an ordinary mail\nX-Mailer: Example Mailer 7.1\n";
  for (int i = 0; i < 20; ++i) text += "X-Field-" + std::to_string(i) + ": value\n";
  Mail mail(text + "\nbody\n");
  const std::clock_t start = std::clock();
  Facts facts(*mail.message, *rules, "inbound", 0);
  Outcome outcome;
  evaluate(*rules, Phase::message, facts, {}, outcome);
  const double cold = 1e6 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const std::clock_t warm_start = std::clock();
  for (int i = 0; i < 20; ++i) {
    Facts each(*mail.message, *rules, "inbound", 0);
    Outcome none;
    evaluate(*rules, Phase::message, each, {}, none);
    ASSERT_TRUE(none.reports.empty());
  }
  const double warm = 1e6 * static_cast<double>(std::clock() - warm_start) / CLOCKS_PER_SEC / 20;
  RecordProperty("microseconds_cold", static_cast<int>(cold));
  RecordProperty("microseconds_warm", static_cast<int>(warm));
  std::printf("2,000 header filters: %.0f us cold, %.0f us warm\n", cold, warm);
  EXPECT_LT(warm, 2e6);
}

}  // namespace
}  // namespace postern::rules::test

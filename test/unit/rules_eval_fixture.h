// SPDX-License-Identifier: Apache-2.0
// What the tests of filter evaluation share: rule sets from YAML text, messages from literal text, one call that runs
// the filters over a message as the daemon does at end of message.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/source.h"
#include "engine/message/changes.h"
#include "engine/message/message.h"
#include "engine/mime/parser.h"
#include "rules/eval.h"
#include "rules/ruleset.h"

namespace postern::rules::test {

// crlf turns every LF without CR into CRLF.
inline std::string crlf(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) out += '\r';
    out += text[i];
  }
  return out;
}

// lf is its inverse, so that expected texts can be written plainly.
inline std::string lf(std::string text) {
  for (size_t at = text.find("\r\n"); at != std::string::npos; at = text.find("\r\n", at)) text.erase(at, 1);
  return text;
}

// The dictionaries that examples of rules and actions name.
inline std::vector<std::shared_ptr<const match::Dictionary>> example_dictionaries() {
  std::vector<std::shared_ptr<const match::Dictionary>> out;
  for (const char* name : {"project-names", "competitors"}) {
    match::DictionaryEntry entry;
    entry.text = "Bluebird";
    EXPECT_TRUE(entry.compile());
    std::vector<match::DictionaryEntry> entries;
    entries.push_back(std::move(entry));
    out.push_back(std::make_shared<const match::Dictionary>(name, std::move(entries)));
  }
  return out;
}

inline LoadContext default_context() {
  LoadContext context;
  context.groups = true;
  context.login_queries = {"corporate.logins"};
  context.virus_engines = true;
  context.spam_engines = true;
  context.flows = {"inbound", "outbound"};
  context.quarantines = {"Policy", "Unscannable"};
  context.reinject = true;
  context.store = true;
  context.archives = {"project-mail"};
  context.dictionaries = example_dictionaries();
  context.store = true;
  return context;
}

// load makes a rule set from the text of one rule file; the test fails when it does not load.
inline std::shared_ptr<const RuleSet> load(const std::string& yaml, const LoadContext& context = default_context()) {
  config::Sources sources;
  const uint32_t id = sources.add_text("test.yaml", yaml);
  config::Diagnostics diagnostics(sources);
  auto rules = RuleSet::load(sources, {id}, context, diagnostics);
  EXPECT_TRUE(rules != nullptr) << yaml << "\n" << diagnostics.render();
  return rules;
}

// filter writes one filter in YAML: a condition and lines of `then`.
inline std::string filter(std::string_view name, std::string_view condition, const std::vector<std::string>& actions,
                          std::string_view more = "") {
  std::string out =
      "  - name: " + std::string(name) + "\n    if: |-\n      " + std::string(condition) + "\n    then:\n";
  for (const std::string& action : actions) out += "      - " + action + "\n";
  if (!more.empty()) out += "    " + std::string(more) + "\n";
  return out;
}

inline std::shared_ptr<const RuleSet> load_filter(std::string_view condition, const std::vector<std::string>& actions,
                                                  std::string_view more = "") {
  return load("filters:\n" + filter("f", condition, actions, more));
}

// Mail is a message made from text, with the envelope most tests want.
struct Mail {
  explicit Mail(std::string_view text, base::Limits limits = {}) : file(crlf(text)) {
    const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
    message = std::make_unique<message::Message>(limits);
    for (const mime::HeaderField& field : parsed.header) message->headers.add_received(field.name, milter(field.value));
    message->keep_received_header_size();
    message->set_body(std::string_view(file).substr(parsed.body_offset));
    message->mid = 4711;
    message->envelope.from = "sender@example.com";
    message->envelope.recipients = {{"rcpt@example.org", {}}};
    message->connection.client_ip = "192.0.2.7";
    message->connection.client_name = "client.example.com";
    message->connection.helo = "client.example.com";
    message->connection.daemon_name = "smtp-in";
    message->connection.interface = "192.0.2.25";
    message->connection.mta_name = "mx1.example.org";
    message->keep_received_envelope();
  }
  // A milter gets folds as LF.
  static std::string milter(std::string value) {
    std::erase(value, '\r');
    return value;
  }
  const mime::HeaderList& headers() const { return message->headers; }
  // header returns the raw value of the first field called `name`, without outer blanks.
  std::string header(std::string_view name) const {
    const size_t at = message->headers.find(name);
    return at == mime::HeaderList::npos ? "(none)" : std::string(base_trim(message->headers[at].value));
  }
  std::string body() { return lf(message->final_body().flatten()); }
  std::string whole() { return lf(message->whole()); }

  static std::string_view base_trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
  }

  std::string file;
  std::unique_ptr<message::Message> message;
};

// PlainScanner believes names, and can read no text; in pictures, sound and signatures there is none.
struct PlainScanner : scan::Scanner {
  scan::Verdict scan(const scan::Job& job) override {
    scan::Verdict verdict = scan::unscannable(scan::Reason::none, job.name, job.declared_mime, job.bytes.size());
    scan::Leaf& leaf = verdict.leaves.front();
    leaf.protection = scan::Protection::no;
    leaf.types = {scan::type_of_extension(job.name).value_or(scan::FileType::unknown)};
    leaf.mime = info(leaf.types.front()).mime;
    const bool silent = leaf.in_group(scan::Group::image) || leaf.in_group(scan::Group::media) ||
                        leaf.is(scan::FileType::smime_signature);
    if (job.want_text && !silent) leaf.reason = scan::Reason::unsupported;
    return verdict;
  }
};

// run evaluates the filters at `phase`.
inline Outcome run(const RuleSet& rules, Mail& mail, Phase phase = Phase::message, std::string_view flow = "inbound") {
  Facts facts(*mail.message, rules, flow, 3);
  facts.set_now(1'750'000'000);  // 2025-06-15 15:06:40 UTC
  PlainScanner scanner;
  const scan::ScanSettings settings;
  facts.inspection().set(&scanner, &settings, (rules.needs() & kNeedText) != 0);
  Outcome outcome;
  EvalOptions options;
  options.report_all = true;
  evaluate(rules, phase, facts, options, outcome);
  return outcome;
}

inline std::string truth_text(Truth truth) {
  switch (truth.value) {
    case Truth::Value::no:
      return "false";
    case Truth::Value::yes:
      return "true";
    case Truth::Value::unknown:
      break;
  }
  return "unknown(" + std::string(unknown_name(truth.reason)) + ")";
}

// ask evaluates one condition over a message.
inline std::string ask(std::string_view condition, Mail& mail, std::string_view more = "",
                       Phase phase = Phase::message) {
  const auto rules = load_filter(condition, {"no-op"}, more);
  if (rules == nullptr) return "(does not load)";
  const Outcome outcome = run(*rules, mail, phase);
  return outcome.reports.empty() ? "(not run)" : truth_text(outcome.reports[0].result);
}

inline std::string ask(std::string_view condition, std::string_view text) {
  Mail mail(text);
  return ask(condition, mail);
}

}  // namespace postern::rules::test

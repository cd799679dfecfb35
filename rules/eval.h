// SPDX-License-Identifier: Apache-2.0
// Evaluation: runs the filters of one phase over one message. Tests have no side effects; `and` and `or` run the
// cheapest operand first and stop when the answer is certain; Kleene logic. Actions edit the Message only. DESIGN: a
// filter whose condition is unknown runs no action and its on-unknown decides.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rules/facts.h"
#include "rules/ruleset.h"

namespace postern::rules {

// VerdictKind says what happens to the transaction: `pass` goes on, the others are final. `quarantine` is not final for
// the filters but is what becomes of the message.
enum class VerdictKind : uint8_t { pass, accept, reject, bounce, tempfail, discard };

struct Reply {
  int code = 0;          // 0: the default for the verdict
  std::string enhanced;  // "5.7.1"
  std::string text;      // one line, ASCII or UTF-8, no percent handling needed by the caller
};

// FilterReport is one filter's outcome for trace and tracking.
struct FilterReport {
  const Filter* filter = nullptr;
  Truth result;
  std::vector<std::string> actions;  // what was done (or would be, when observing): "insert-header X-Path: …"
  std::string detail;                // on-unknown outcome, errors
  bool observed = false;
};

// QuarantineMark says which quarantine, who asked for it and why.
struct QuarantineMark {
  std::string quarantine;
  std::string filter;
  std::string reason;
};

// KeptCopy is the message as it was when duplicate-quarantine ran.
struct KeptCopy {
  QuarantineMark mark;
  std::string header;  // CRLF lines, without the empty one
  // The body: a view into the received one, or a text of its own where it had been edited.
  std::string_view received_body;
  std::shared_ptr<const std::string> edited_body;
};

// GeneratedMail is a mail that a filter made. It is sent only when the message itself is not deferred.
struct GeneratedMail {
  enum class Kind : uint8_t { notify, notify_copy, bcc, bcc_scan, archive } kind = Kind::notify;
  std::string filter;
  std::string from;                            // envelope sender, "" for the null sender
  std::vector<std::string> recipients;         // addresses; the archive's name for Kind::archive
  std::string host;                            // where it goes instead of the usual next hop; empty: nothing said
  std::string subject;                         // one line, for people
  std::shared_ptr<const std::string> content;  // the whole message, CRLF lines
};
// mail_kind_name is the action's name.
std::string_view mail_kind_name(GeneratedMail::Kind kind);

struct Outcome {
  VerdictKind verdict = VerdictKind::pass;
  Reply reply;
  std::string decided_by;                 // filter name
  std::vector<std::string> quarantines;   // named quarantines, in order; put in by hold()
  std::string quarantine_reason;          // who wants it, names
  std::vector<QuarantineMark> marks;      // the same with who and why, one for each quarantine
  std::vector<KeptCopy> copies;           // duplicate-quarantine
  std::vector<QuarantineMark> originals;  // keep-original, where a part was dropped
  bool copies_refused = false;            // no memory for a copy: the message must be deferred
  std::vector<std::string> log_entries;   // log-entry texts, "filter: text"
  std::vector<std::string> tags;          // tag-message
  std::vector<GeneratedMail> mails;       // notify, bcc and their kin, in order

  // hold puts the message into the quarantine `name` at its end; `by` is the filter, or the stage, that wants it.
  void hold(const std::string& name, const std::string& by, std::string reason);

  std::vector<FilterReport>
      reports;  // filled for filters whose condition was not plainly false, or for all when `report_all`
};

struct EvalOptions {
  bool report_all = false;                         // trace: report false filters too
  const std::vector<uint32_t>* filters = nullptr;  // indexes of the filters that the flow runs, or nullptr for all
  // Asked before each filter when it is set; false ends the run there, and what to answer is the caller's business.
  const std::function<bool()>* keep_going = nullptr;
};

// evaluate runs every enabled filter of `phase` in order until a final action, then writes the body edits they asked
// for. `outcome` accumulates over phases, but verdict, reply and decided_by are those of this call: skip-filters gives
// `accept` at end of message, and `pass` in an earlier phase, which is all it ends.
void evaluate(const RuleSet& rules, Phase phase, Facts& facts, const EvalOptions& options, Outcome& outcome);

// evaluate_condition is the bare condition, for tests.
Truth evaluate_condition(const Condition& condition, const RuleSet& rules, Facts& facts);

// expand writes a template for the running filter; line ends in values become blanks unless `keep_lines`.
std::string expand(const Template& text, const Filter& filter, Facts& facts, bool keep_lines);

}  // namespace postern::rules

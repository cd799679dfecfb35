// SPDX-License-Identifier: Apache-2.0
// Pipeline: one message's way through the stages, phase by phase, without knowing libmilter. The daemon's session and
// `postern trace` drive the same object.
//
// A Transaction is made at MAIL (or at connect for the early phases of a session) and destroyed at end of message,
// abort, close and the next MAIL: it is never reset. Each step returns a Decision; anything but `proceed` is final. At
// end of message finish() has the answer and the change list; nothing was sent to the MTA before.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/message/changes.h"
#include "engine/message/message.h"
#include "engine/submit/mark.h"
#include "milter/rule_directory.h"
#include "milter/rule_engines.h"
#include "milter/scan_rows.h"
#include "milter/settings.h"
#include "rules/eval.h"

namespace postern::milter {

enum class Verdict : uint8_t { proceed, accept, reject, tempfail, discard, quarantine };
std::string_view verdict_name(Verdict verdict);

// kTransactionBytes is what one message in flight costs before anything of it is stored; it is taken from
// limits.memory at MAIL.
inline constexpr uint64_t kTransactionBytes = 16u << 10;

// Decision is the answer to one step, with the SMTP reply when there is one of our own.
struct Decision {
  Verdict verdict = Verdict::proceed;
  rules::Reply reply;      // code 0: the MTA's default text for the verdict
  std::string decided_by;  // "filter 'x'", or the limit's name as in postern.yaml
};

// StageReport is one stage's line in a trace.
struct StageReport {
  std::string name;
  std::string outcome;  // "done", "skipped", "failed"
  std::string detail;
};

// Finished is the end of a message: verdict, what to tell the MTA, what to say in logs and traces.
struct Finished {
  Decision decision;
  std::optional<base::Error> error;  // why it was refused or deferred, when no rule did that
  message::ChangeList changes;
  std::vector<StageReport> stages;
  stages::MasqueradeReport masquerade;
  stages::RouteReport routing;
  stages::SignReport signing;
};

// decision_for_error is the one place where an Error becomes an SMTP answer: limit 552, everything else a tempfail;
// never accept.
Decision decision_for_error(const base::Error& error);

class Transaction {
 public:
  // `generation` is held until the end. `memory` may be null (command line). `work_count` for workqueue-count.
  Transaction(std::shared_ptr<const Generation> generation, base::MemoryAccount* memory, uint64_t mid,
              uint64_t work_count);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  message::Message& message() { return message_; }
  const Generation& generation() const { return *generation_; }
  const Flow* flow() const { return flow_; }
  rules::Outcome& outcome() { return outcome_; }

  // The steps, in SMTP order. The caller fills message().connection and .envelope before each; `reports` of every
  // filter are kept when `report_all`.
  Decision connect();
  Decision helo();
  Decision mail();
  Decision recipient(message::Recipient recipient);  // a refused recipient is not added
  Decision data();
  // header adds one field; past the limits the message is marked and refused at finish(). `value` as in
  // mime::HeaderField.
  void header(std::string_view name, std::string_view value);
  void end_of_header();
  void body(std::string_view chunk);
  // finish runs the stages on the whole message. `body_delivered` false: the body step was not negotiated.
  Finished finish(bool body_delivered);

  // mark is what says that this is mail of our own that came back; known from the end of the header on.
  const std::optional<submit::Mark>& mark() const { return mark_; }
  // mark_fault is what was wrong with a mark that is not ours, or empty.
  const std::string& mark_fault() const { return mark_fault_; }

  // add_recipient puts a recipient into the envelope without asking any filter; false past limits.recipients or
  // limits.memory.
  bool add_recipient(message::Recipient recipient);
  // part_dropped tells whether a filter took an attachment out of the message.
  bool part_dropped() const { return facts_ != nullptr && !facts_->dropped_names.empty(); }
  // scanned returns what content scanning found in the parts that rules asked about, in their order; good as long as
  // the Transaction.
  std::vector<ScanRow> scanned();
  // attachments returns what is in all attachments, scanning those that no rule asked about.
  std::vector<ScanRow> attachments();
  // inspections are what external engines said of the message, in the order in which they were asked.
  const std::vector<InspectionReport>& inspections() const { return engines_.reports(); }
  // bytes_seen is what the MTA sent of the message so far, stored or not.
  uint64_t bytes_seen() const { return bytes_seen_; }

  // Unchecked is a recipient that was accepted although no directory could tell about it.
  struct Unchecked {
    std::string address;
    std::string reason;
  };
  std::vector<Unchecked> take_unchecked() { return std::exchange(unchecked_, {}); }

  bool report_all = false;
  // false: body() only counts, for limits.message-size, and the message ends without a body.
  bool keep_body = true;
  // Asked for the secret by which our own mail is known, when a message claims to be that; without it no mark is ours,
  // and where it cannot be had the message must wait.
  std::function<base::Result<std::shared_ptr<const submit::MarkKey>>()> mark_key;
  // The message came by the MTA's listener for our own mail: filters of the early phases wait until it is known whose
  // it is, and a message a little larger than others may be is taken.
  bool own_listener = false;
  // Whoever sends can be asked to send a recipient in another transaction; a local program cannot.
  bool may_split = true;
  // Asked between filters at end of message; false gives up with a temporary error (decided_by "deadline").
  std::function<bool()> keep_going;

 private:
  void begin_command();
  Decision run_phase(rules::Phase phase);
  void fail_once(base::Error error, std::string_view limit);
  Finished give_up();
  void sign(Finished& finished);
  void read_mark();
  Decision deferred_phases();
  uint64_t most_bytes() const;
  void prepare_facts();
  bool masquerade(Finished& finished);
  bool route(Finished& finished);
  Decision known_recipient(const std::string& address);
  Decision same_route(const std::string& address, std::optional<std::string>& host);
  std::shared_ptr<const Generation> generation_;
  base::MemoryLease lease_;
  message::Message message_;
  std::unique_ptr<message::Spool> spool_;
  RuleDirectory directory_;
  RuleEngines engines_;
  std::chrono::steady_clock::time_point directory_deadline_;  // of the present step, for all it asks
  std::chrono::steady_clock::time_point engine_deadline_{};
  std::unique_ptr<rules::Facts> facts_;
  rules::Outcome outcome_;
  const Flow* flow_ = nullptr;
  uint64_t work_count_;
  std::optional<base::Error> failure_;
  std::string failed_limit_;
  std::vector<Unchecked> unchecked_;
  std::optional<std::string> route_host_;  // next hop of the recipients so far
  uint64_t bytes_seen_ = 0;
  std::optional<submit::Mark> mark_;
  std::string mark_fault_;
  bool phases_deferred_ = true;  // with own_listener: filters of the early phases still have to wait
  bool header_ended_ = false;
  bool stopped_ = false;
};

}  // namespace postern::milter

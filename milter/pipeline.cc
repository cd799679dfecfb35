// SPDX-License-Identifier: Apache-2.0
// The stages of one message. Every limit that ends a message is noticed here, remembered once, and answered at end of
// message: nothing is decided while header and body stream in, because the MTA waits for no answer there.
#include "milter/pipeline.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "engine/base/text.h"
#include "milter/scanning.h"
#include "rules/actions.h"

namespace postern::milter {
namespace {

// kOwnMailExtra is by how much mail of our own may be larger than the message it was made of.
constexpr uint64_t kOwnMailExtra = 2u << 20;
// How long a message waits for directories at its end; the MTA waits 300 s.
constexpr std::chrono::seconds kDirectoryWait{60};
// And in one command before: Sendmail waits 10 s.
constexpr std::chrono::seconds kDirectoryCommandWait{6};
// How long a message waits for external engines, all together.
constexpr std::chrono::seconds kEngineWait{120};

constexpr std::string_view kRefusedText = "Message refused by local policy";
constexpr std::string_view kDeferredText = "Message deferred by local policy, try again later";

// with_defaults completes a reply whose code, enhanced code or text the filter left open.
rules::Reply with_defaults(rules::Reply reply, Verdict verdict) {
  const bool permanent = verdict == Verdict::reject;
  if (reply.code == 0) reply.code = permanent ? 550 : 451;
  if (reply.enhanced.empty()) reply.enhanced = permanent ? "5.7.1" : "4.7.1";
  if (reply.text.empty()) reply.text = permanent ? kRefusedText : kDeferredText;
  return reply;
}

Verdict verdict_of(rules::VerdictKind kind) {
  switch (kind) {
    case rules::VerdictKind::pass:
      return Verdict::proceed;
    case rules::VerdictKind::accept:
      return Verdict::accept;
    case rules::VerdictKind::reject:
    case rules::VerdictKind::bounce:
      return Verdict::reject;
    case rules::VerdictKind::tempfail:
      return Verdict::tempfail;
    case rules::VerdictKind::discard:
      return Verdict::discard;
  }
  return Verdict::tempfail;
}

std::string filter_label(const std::string& name) { return "filter '" + name + "'"; }

Decision temporary(std::string_view enhanced, std::string_view text, std::string_view decided_by, int code = 451) {
  return {Verdict::tempfail, {code, std::string(enhanced), std::string(text)}, std::string(decided_by)};
}

Decision too_much_in_flight(std::string_view option = "limits.memory") {
  return temporary("4.3.2", "Too much mail in flight, try again later", option);
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::proceed:
      return "proceed";
    case Verdict::accept:
      return "accept";
    case Verdict::reject:
      return "reject";
    case Verdict::tempfail:
      return "tempfail";
    case Verdict::discard:
      return "discard";
    case Verdict::quarantine:
      return "quarantine";
  }
  return "tempfail";
}

Decision decision_for_error(const base::Error& error) {
  switch (error.cause()) {
    case base::Cause::limit:
      return {Verdict::reject, {552, "5.3.4", "Message size exceeds fixed limit"}, {}};
    case base::Cause::unavailable:
      return temporary("4.3.2", "System not accepting mail just now, try again later", {});
    case base::Cause::malformed:
    case base::Cause::not_found:
    case base::Cause::denied:
    case base::Cause::misconfigured:
    case base::Cause::internal:
      break;
  }
  return temporary("4.3.0", "Temporary processing failure, try again later", {});
}

Transaction::Transaction(std::shared_ptr<const Generation> generation, base::MemoryAccount* memory, uint64_t mid,
                         uint64_t work_count)
    : generation_(std::move(generation)),
      lease_(memory),
      message_(generation_->settings.limits),
      directory_(*generation_),
      engines_(*generation_, message_),
      work_count_(work_count) {
  message_.mid = mid;
  message_.reserve = [this](uint64_t bytes) { return lease_.grow(bytes); };
}

Transaction::~Transaction() = default;

void Transaction::prepare_facts() {
  facts_ = std::make_unique<rules::Facts>(message_, *generation_->rules, flow_->name, work_count_);
  facts_->set_hostname(generation_->settings.hostname);
  facts_->reserve = [this](uint64_t bytes) { return lease_.grow(bytes); };
  facts_->is_copy = mark_.has_value();
  if (!generation_->directories.empty()) facts_->directory = &directory_;
  facts_->inspection().set(generation_->scanning.get(), &generation_->settings.scan,
                           (generation_->rules->needs() & rules::kNeedText) != 0);
  if (!generation_->engines.empty()) facts_->engines = &engines_;
}

// begin_command sets the time that directories have for all that this command asks.
void Transaction::begin_command() { directory_deadline_ = std::chrono::steady_clock::now() + kDirectoryCommandWait; }

Decision Transaction::run_phase(rules::Phase phase) {
  const rules::RuleSet& rules = *generation_->rules;
  if (!rules.has_phase(phase) || flow_ == nullptr) return {};
  if (!flow_->all_filters && flow_->filter_indexes.empty()) return {};
  if (own_listener && phases_deferred_ && phase != rules::Phase::message) return {};
  if (facts_ == nullptr) {
    prepare_facts();
  } else {
    facts_->set_flow(flow_->name);
  }
  directory_.deadline = directory_deadline_;
  engines_.flow = flow_;
  engines_.deadline = engine_deadline_;
  rules::EvalOptions options;
  options.report_all = report_all;
  options.filters = flow_->all_filters ? nullptr : &flow_->filter_indexes;
  std::function<bool()> ask;
  if (phase == rules::Phase::message) {
    ask = [this] {
      stopped_ = stopped_ || (keep_going && !keep_going());
      return !stopped_ && message_.lacking().empty();
    };
    options.keep_going = &ask;
  }
  const auto before = static_cast<ptrdiff_t>(outcome_.reports.size());
  rules::evaluate(rules, phase, *facts_, options, outcome_);
  if (!message_.lacking().empty()) {
    // Whatever filters made of a message that they could not see whole.
    outcome_.reports.erase(outcome_.reports.begin() + before, outcome_.reports.end());
    return too_much_in_flight(message_.lacking());
  }
  if (stopped_) return temporary("4.3.0", "Temporary processing failure, try again later", "deadline");

  const Verdict verdict = verdict_of(outcome_.verdict);
  if (verdict == Verdict::proceed) return {};
  if (verdict == Verdict::accept) {
    // skip-filters ends its own phase only; at end of message that is the end of all filters.
    if (phase == rules::Phase::message) return {Verdict::accept, {}, filter_label(outcome_.decided_by)};
    outcome_.verdict = rules::VerdictKind::pass;
    outcome_.decided_by.clear();
    return {};
  }
  Decision decision{verdict, {}, filter_label(outcome_.decided_by)};
  if (verdict != Verdict::discard) decision.reply = with_defaults(outcome_.reply, verdict);
  return decision;
}

Decision Transaction::connect() {
  begin_command();
  flow_ = choose_flow(generation_->settings, message_.connection, message_.envelope);
  return run_phase(rules::Phase::connect);
}

Decision Transaction::helo() {
  begin_command();
  flow_ = choose_flow(generation_->settings, message_.connection, message_.envelope);
  return run_phase(rules::Phase::helo);
}

Decision Transaction::mail() {
  begin_command();
  if (!lease_.grow(kTransactionBytes)) {
    return too_much_in_flight();
  }
  if (message_.envelope.declared_size.value_or(0) > most_bytes()) {
    Decision decision = decision_for_error(base::Error(base::Cause::limit, "declared size"));
    decision.decided_by = "limits.message-size";
    return decision;
  }
  flow_ = choose_flow(generation_->settings, message_.connection, message_.envelope);
  return run_phase(rules::Phase::mail);
}

bool Transaction::add_recipient(message::Recipient recipient) {
  if (message_.envelope.recipients.size() >= message_.limits().recipients) return false;
  if (!lease_.grow(recipient.address.size() + sizeof(message::Recipient))) return false;
  message_.envelope.recipients.push_back(std::move(recipient));
  return true;
}

// known_recipient asks the flow's directories whether there is such a recipient.
Decision Transaction::known_recipient(const std::string& address) {
  // At our own listener nobody but us sends, to whom we said that we would.
  if (own_listener || flow_ == nullptr || flow_->accept.queries.empty()) return {};
  const auto known = stages::is_recipient(flow_->accept, generation_->directories, address,
                                          message_.envelope.from.value_or(""), directory_deadline_);
  if (known && *known) return {};
  if (known) return {Verdict::reject, {550, "5.1.1", "Recipient unknown"}, "accept"};
  // A query that is wrong is no outage: nobody would be refused ever again.
  if (!flow_->accept.accept_unavailable || known.error().cause() != base::Cause::unavailable) {
    return temporary("4.4.3", "Directory not available, try again later", "accept: " + known.error().text());
  }
  unchecked_.push_back({address, known.error().text()});
  return {};
}

// same_route keeps recipients with different next hops out of one message: who sends several is asked to send the
// others by themselves (RFC 5321 section 4.5.3.1.10).
Decision Transaction::same_route(const std::string& address, std::optional<std::string>& host) {
  // Where mail of our own goes was decided when it was made.
  if (own_listener || flow_ == nullptr) return {};
  const auto& queries = flow_->route.queries;
  if (std::ranges::none_of(queries, [](const stages::QueryUse& use) { return use.roles.host >= 0; })) return {};
  auto target = stages::route_of(flow_->route, generation_->directories, address, message_.envelope.smtputf8,
                                 directory_deadline_);
  if (!target) return temporary("4.4.3", "Directory not available, try again later", "route: " + target.error().text());
  if (route_host_ && *route_host_ != target->host) {
    if (!may_split) {
      return {
          Verdict::reject, {550, "5.3.0", "Recipients with different next hops, send one message to each"}, "route"};
    }
    return temporary("4.5.3", "Send this recipient in another transaction", "route", 452);
  }
  host = std::move(target->host);
  return {};
}

Decision Transaction::recipient(message::Recipient recipient) {
  begin_command();
  if (message_.envelope.recipients.size() >= message_.limits().recipients) {
    return temporary("4.5.3", "Too many recipients", "limits.recipients", 452);
  }
  if (Decision decision = known_recipient(recipient.address); decision.verdict != Verdict::proceed) return decision;
  if (generation_->rules->has_phase(rules::Phase::rcpt)) {
    if (facts_ == nullptr && flow_ != nullptr) prepare_facts();
    if (facts_ != nullptr) facts_->current_recipient = recipient.address;
    Decision decision = run_phase(rules::Phase::rcpt);
    if (facts_ != nullptr) facts_->current_recipient.reset();
    if (decision.verdict != Verdict::proceed) {
      // A refusal is about this recipient; the next one starts afresh.
      if (decision.verdict != Verdict::discard) {
        outcome_.verdict = rules::VerdictKind::pass;
        outcome_.reply = {};
        outcome_.decided_by.clear();
      }
      return decision;
    }
  }
  std::optional<std::string> host;
  if (Decision decision = same_route(recipient.address, host); decision.verdict != Verdict::proceed) return decision;
  if (!add_recipient(std::move(recipient))) {
    return temporary("4.3.2", "Too much mail in flight, try again later", "limits.memory", 452);
  }
  if (host) route_host_ = std::move(host);
  return {};
}

Decision Transaction::data() {
  begin_command();
  return run_phase(rules::Phase::data);
}

void Transaction::fail_once(base::Error error, std::string_view limit) {
  if (failure_) return;
  failure_ = std::move(error);
  failed_limit_ = limit;
  spool_.reset();
}

void Transaction::header(std::string_view name, std::string_view value) {
  const uint64_t bytes = name.size() + value.size() + 3;
  bytes_seen_ += bytes;
  if (failure_) return;
  const base::Limits& limits = message_.limits();
  if (message_.headers.bytes() + bytes > limits.header_size) {
    fail_once({base::Cause::limit, "header larger than limits.header-size"}, "limits.header-size");
  } else if (message_.headers.size() >= limits.header_count) {
    fail_once({base::Cause::limit, "more header fields than limits.header-count"}, "limits.header-count");
  } else if (bytes_seen_ > most_bytes()) {
    fail_once({base::Cause::limit, "message larger than limits.message-size"}, "limits.message-size");
  } else if (!lease_.grow(bytes + sizeof(mime::HeaderField))) {
    fail_once({base::Cause::unavailable, "limits.memory reached"}, "limits.memory");
  } else {
    message_.headers.add_received(name, value);
  }
}

void Transaction::end_of_header() {
  if (header_ended_) return;
  header_ended_ = true;
  bytes_seen_ += 2;
  message_.keep_received_header_size();
  read_mark();
}

uint64_t Transaction::most_bytes() const {
  const uint64_t most = message_.limits().message_size;
  return own_listener ? most + kOwnMailExtra : most;
}

// read_mark finds out whether this is mail of our own that came back. Whatever claims to be a mark goes, so that none
// of ours leaves this machine.
void Transaction::read_mark() {
  size_t at = message_.headers.find(submit::kMarkHeader);
  // Without a listener nothing of ours comes back, and the MTA was not asked whether header fields may go.
  if (at == mime::HeaderList::npos || generation_->settings.reinject.server.empty()) return;
  std::vector<std::string> recipients;
  for (const message::Recipient& recipient : message_.envelope.recipients) recipients.push_back(recipient.address);
  mark_fault_ = "this program has no secret to check it by";
  std::shared_ptr<const submit::MarkKey> key;
  if (mark_key) {
    auto found = mark_key();
    if (!found) {
      fail_once(std::move(found.error()), "");
      return;
    }
    key = *std::move(found);
  }
  for (; at != mime::HeaderList::npos && key != nullptr && !mark_;
       at = message_.headers.find(submit::kMarkHeader, at + 1)) {
    auto mark = key->verify(message_.headers[at].value, message_.envelope.from.value_or(std::string()), recipients,
                            static_cast<int64_t>(std::time(nullptr)));
    if (mark) {
      mark_ = std::move(*mark);
      mark_fault_.clear();
    } else {
      mark_fault_ = mark.error().text();
    }
  }
  message_.headers.remove_received(submit::kMarkHeader);
  if (!mark_) return;
  if (facts_ != nullptr) facts_->is_copy = true;
  // Who the client is says nothing here: the client is we. A copy that is to be filtered takes the flow of the message
  // it was made of, everything else none.
  flow_ = nullptr;
  if (mark_->kind == rules::mail_kind_name(rules::GeneratedMail::Kind::bcc_scan)) {
    for (const Flow& flow : generation_->settings.flows) {
      if (flow.name == mark_->flow) flow_ = &flow;
    }
    if (flow_ == nullptr) flow_ = choose_flow(generation_->settings, {}, message_.envelope);
  }
  if (!mark_->host.empty()) message_.headers.append(rules::kAltMailhostHeader, mark_->host);
}

// deferred_phases makes up for the filters of the early phases when a message by our own listener is not our own. A
// refused recipient refuses the message: there is nobody left to refuse only him to.
Decision Transaction::deferred_phases() {
  phases_deferred_ = false;
  for (const rules::Phase phase : {rules::Phase::connect, rules::Phase::helo, rules::Phase::mail}) {
    if (Decision decision = run_phase(phase); decision.verdict != Verdict::proceed) return decision;
  }
  if (generation_->rules->has_phase(rules::Phase::rcpt) && flow_ != nullptr) {
    if (facts_ == nullptr) prepare_facts();
    for (const message::Recipient& recipient : message_.envelope.recipients) {
      facts_->current_recipient = recipient.address;
      Decision decision = run_phase(rules::Phase::rcpt);
      facts_->current_recipient.reset();
      if (decision.verdict != Verdict::proceed) return decision;
    }
  }
  if (Decision decision = run_phase(rules::Phase::data); decision.verdict != Verdict::proceed) return decision;
  if (bytes_seen_ <= message_.limits().message_size) return {};
  Decision decision = decision_for_error(base::Error(base::Cause::limit, "size"));
  decision.decided_by = "limits.message-size";
  return decision;
}

void Transaction::body(std::string_view chunk) {
  end_of_header();
  bytes_seen_ += chunk.size();
  if (failure_) return;
  const base::Limits& limits = message_.limits();
  if (bytes_seen_ > most_bytes()) {
    fail_once({base::Cause::limit, "message larger than limits.message-size"}, "limits.message-size");
    return;
  }
  if (!keep_body) return;
  if (spool_ == nullptr) {
    spool_ = std::make_unique<message::Spool>(generation_->settings.spool_directory, limits.spool_memory, most_bytes(),
                                              &lease_);
  }
  if (auto stored = spool_->append(chunk); !stored) {
    // The spool says "unavailable" for the memory bound and for a full disk alike.
    fail_once(std::move(stored.error()), lease_.refused() ? "limits.memory" : "");
  }
}

// give_up ends a message that a limit or a failure decided; no filter sees it.
Finished Transaction::give_up() {
  Finished finished;
  finished.decision = decision_for_error(*failure_);
  finished.decision.decided_by = failed_limit_;
  finished.error = *failure_;
  finished.stages.push_back({"filter", "skipped", failure_->text()});
  return finished;
}

// sign runs the last stage; a profile that must sign and cannot turns the decision into a refusal.
void Transaction::sign(Finished& finished) {
  if (flow_ == nullptr || flow_->sign.empty()) return;
  if (generation_->signer == nullptr || !message_.has_body()) {
    finished.error.emplace(base::Cause::internal, "the message cannot be signed: its body or the signer is not there");
    finished.decision = decision_for_error(*finished.error);
    return;
  }
  using Outcome = stages::ProfileReport::Outcome;
  finished.signing = generation_->signer->run(message_, flow_->sign, static_cast<int64_t>(std::time(nullptr)));
  StageReport report{"sign", "skipped", {}};
  for (const stages::ProfileReport& profile : finished.signing.profiles) {
    report.detail += (report.detail.empty() ? "" : "; ") + std::string(profile.profile) + ": " + profile.detail;
    if (profile.outcome == Outcome::failed) report.outcome = "failed";
    if (profile.outcome == Outcome::signed_ && report.outcome == "skipped") report.outcome = "done";
  }
  finished.stages.push_back(std::move(report));
  const auto& decision = finished.signing.decision;
  if (!decision) return;
  std::string by;
  for (const stages::ProfileReport& profile : finished.signing.profiles) {
    const bool decides = profile.outcome == Outcome::failed && profile.consequence == *decision;
    if (by.empty() && decides) by = "DKIM profile '" + std::string(profile.profile) + "'";
  }
  finished.decision = *decision == stages::WhenUnavailable::reject
                          ? Decision{Verdict::reject, {550, "5.7.5", "Message cannot be signed"}, std::move(by)}
                          : temporary("4.3.0", "Message cannot be signed just now, try again later", by);
}

// masquerade runs before the filters, which see what it made. False: the message is deferred, and nothing has changed.
bool Transaction::masquerade(Finished& finished) {
  // A copy that comes back to be filtered was made of a message that was masqueraded already.
  if (mark_ || flow_ == nullptr || flow_->masquerade.empty()) return true;
  std::vector<const stages::MasqueradeProfile*> profiles;
  for (const uint32_t index : flow_->masquerade) profiles.push_back(&generation_->settings.masquerade[index]);
  finished.masquerade = stages::masquerade(message_, profiles, generation_->directories, directory_deadline_);
  const stages::MasqueradeReport& report = finished.masquerade;
  StageReport stage{"masquerade", report.changes.empty() ? "skipped" : "done",
                    std::to_string(report.changes.size()) + " addresses changed"};
  for (const stages::LeftAlone& left : report.left) stage.detail += "; " + left.field + " left alone: " + left.reason;
  if (report.error) {
    stage = {"masquerade", "failed", report.error->text()};
    finished.decision = temporary("4.4.3", "Directory not available, try again later", "masquerade");
  }
  finished.stages.push_back(std::move(stage));
  if (!report.quarantine.empty() && !report.left.empty()) {
    const stages::LeftAlone& left = report.left.front();
    outcome_.hold(report.quarantine, "masquerade", left.field + " left alone: " + left.reason);
  }
  return !report.error;
}

// route changes recipients before the filters, which see them as they will be. False: the message is deferred.
bool Transaction::route(Finished& finished) {
  if (flow_ == nullptr || flow_->route.empty() || (mark_ && !mark_->host.empty())) return true;
  finished.routing = stages::route(message_, flow_->route, generation_->directories, directory_deadline_);
  const stages::RouteReport& report = finished.routing;
  if (report.error) {
    finished.decision = temporary("4.4.3", "Directory not available, try again later", "route");
    finished.stages.push_back({"route", "failed", report.error->text()});
    return false;
  }
  if (!report.host.empty()) rules::set_next_hop(message_, report.host);
  const bool done = !report.changes.empty() || !report.host.empty();
  finished.stages.push_back({"route", done ? "done" : "skipped",
                             std::to_string(report.changes.size()) + " recipients changed" +
                                 (report.host.empty() ? std::string() : "; next hop " + report.host)});
  return true;
}

std::vector<ScanRow> Transaction::scanned() {
  std::vector<ScanRow> rows;
  if (facts_ == nullptr || facts_->structure() == nullptr) return rows;
  const auto& verdicts = facts_->inspection().verdicts();
  for (size_t i = 0; i < verdicts.size(); ++i) {
    if (verdicts[i] != nullptr) add_rows_of_part(*verdicts[i], message_.structure().parts[i], rows);
  }
  return rows;
}

std::vector<ScanRow> Transaction::attachments() {
  std::vector<ScanRow> rows;
  if (facts_ == nullptr || !message_.has_body()) return rows;
  const std::vector<mime::Part>& parts = message_.structure().parts;
  for (uint32_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].is_leaf() || !mime::is_attachment(message_.structure(), i)) continue;
    add_rows_of_part(facts_->inspection().of(i), parts[i], rows);
  }
  return rows;
}

Finished Transaction::finish(bool body_delivered) {
  directory_deadline_ = std::chrono::steady_clock::now() + kDirectoryWait;
  engine_deadline_ = std::chrono::steady_clock::now() + kEngineWait;
  end_of_header();
  if (failure_) return give_up();
  if (body_delivered && keep_body) {
    if (spool_ != nullptr) {
      if (auto done = spool_->finish(); !done) {
        fail_once(std::move(done.error()), "");
        return give_up();
      }
      message_.set_body(spool_->view());
    } else {
      message_.set_body({});
    }
  }
  message_.keep_received_envelope();

  Finished finished;
  if (!masquerade(finished) || !route(finished)) return finished;
  const size_t reports_before = outcome_.reports.size();
  if (own_listener && !mark_) {
    finished.decision = deferred_phases();
    if (finished.decision.verdict != Verdict::proceed) return finished;
  }
  finished.decision = run_phase(rules::Phase::message);
  if (flow_ == nullptr) {
    finished.stages.push_back(
        {"filter", "skipped", mark_ ? "mail of our own, made by " + mark_->kind : "no flow takes this message"});
  } else {
    finished.stages.push_back({"filter", "done",
                               "flow " + flow_->name + ", " + std::to_string(outcome_.reports.size() - reports_before) +
                                   " filters reported"});
  }
  if (outcome_.copies_refused) {
    finished.decision = too_much_in_flight();
  }
  if (finished.decision.verdict != Verdict::proceed && finished.decision.verdict != Verdict::accept) return finished;

  sign(finished);
  if (finished.decision.verdict != Verdict::proceed && finished.decision.verdict != Verdict::accept) return finished;

  finished.decision.verdict = Verdict::accept;
  finished.changes = message::diff(message_);
  if (!outcome_.quarantines.empty()) {
    finished.decision.verdict = Verdict::quarantine;
    std::string reason;
    for (const std::string& name : outcome_.quarantines) reason += (reason.empty() ? "" : ", ") + name;
    if (!outcome_.quarantine_reason.empty()) reason += ": " + outcome_.quarantine_reason;
    finished.decision.decided_by = outcome_.quarantine_reason;
    finished.changes.changes.push_back({message::Op::quarantine, {}, 0, base::one_line(reason)});
  }
  return finished;
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// One connection's steps. What the MTA hears is decided in Transaction; here it is negotiated, collected and sent. RFC
// 5321 and the milter protocol, version 2 and up.
#include "milter/session.h"

#include <charconv>
#include <chrono>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "milter/events.h"
#include "milter/reply.h"

namespace postern::milter {
namespace {

using Clock = std::chrono::steady_clock;

// The MTA waits 300 s for the end of a message by default; we give up well before it does.
constexpr std::chrono::seconds kContentDeadline{240};
constexpr std::chrono::seconds kProgressAfter{5};
constexpr size_t kMaxHelo = 1024;         // of a name that can be 64 KiB long
constexpr size_t kMaxParameters = 32;     // ESMTP parameters kept per command
constexpr size_t kBodyChunk = 60u << 10;  // small pieces of a new body are put together up to this

// Number is an integer as text, on the stack.
class Number {
 public:
  explicit Number(uint64_t value) : end_(std::to_chars(text_, text_ + sizeof text_, value).ptr) {}
  operator std::string_view() const { return {text_, static_cast<size_t>(end_ - text_)}; }

 private:
  char text_[20];
  char* end_;
};

std::optional<std::string> optional_text(const char* value) {
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

Decision temporary(int code, std::string_view enhanced, std::string_view text, std::string_view by = {}) {
  return {Verdict::tempfail, {code, std::string(enhanced), std::string(text)}, std::string(by)};
}

// action_names lists the edits in `bits` in words, for the log.
std::string action_names(uint32_t bits) {
  constexpr struct {
    uint32_t bit;
    std::string_view name;
  } kNames[] = {{kActionAddHeader, "add-header"},       {kActionChangeHeader, "change-header"},
                {kActionChangeBody, "replace-body"},    {kActionAddRecipient, "add-recipient"},
                {kActionDeleteRecipient, "delete-recipient"}, {kActionQuarantine, "quarantine"},
                {kActionChangeFrom, "change-from"}};
  std::string names;
  for (const auto& row : kNames) {
    if (!(bits & row.bit)) continue;
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

// read_mail_parameters takes SIZE= and SMTPUTF8 out of MAIL's parameters.
void read_mail_parameters(message::Envelope& envelope, std::span<const std::string_view> parameters) {
  for (const std::string_view parameter : parameters.subspan(0, std::min(parameters.size(), kMaxParameters))) {
    envelope.from_parameters.emplace_back(parameter);
    if (base::iequals(parameter, "SMTPUTF8")) {
      envelope.smtputf8 = true;
    } else if (base::istarts_with(parameter, "SIZE=")) {
      const std::string_view digits = parameter.substr(5);
      uint64_t size = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
      if (error == std::errc::result_out_of_range) size = UINT64_MAX;
      if (error != std::errc::invalid_argument && end == digits.data() + digits.size()) envelope.declared_size = size;
    }
  }
}

}  // namespace

// Open is the message in progress. It counts as in flight for as long as it exists.
struct Session::Open {
  Open(Service& owner, std::shared_ptr<Live> used, uint64_t mid)
      : service(owner),
        live(std::move(used)),
        transaction(live->generation, &owner.memory(), mid, owner.counters().inflight.load(std::memory_order_relaxed)) {
    service.counters().inflight.fetch_add(1, std::memory_order_relaxed);
    service.counters().messages.fetch_add(1, std::memory_order_relaxed);
  }
  ~Open() { service.counters().inflight.fetch_sub(1, std::memory_order_relaxed); }

  Service& service;
  std::shared_ptr<Live> live;
  Transaction transaction;
  std::optional<Decision> late;  // decided where it could not be answered; holds at end of message
  bool data_done = false;
  bool concluded = false;
  size_t reports_logged = 0;
  uint64_t rid = 0;

  uint64_t mid() { return transaction.message().mid; }
};

Session::Session(Service& service) : service_(service), live_(service.current()), icid_(service.next_id()) {
  service_.counters().sessions.fetch_add(1, std::memory_order_relaxed);
  service_.counters().connections.fetch_add(1, std::memory_order_relaxed);
}

Session::~Session() {
  abort();
  service_.counters().sessions.fetch_sub(1, std::memory_order_relaxed);
  base::emit(event(Event::connection_close), {{"icid", Number(icid_)}});
}

Bits Session::negotiate(Bits offered, Mta& mta) {
  live_ = service_.current();
  const Negotiable& wants = live_->wants;
  negotiated_ = true;
  const uint32_t lacking = wants.actions & ~offered.actions;
  actions_ = wants.actions & offered.actions;
  steps_ = (wants.steps_off | wants.no_replies | kLeadingSpace) & offered.steps;
  if (lacking != 0) {
    // Passing mail that the rules cannot act on would be silence; the client hears a temporary error at once instead.
    refused_ = true;
    missing_ = action_names(lacking);
    steps_ &= ~(kNoConnect | kNoReplyConnect);
    base::emit(event(Event::connection_refused), {{"icid", Number(icid_)}, {"missing", missing_}});
  }
  if (offered.actions & kActionSetMacros) {
    actions_ |= kActionSetMacros;
    // Only what is used, so that the MTA looks up and sends no more. The queue id is known to Postfix from DATA on and to
    // Sendmail from MAIL on; Sendmail 8.18 sends the list for the end of the header at end of message.
    const bool asked = mta.request_macros(Stage::connect, "{daemon_name} {if_name} {daemon_addr} {if_addr}") &&
                       mta.request_macros(Stage::mail, "i {auth_authen} {auth_type}") &&
                       mta.request_macros(Stage::recipient, "i") && mta.request_macros(Stage::data, "i") &&
                       mta.request_macros(Stage::end_of_header, "i") && mta.request_macros(Stage::end_of_message, "i");
    if (!asked) base::emit(event(Event::mta_call_failed), {{"mid", "0"}, {"operation", "a list of macros"}});
  }
  return {actions_, steps_};
}

std::optional<Bits> Session::negotiated() const {
  if (!negotiated_ || refused_) return std::nullopt;
  return Bits{actions_, steps_};
}

void Session::adopt(Bits bits) {
  negotiated_ = true;
  actions_ = bits.actions;
  steps_ = bits.steps;
}

// follow_generation moves to the newest configuration before a message begins. What was negotiated with an older one
// must still do: a step that never came, or an edit the MTA was not told about, cannot be made up for.
std::optional<Decision> Session::follow_generation() {
  const bool same = service_.number() == live_->generation->number;
  std::shared_ptr<Live> newest = same ? live_ : service_.current();
  const Negotiable& wants = newest->wants;
  const uint32_t actions = wants.actions & ~actions_;
  const uint32_t steps = steps_ & kStepsOff & ~wants.steps_off;
  const uint32_t replies = steps_ & ~(kStepsOff | kLeadingSpace) & ~wants.no_replies;
  if (actions == 0 && steps == 0 && replies == 0) {
    live_ = std::move(newest);
    return std::nullopt;
  }
  const std::string missing = actions != 0 ? action_names(actions) : "more steps of the SMTP session";
  base::emit(event(Event::connection_stale), {{"icid", Number(icid_)},
                                              {"negotiated", Number(live_->generation->number)},
                                              {"generation", Number(newest->generation->number)},
                                              {"missing", missing}});
  return temporary(421, "4.3.2", "Mail policy was reloaded, please reconnect");
}

Answer Session::answer(Mta& mta, const Decision& decision) {
  switch (decision.verdict) {
    case Verdict::proceed:
    case Verdict::accept:
    case Verdict::quarantine:
      return Answer::proceed;
    case Verdict::discard:
      return Answer::discard;
    case Verdict::reject:
    case Verdict::tempfail:
      break;
  }
  const SmtpReply reply = make_reply(decision);
  // A reply the MTA side does not take leaves the plain verb, which says the same in the MTA's own words.
  if (!reply.code.empty()) mta.set_reply(reply.code.c_str(), reply.enhanced.c_str(), reply.text.c_str());
  return decision.verdict == Verdict::reject ? Answer::reject : Answer::tempfail;
}

Answer Session::refuse(Mta& mta) {
  return answer(mta, temporary(451, "4.3.5", "Mail filter and mail server do not fit together, try again later"));
}

Answer Session::early(Mta& mta, const Decision& decision, uint32_t no_reply_bit) {
  size_t logged = 0;
  log_reports(*before_mail_, *live_, logged);
  before_mail_->outcome().reports.clear();
  if (decision.verdict == Verdict::proceed) return silent(no_reply_bit);
  base::emit(event(Event::connection_denied), {{"icid", Number(icid_)},
                                               {"verdict", verdict_name(decision.verdict)},
                                               {"by", decision.decided_by},
                                               {"reply", reply_line(decision)}});
  return answer(mta, decision);
}

void Session::read_connection_macros(Mta& mta) {
  connection_.daemon_name = optional_text(mta.macro("{daemon_name}"));
  connection_.mta_name = optional_text(mta.macro("j"));
  connection_.interface = optional_text(mta.macro("{if_name}"));
  if (!connection_.interface) connection_.interface = optional_text(mta.macro("{daemon_addr}"));
  if (!connection_.interface) connection_.interface = optional_text(mta.macro("{if_addr}"));
}

Answer Session::connect(Mta& mta, const Peer& peer) {
  connection_ = {};
  before_mail_.reset();
  if (!peer.address.empty()) connection_.client_ip = std::string(peer.address);
  if (!peer.name.empty()) connection_.client_name = std::string(peer.name.substr(0, kMaxHelo));
  // Postfix's cleanup presents mail from its own sendmail command and other local sources as a client called localhost at
  // a loopback address without a port. Refusing a recipient of such mail makes Postfix hold the whole message.
  const bool loopback = peer.address == "127.0.0.1" || peer.address == "::1";
  by_smtp_ = !(loopback && !peer.has_port && base::iequals(peer.name, "localhost"));
  read_connection_macros(mta);
  base::emit(event(Event::connection_new), {{"icid", Number(icid_)},
                                            {"interface", connection_.interface.value_or("-")},
                                            {"address", connection_.client_ip.value_or("-")},
                                            {"host", connection_.client_name.value_or("-")}});
  if (refused_ || !negotiated_) return refuse(mta);
  const rules::RuleSet& rules = *live_->generation->rules;
  if (!rules.has_phase(rules::Phase::connect)) return silent(kNoReplyConnect);
  before_mail_ = std::make_unique<Transaction>(live_->generation, &service_.memory(), 0,
                                               service_.counters().inflight.load(std::memory_order_relaxed));
  before_mail_->message().connection = connection_;
  return early(mta, before_mail_->connect(), kNoReplyConnect);
}

Answer Session::helo(Mta& mta, std::string_view name) {
  connection_.helo = std::string(name.substr(0, kMaxHelo));
  if (refused_ || !negotiated_) return refuse(mta);
  if (!live_->generation->rules->has_phase(rules::Phase::helo)) return silent(kNoReplyHelo);
  if (before_mail_ == nullptr) {
    before_mail_ = std::make_unique<Transaction>(live_->generation, &service_.memory(), 0,
                                                 service_.counters().inflight.load(std::memory_order_relaxed));
  }
  before_mail_->message().connection = connection_;
  return early(mta, before_mail_->helo(), kNoReplyHelo);
}

Answer Session::mail(Mta& mta, std::span<const std::string_view> arguments) {
  abort();
  before_mail_.reset();
  if (service_.draining()) {
    base::emit(event(Event::connection_draining), {{"icid", Number(icid_)}});
    return answer(mta, temporary(421, "4.3.2", "Service is going down, try again later"));
  }
  if (refused_ || !negotiated_) return refuse(mta);
  if (const auto stale = follow_generation()) return answer(mta, *stale);

  open_ = std::make_unique<Open>(service_, live_, service_.next_id());
  Open& open = *open_;
  // Connections whose MTA announces a drain between this message's check and its count are seen by the drain: it waits
  // for what is in flight after it has said so.
  if (service_.draining()) {
    open_.reset();
    return answer(mta, temporary(421, "4.3.2", "Service is going down, try again later"));
  }
  message::Message& message = open.transaction.message();
  message.connection = connection_;
  message.envelope.auth_user = optional_text(mta.macro("{auth_authen}"));
  message.envelope.auth_mechanism = optional_text(mta.macro("{auth_type}"));

  Decision decision;
  if (auto path = message::parse_path(arguments.empty() ? std::string_view() : arguments[0])) {
    message.envelope.from = std::move(*path);
    read_mail_parameters(message.envelope, arguments.subspan(arguments.empty() ? 0 : 1));
    base::emit(event(Event::message_start), {{"mid", Number(open.mid())}, {"icid", Number(icid_)}});
    base::emit(event(Event::message_from),
               {{"mid", Number(open.mid())}, {"icid", Number(icid_)}, {"from", *message.envelope.from}});
    decision = open.transaction.mail();
    log_reports(open.transaction, *open.live, open.reports_logged);
  } else {
    decision = decision_for_error(path.error());
    base::emit(event(Event::message_failed), {{"mid", Number(open.mid())}, {"reason", path.error().text()}});
    open.concluded = true;
  }
  if (decision.verdict == Verdict::proceed) return Answer::proceed;
  if (!open.concluded) log_end(open, decision);
  open.concluded = true;
  open_.reset();
  return answer(mta, decision);
}

Answer Session::recipient(Mta& mta, std::span<const std::string_view> arguments) {
  if (open_ == nullptr) return answer(mta, temporary(451, "4.3.0", "No mail transaction"));
  Open& open = *open_;
  auto path = message::parse_path(arguments.empty() ? std::string_view() : arguments[0]);
  if (!path) {
    base::emit(event(Event::message_failed), {{"mid", Number(open.mid())}, {"reason", path.error().text()}});
    const Decision failure = decision_for_error(path.error());
    if (by_smtp_) return answer(mta, failure);
    open.late = failure;
    return Answer::proceed;
  }
  message::Recipient recipient{std::move(*path), {}};
  for (size_t i = 1; i < arguments.size() && i <= kMaxParameters; ++i) recipient.parameters.emplace_back(arguments[i]);

  const std::string address = recipient.address;
  Decision decision = open.transaction.recipient(std::move(recipient));
  log_reports(open.transaction, *open.live, open.reports_logged);
  if (decision.verdict == Verdict::proceed) {
    base::emit(event(Event::message_to), {{"mid", Number(open.mid())},
                                          {"icid", Number(icid_)},
                                          {"rid", Number(open.rid++)},
                                          {"to", address}});
    return Answer::proceed;
  }
  if (decision.verdict == Verdict::discard) {
    log_end(open, decision);
    open.concluded = true;
    open_.reset();
    return Answer::discard;
  }
  if (!by_smtp_) {
    base::emit(event(Event::recipient_late), {{"mid", Number(open.mid())},
                                              {"icid", Number(icid_)},
                                              {"to", address},
                                              {"by", decision.decided_by}});
    if (!open.late) open.late = std::move(decision);
    return Answer::proceed;
  }
  base::emit(event(Event::recipient_refused), {{"mid", Number(open.mid())},
                                               {"icid", Number(icid_)},
                                               {"to", address},
                                               {"by", decision.decided_by},
                                               {"reply", reply_line(decision)}});
  return answer(mta, decision);
}

Answer Session::data(Mta& mta) {
  if (open_ == nullptr) return silent(kNoReplyData);
  Open& open = *open_;
  open.data_done = true;
  Decision decision = open.transaction.data();
  log_reports(open.transaction, *open.live, open.reports_logged);
  if (decision.verdict == Verdict::proceed) return silent(kNoReplyData);
  if (!answers(kNoReplyData)) {
    open.late = std::move(decision);
    return Answer::no_reply;
  }
  log_end(open, decision);
  open.concluded = true;
  open_.reset();
  return answer(mta, decision);
}

// ensure_data_phase runs the filters of the DATA phase for an MTA that does not know that step; their decision then
// holds at end of message.
void Session::ensure_data_phase() {
  Open& open = *open_;
  if (open.data_done) return;
  open.data_done = true;
  Decision decision = open.transaction.data();
  log_reports(open.transaction, *open.live, open.reports_logged);
  if (decision.verdict != Verdict::proceed && !open.late) open.late = std::move(decision);
}

Answer Session::header(std::string_view name, std::string_view value) {
  if (open_ != nullptr) {
    ensure_data_phase();
    if (steps_ & kLeadingSpace) {
      open_->transaction.header(name, value);
    } else {
      // The MTA cut one space off; nearly every field has one.
      std::string whole;
      whole.reserve(value.size() + 1);
      whole += ' ';
      whole += value;
      open_->transaction.header(name, whole);
    }
  }
  return silent(kNoReplyHeader);
}

Answer Session::end_of_header() const {
  if (open_ != nullptr) open_->transaction.end_of_header();
  return silent(kNoReplyEndOfHeader);
}

Answer Session::body(std::string_view chunk) {
  if (open_ != nullptr) {
    ensure_data_phase();
    open_->transaction.body(chunk);
  }
  return silent(kNoReplyBody);
}

Answer Session::unknown() const { return silent(kNoReplyUnknown); }

Answer Session::end_of_message(Mta& mta) {
  if (open_ == nullptr) return answer(mta, temporary(451, "4.3.0", "No mail transaction"));
  ensure_data_phase();
  const std::unique_ptr<Open> open = std::move(open_);
  if (const char* queue_id = mta.macro("i")) open->transaction.message().queue_id = queue_id;
  const Answer result = finish(mta, *open);
  open->concluded = true;
  return result;
}

Answer Session::finish(Mta& mta, Open& open) {
  const Clock::time_point start = Clock::now();
  if (open.late) {
    log_end(open, *open.late);
    return answer(mta, *open.late);
  }
  Finished finished = open.transaction.finish((steps_ & kNoBody) == 0);
  Decision& decision = finished.decision;
  log_ready(open);
  log_reports(open.transaction, *open.live, open.reports_logged);

  if (finished.error && decision.decided_by.empty()) {
    service_.counters().failed.fetch_add(1, std::memory_order_relaxed);
    base::emit(event(Event::message_failed), {{"mid", Number(open.mid())}, {"reason", finished.error->text()}},
               open.transaction.message().queue_id);
    return answer(mta, decision);
  }
  const auto taken = Clock::now() - start;
  if (taken > kContentDeadline) {
    service_.counters().failed.fetch_add(1, std::memory_order_relaxed);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(taken).count();
    base::emit(event(Event::message_slow),
               {{"mid", Number(open.mid())}, {"seconds", Number(static_cast<uint64_t>(seconds))}},
               open.transaction.message().queue_id);
    return answer(mta, temporary(451, "4.3.0", "Temporary processing failure, try again later"));
  }
  if (decision.verdict == Verdict::accept || decision.verdict == Verdict::quarantine) {
    if (taken > kProgressAfter) mta.progress();
    if (!send(mta, open, finished.changes)) {
      service_.counters().failed.fetch_add(1, std::memory_order_relaxed);
      return answer(mta, temporary(451, "4.3.0", "Temporary processing failure, try again later"));
    }
  }
  log_end(open, decision);
  return answer(mta, decision);
}

bool Session::send_body(Mta& mta, const mime::Pieces& body) {
  if (body.size() == 0) return mta.replace_body("\r\n");  // an empty chunk would leave the old body in place
  std::string small;
  for (const std::string_view piece : body.views()) {
    if (small.size() + piece.size() <= kBodyChunk) {
      small += piece;
      continue;
    }
    if (!small.empty() && !mta.replace_body(small)) return false;
    small.clear();
    if (piece.size() > kBodyChunk) {
      if (!mta.replace_body(piece)) return false;
    } else {
      small = piece;
    }
  }
  return small.empty() || mta.replace_body(small);
}

// send tells the MTA every change in one go. After the first call that fails nothing more is sent, and the temporary
// error that follows makes the MTA throw away what it has.
bool Session::send(Mta& mta, Open& open, const message::ChangeList& changes) {
  std::string value;
  for (const message::Change& change : changes.changes) {
    const bool header_value = change.op == message::Op::change_header || change.op == message::Op::insert_header ||
                              change.op == message::Op::add_header;
    std::string_view text = change.value;
    // Without the leading-space option the MTA puts one space after the colon itself. A value of nothing but that space
    // keeps it: an empty one would delete the field.
    if (header_value && !(steps_ & kLeadingSpace) && text.size() > 1 && text.front() == ' ') text.remove_prefix(1);
    value = text;
    bool taken = false;
    switch (change.op) {
      case message::Op::change_header:
        taken = mta.change_header(change.name.c_str(), static_cast<int>(change.index), value.c_str());
        break;
      case message::Op::delete_header:
        taken = mta.change_header(change.name.c_str(), static_cast<int>(change.index), nullptr);
        break;
      case message::Op::insert_header:
        taken = mta.insert_header(static_cast<int>(change.index), change.name.c_str(), value.c_str());
        break;
      case message::Op::add_header:
        taken = mta.add_header(change.name.c_str(), value.c_str());
        break;
      case message::Op::replace_body:
        taken = send_body(mta, changes.body);
        break;
      case message::Op::change_from:
        taken = mta.change_from(("<" + value + ">").c_str());
        break;
      case message::Op::add_recipient:
        taken = mta.add_recipient(("<" + value + ">").c_str());
        break;
      case message::Op::delete_recipient:
        taken = mta.delete_recipient(("<" + value + ">").c_str());
        break;
      case message::Op::quarantine:
        taken = mta.quarantine(value.c_str());
        break;
    }
    if (!taken) {
      base::emit(event(Event::mta_call_failed),
                 {{"mid", Number(open.mid())}, {"operation", message::op_name(change.op)}},
                 open.transaction.message().queue_id);
      return false;
    }
  }
  return true;
}

void Session::abort() {
  if (open_ == nullptr) return;
  const std::unique_ptr<Open> open = std::move(open_);
  if (open->concluded) return;
  service_.counters().aborted.fetch_add(1, std::memory_order_relaxed);
  base::emit(event(Event::message_aborted), {{"mid", Number(open->mid())}});
}

Answer Session::failed(Mta& mta, std::string_view callback, std::string_view reason) {
  base::emit(event(Event::callback_failed), {{"icid", Number(icid_)}, {"callback", callback}, {"reason", reason}});
  service_.counters().failed.fetch_add(1, std::memory_order_relaxed);
  const Decision decision = temporary(451, "4.3.0", "Temporary processing failure, try again later");
  if (callback == "header" || callback == "eoh" || callback == "body") {
    // Nobody waits for an answer here; it is given at end of message.
    if (open_ != nullptr) open_->late = decision;
    return callback == "header" ? silent(kNoReplyHeader)
           : callback == "eoh"  ? silent(kNoReplyEndOfHeader)
                                : silent(kNoReplyBody);
  }
  if (callback != "rcpt" || by_smtp_) {
    open_.reset();
    return answer(mta, decision);
  }
  if (open_ != nullptr) open_->late = decision;
  return Answer::proceed;
}

void Session::log_ready(Open& open) {
  message::Message& message = open.transaction.message();
  const size_t id = message.headers.find("Message-ID");
  if (id != mime::HeaderList::npos) {
    base::emit(event(Event::message_id), {{"mid", Number(open.mid())},
                                          {"message_id", base::trim(message.headers[id].value)}});
  }
  const size_t subject = message.headers.find("Subject");
  if (subject != mime::HeaderList::npos) {
    base::emit(event(Event::message_subject), {{"mid", Number(open.mid())},
                                               {"subject", base::trim(message.headers[subject].value)}});
  }
}

void Session::log_reports(Transaction& transaction, Live& live, size_t& logged) {
  const auto& reports = transaction.outcome().reports;
  const auto& filters = live.generation->rules->filters();
  const Number mid(transaction.message().mid);
  const std::string_view queue_id = transaction.message().queue_id;
  for (; logged < reports.size(); ++logged) {
    const rules::FilterReport& report = reports[logged];
    if (report.filter == nullptr || report.result.is_no()) continue;
    const size_t index = static_cast<size_t>(report.filter - filters.data());
    if (index >= live.filters.size()) continue;
    FilterCounter& counter = live.filters[index];
    if (report.result.is_unknown()) {
      counter.unknown.fetch_add(1, std::memory_order_relaxed);
      base::emit(event(Event::filter_unknown), {{"mid", mid},
                                                {"filter", report.filter->name},
                                                {"reason", rules::unknown_name(report.result.reason)},
                                                {"detail", report.detail}},
                 queue_id);
      continue;
    }
    (report.observed ? counter.observed : counter.matched).fetch_add(1, std::memory_order_relaxed);
    std::string actions;
    for (const std::string& action : report.actions) actions += (actions.empty() ? "" : "; ") + action;
    base::emit(event(report.observed ? Event::filter_observed : Event::filter_match),
               {{"mid", mid}, {"filter", report.filter->name}, {"actions", actions.empty() ? "no action" : actions}},
               queue_id);
  }
  for (const std::string& text : transaction.outcome().log_entries) {
    base::emit(event(Event::filter_log_entry), {{"mid", mid}, {"text", text}}, queue_id);
  }
  transaction.outcome().log_entries.clear();
  for (const std::string& tag : transaction.outcome().tags) {
    base::emit(event(Event::filter_tag), {{"mid", mid}, {"tag", tag}}, queue_id);
  }
  transaction.outcome().tags.clear();
}

// log_end writes the one line that says what became of a message, and counts it.
void Session::log_end(const Open& open, const Decision& decision) {
  Counters& counters = service_.counters();
  counters.verdicts[static_cast<size_t>(decision.verdict)].fetch_add(1, std::memory_order_relaxed);
  message::Message& message = const_cast<Transaction&>(open.transaction).message();
  const Number mid(message.mid);
  const std::string_view queue_id = message.queue_id;
  const std::string_view by = decision.decided_by.empty() ? std::string_view("posternd") : decision.decided_by;

  if (by == "limits.memory") {
    counters.over_memory.fetch_add(1, std::memory_order_relaxed);
    base::emit(event(Event::message_over_memory), {{"mid", mid},
                                                   {"used", Number(service_.memory().used())},
                                                   {"bound", Number(service_.memory().bound())}},
               queue_id);
    return;
  }
  if (decision.verdict == Verdict::reject && base::istarts_with(by, "limits.")) {
    counters.oversize.fetch_add(1, std::memory_order_relaxed);
    const uint64_t seen = open.transaction.bytes_seen();
    const uint64_t bytes = seen != 0 ? seen : message.envelope.declared_size.value_or(0);
    base::emit(event(Event::message_oversize), {{"mid", mid}, {"limit", by}, {"bytes", Number(bytes)}}, queue_id);
    return;
  }
  switch (decision.verdict) {
    case Verdict::reject:
      base::emit(event(Event::message_refused), {{"mid", mid}, {"by", by}, {"reply", reply_line(decision)}}, queue_id);
      return;
    case Verdict::tempfail:
      base::emit(event(Event::message_deferred), {{"mid", mid}, {"by", by}, {"reply", reply_line(decision)}}, queue_id);
      return;
    case Verdict::discard:
      base::emit(event(Event::message_dropped), {{"mid", mid}, {"by", by}}, queue_id);
      return;
    case Verdict::quarantine: {
      std::string names;
      for (const std::string& name : const_cast<Transaction&>(open.transaction).outcome().quarantines) {
        names += (names.empty() ? "" : ", ") + name;
      }
      base::emit(event(Event::message_quarantined), {{"mid", mid}, {"by", by}, {"reason", names}}, queue_id);
      break;
    }
    case Verdict::proceed:
    case Verdict::accept:
      break;
  }
  base::emit(event(Event::message_ready), {{"mid", mid},
                                           {"bytes", Number(open.transaction.bytes_seen())},
                                           {"from", message.envelope.from.value_or("")}},
             queue_id);
  base::emit(event(Event::message_done), {{"mid", mid}}, queue_id);
}

}  // namespace postern::milter

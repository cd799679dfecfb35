// SPDX-License-Identifier: Apache-2.0
// One connection's steps. What the MTA hears is decided in Transaction; here it is negotiated, collected and sent. RFC
// 5321 and the milter protocol, version 2 and up.
#include "milter/session.h"

#include <charconv>
#include <ctime>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "milter/events.h"
#include "milter/reply.h"
#include "milter/session_open.h"

namespace postern::milter {
namespace {

// text_or is value_or without a copy.
std::string_view text_or(const std::optional<std::string>& of, std::string_view none) {
  return of ? std::string_view(*of) : none;
}

constexpr size_t kMaxHelo = 1024;      // of a name that can be 64 KiB long
constexpr size_t kMaxParameters = 32;  // ESMTP parameters kept per command

std::optional<std::string> optional_text(const char* value) {
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

// action_names lists the edits in `bits` in words, for the log.
std::string action_names(uint32_t bits) {
  constexpr struct {
    uint32_t bit;
    std::string_view name;
  } kNames[] = {{kActionAddHeader, "add-header"},
                {kActionChangeHeader, "change-header"},
                {kActionChangeBody, "replace-body"},
                {kActionAddRecipient, "add-recipient"},
                {kActionDeleteRecipient, "delete-recipient"},
                {kActionQuarantine, "quarantine"},
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
    // Only what is used, so that the MTA looks up and sends no more. The queue id is known to Postfix from DATA on and
    // to Sendmail from MAIL on; Sendmail 8.18 sends the list for the end of the header at end of message.
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
  log_reports(*before_mail_, *live_, before_mail_logged_);
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

// confirm tells the store that the MTA has the answer to the last message. The end of the connection shows it, too: an
// MTA that gave up on us meanwhile has the sender send the message again, which is then kept twice rather than never.
void Session::confirm() {
  if (!unconfirmed_) return;
  if (auto store = service_.store()) (*store)->confirm(*unconfirmed_);
  unconfirmed_.reset();
  service_.confirmed();
}

Answer Session::connect(Mta& mta, const Peer& peer) {
  confirm();
  connection_ = {};
  connected_ = static_cast<uint64_t>(std::time(nullptr));
  before_mail_.reset();
  before_mail_logged_ = {};
  if (!peer.address.empty()) connection_.client_ip = std::string(peer.address);
  if (!peer.name.empty()) connection_.client_name = std::string(peer.name.substr(0, kMaxHelo));
  // Postfix's cleanup presents mail from its own sendmail command and other local sources as a client called localhost
  // at a loopback address without a port. Refusing a recipient of such mail makes Postfix hold the whole message.
  const bool loopback = peer.address == "127.0.0.1" || peer.address == "::1";
  by_smtp_ = !(loopback && !peer.has_port && base::iequals(peer.name, "localhost"));
  read_connection_macros(mta);
  base::emit(event(Event::connection_new), {{"icid", Number(icid_)},
                                            {"interface", text_or(connection_.interface, "-")},
                                            {"address", text_or(connection_.client_ip, "-")},
                                            {"host", text_or(connection_.client_name, "-")}});
  if (refused_ || !negotiated_) return refuse(mta);
  const rules::RuleSet& rules = *live_->generation->rules;
  if (!rules.has_phase(rules::Phase::connect) || own_listener()) return silent(kNoReplyConnect);
  before_mail_ = std::make_unique<Transaction>(live_->generation, &service_.memory(), 0,
                                               service_.counters().inflight.load(std::memory_order_relaxed));
  before_mail_->message().connection = connection_;
  return early(mta, before_mail_->connect(), kNoReplyConnect);
}

// own_listener tells whether the connection came by the MTA's listener for our own mail. Whose mail it is the mark
// says; filters that would act before that is known wait.
bool Session::own_listener() const {
  const Reinject& reinject = live_->generation->settings.reinject;
  return !reinject.server.empty() && !reinject.daemon_name.empty() && connection_.daemon_name == reinject.daemon_name;
}

Answer Session::helo(Mta& mta, std::string_view name) {
  confirm();
  connection_.helo = std::string(name.substr(0, kMaxHelo));
  if (refused_ || !negotiated_) return refuse(mta);
  if (!live_->generation->rules->has_phase(rules::Phase::helo) || own_listener()) return silent(kNoReplyHelo);
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
  open.transaction.own_listener = own_listener();
  open.transaction.may_split = by_smtp_;
  if (!live_->generation->settings.reinject.server.empty()) {
    open.transaction.mark_key = [this] { return service_.mark_key(); };
  }
  message.envelope.auth_user = optional_text(mta.macro("{auth_authen}"));
  message.envelope.auth_mechanism = optional_text(mta.macro("{auth_type}"));

  Decision decision;
  if (auto path = message::parse_path(arguments.empty() ? std::string_view() : arguments[0])) {
    message.envelope.from = std::move(*path);
    read_mail_parameters(message.envelope, arguments.subspan(arguments.empty() ? 0 : 1));
    base::emit(event(Event::message_start), {{"mid", Number(open.mid())},
                                             {"icid", Number(icid_)},
                                             {"connected", Number(connected_)},
                                             {"interface", text_or(connection_.interface, "-")},
                                             {"address", text_or(connection_.client_ip, "-")},
                                             {"host", text_or(connection_.client_name, "-")},
                                             {"helo", text_or(connection_.helo, "")},
                                             {"auth", text_or(message.envelope.auth_user, "")}});
    base::emit(event(Event::message_from),
               {{"mid", Number(open.mid())}, {"icid", Number(icid_)}, {"from", *message.envelope.from}});
    decision = open.transaction.mail();
    log_reports(open.transaction, *open.live, open.logged);
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
  log_reports(open.transaction, *open.live, open.logged);
  for (const Transaction::Unchecked& each : open.transaction.take_unchecked()) {
    base::emit(event(Event::recipient_unchecked),
               {{"mid", Number(open.mid())}, {"to", each.address}, {"reason", each.reason}});
  }
  if (decision.verdict == Verdict::proceed) {
    base::emit(event(Event::message_to),
               {{"mid", Number(open.mid())}, {"icid", Number(icid_)}, {"rid", Number(open.rid++)}, {"to", address}});
    return Answer::proceed;
  }
  if (decision.verdict == Verdict::discard) {
    log_end(open, decision);
    open.concluded = true;
    open_.reset();
    return Answer::discard;
  }
  if (!by_smtp_) {
    base::emit(event(Event::recipient_late),
               {{"mid", Number(open.mid())}, {"icid", Number(icid_)}, {"to", address}, {"by", decision.decided_by}});
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
  log_reports(open.transaction, *open.live, open.logged);
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
  log_reports(open.transaction, *open.live, open.logged);
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

void Session::abort() {
  confirm();
  if (open_ == nullptr) return;
  const std::unique_ptr<Open> open = std::move(open_);
  if (open->concluded) return;
  service_.counters().aborted.fetch_add(1, std::memory_order_relaxed);
  base::emit(event(Event::message_aborted), {{"mid", Number(open->mid())}});
}

Answer Session::failed(Mta& mta, std::string_view callback, std::string_view reason) {
  base::emit(event(Event::callback_failed), {{"icid", Number(icid_)},
                                             {"callback", callback},
                                             {"reason", reason},
                                             {"mid", Number(open_ == nullptr ? 0 : open_->mid())}});
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

}  // namespace postern::milter

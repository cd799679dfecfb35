// SPDX-License-Identifier: Apache-2.0
// The end of a message: the answer, the changes sent to the MTA in one burst, and the log lines that say what became of
// it.
#include <chrono>
#include <ctime>

#include "engine/base/text.h"
#include "milter/engines.h"
#include "milter/events.h"
#include "milter/keeper.h"
#include "milter/keeping.h"
#include "milter/reply.h"
#include "milter/scanning.h"
#include "milter/session_open.h"

namespace postern::milter {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kProgressEvery{5};
constexpr size_t kBodyChunk = 60u << 10;  // small pieces of a new body are put together up to this

// What could not be scanned, so that a quarantined message says why; not more than a screen of it.
void log_unscannable(Transaction& transaction) {
  constexpr size_t kMostLines = 20;
  size_t lines = 0;
  // That nobody had time or memory to look is no fault of the attachment's, and the message comes again.
  if (!transaction.message().lacking().empty()) return;
  for (const ScanRow& row : transaction.scanned()) {
    if (row.leaf->scanned()) continue;
    if (++lines > kMostLines) return;
    base::emit(event(Event::message_unscannable),
               {{"mid", Number(transaction.message().mid)},
                {"path", row.path},
                {"cause", scan::reason_name(row.leaf->reason)},
                {"reason", reason_text(row.leaf->reason)}},
               transaction.message().queue_id);
  }
}

}  // namespace

Answer Session::finish(Mta& mta, Open& open) {
  const Clock::time_point start = Clock::now();
  if (open.late) {
    log_end(open, *open.late);
    return answer(mta, *open.late);
  }
  open.transaction.keep_going = [&mta, start, last = start, deadline = service_.content_deadline()]() mutable {
    const Clock::time_point now = Clock::now();
    if (now - last > kProgressEvery) {
      last = now;
      mta.progress();
    }
    return now - start < deadline;
  };
  Finished finished = open.transaction.finish((steps_ & kNoBody) == 0);
  open.transaction.keep_going = nullptr;
  Decision& decision = finished.decision;
  log_ready(open);
  log_mark(open);
  if (!finished.routing.error) log_masquerade(open, finished.masquerade);
  log_routing(open, finished.routing);
  log_unscannable(open.transaction);
  log_inspections(open.transaction.inspections(), open.mid(), open.transaction.message().queue_id);
  log_reports(open.transaction, *open.live, open.logged);
  log_signing(open, finished.signing);

  Counters& counters = service_.counters();
  const auto count_failure = [&counters] {
    counters.failed.fetch_add(1, std::memory_order_relaxed);
    counters.verdicts[static_cast<size_t>(Verdict::tempfail)].fetch_add(1, std::memory_order_relaxed);
  };
  if (finished.error && decision.decided_by.empty()) {
    count_failure();
    base::emit(event(Event::message_failed), {{"mid", Number(open.mid())}, {"reason", finished.error->text()}},
               open.transaction.message().queue_id);
    return answer(mta, decision);
  }
  const bool stored = !open.live->generation->settings.store.empty();
  if (decision.verdict == Verdict::accept || (decision.verdict == Verdict::quarantine && !stored)) {
    if (Clock::now() - start > kProgressEvery) mta.progress();
    if (!send(mta, open, finished.changes)) {
      count_failure();
      return answer(mta, temporary(451, "4.3.0", "Temporary processing failure, try again later"));
    }
  }
  bool taken = false;
  if (stored && !keep(open, finished, taken)) {
    count_failure();
    return answer(mta, temporary(451, "4.3.0", "Temporary processing failure, try again later"));
  }
  log_end(open, decision);
  return taken ? Answer::discard : answer(mta, decision);
}

// keep stores what the message leaves in quarantines; `taken` tells whether that is the message itself. It is the last
// thing before the answer: after an edit that the MTA refused nothing may be there, and after a failure here the
// temporary error makes the MTA throw away what it has.
bool Session::keep(Open& open, const Finished& finished, bool& taken) {
  Keeping keeping = gather(open.transaction, finished);
  if (keeping.empty()) return true;
  for (store::Mail& mail : keeping.batch.mails) mail.mid = service_.next_id();
  const std::string_view queue_id = open.transaction.message().queue_id;
  const Number mid(open.mid());
  auto store = service_.store();
  base::Result<store::Kept> kept = store ? (*store)->keep(keeping.batch, open.live->generation->settings.policies,
                                                          static_cast<int64_t>(std::time(nullptr)))
                                         : std::unexpected(store.error());
  if (!kept) {
    base::emit(event(Event::keep_failed), {{"mid", mid}, {"reason", kept.error().text()}}, queue_id);
    return false;
  }
  unconfirmed_ = kept->id;
  taken = keeping.takes_message;
  for (const store::Ended& ended : kept->expired) log_ended(ended, "queue full");
  if (kept->again) {
    base::emit(event(Event::message_kept_again), {{"mid", mid}, {"again", Number(*kept->again)}}, queue_id);
  }
  for (size_t i = 0; i < keeping.batch.mails.size() && !kept->again; ++i) {
    const rules::GeneratedMail& cause = *keeping.causes[i];
    base::emit(event(Event::mail_generated),
               {{"own", Number(keeping.batch.mails[i].mid)},
                {"mid", mid},
                {"kind", rules::mail_kind_name(cause.kind)},
                {"filter", cause.filter},
                {"to", keeping.batch.mails[i].recipients.front()}},
               queue_id);
  }
  for (const store::Entry& entry : keeping.batch.entries) {
    for (const store::Hold& hold : entry.holds) {
      base::emit(event(Event::message_kept),
                 {{"mid", mid},
                  {"copy", store::copy_name(entry.copy)},
                  {"quarantine", hold.quarantine},
                  {"filter", hold.filter}},
                 queue_id);
    }
  }
  return true;
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

void Session::log_mark(Open& open) {
  const std::string_view queue_id = open.transaction.message().queue_id;
  if (const auto& mark = open.transaction.mark()) {
    base::emit(event(Event::mail_returned),
               {{"mid", Number(open.mid())}, {"own", Number(mark->mid)}, {"kind", mark->kind}}, queue_id);
  } else if (!open.transaction.mark_fault().empty()) {
    base::emit(event(Event::mark_refused), {{"mid", Number(open.mid())}, {"reason", open.transaction.mark_fault()}},
               queue_id);
  }
}

void Session::log_ready(Open& open) {
  message::Message& message = open.transaction.message();
  const auto value = [&message](std::string_view name) {
    const size_t at = message.headers.find(name);
    return at == mime::HeaderList::npos ? std::string_view() : base::trim(message.headers[at].value);
  };
  base::emit(event(Event::message_flow),
             {{"mid", Number(open.mid())},
              {"flow", open.transaction.flow() == nullptr ? "-" : std::string_view(open.transaction.flow()->name)},
              {"header-from", value("From")}});
  const size_t id = message.headers.find("Message-ID");
  if (id != mime::HeaderList::npos) {
    base::emit(event(Event::message_id),
               {{"mid", Number(open.mid())}, {"message_id", base::trim(message.headers[id].value)}});
  }
  const size_t subject = message.headers.find("Subject");
  if (subject != mime::HeaderList::npos) {
    base::emit(event(Event::message_subject),
               {{"mid", Number(open.mid())}, {"subject", base::trim(message.headers[subject].value)}});
  }
}

void Session::log_reports(Transaction& transaction, Live& live, Logged& logged) {
  const rules::Outcome& outcome = transaction.outcome();
  const auto& reports = outcome.reports;
  const auto& filters = live.generation->rules->filters();
  const Number mid(transaction.message().mid);
  const std::string_view queue_id = transaction.message().queue_id;
  for (; logged.reports < reports.size(); ++logged.reports) {
    const rules::FilterReport& report = reports[logged.reports];
    if (report.filter == nullptr || report.result.is_no()) continue;
    const size_t index = static_cast<size_t>(report.filter - filters.data());
    if (index >= live.filters.size()) continue;
    FilterCounter& counter = live.filters[index];
    const std::string where = report.filter->file + ":" + std::to_string(report.filter->line);
    if (report.result.is_unknown()) {
      counter.unknown.fetch_add(1, std::memory_order_relaxed);
      base::emit(event(Event::filter_unknown),
                 {{"mid", mid},
                  {"filter", report.filter->name},
                  {"reason", rules::unknown_name(report.result.reason)},
                  {"detail", report.detail},
                  {"where", where}},
                 queue_id);
      continue;
    }
    (report.observed ? counter.observed : counter.matched).fetch_add(1, std::memory_order_relaxed);
    std::string actions;
    for (const std::string& action : report.actions) actions += (actions.empty() ? "" : "; ") + action;
    base::emit(event(report.observed ? Event::filter_observed : Event::filter_match),
               {{"mid", mid},
                {"filter", report.filter->name},
                {"actions", actions.empty() ? "no action" : actions},
                {"why", report.detail},
                {"where", where}},
               queue_id);
  }
  for (; logged.entries < outcome.log_entries.size(); ++logged.entries) {
    base::emit(event(Event::filter_log_entry), {{"mid", mid}, {"text", outcome.log_entries[logged.entries]}}, queue_id);
  }
  for (; logged.tags < outcome.tags.size(); ++logged.tags) {
    base::emit(event(Event::filter_tag), {{"mid", mid}, {"tag", outcome.tags[logged.tags]}}, queue_id);
  }
}

namespace {

Event event_for(base::Cause cause) {
  switch (cause) {
    case base::Cause::unavailable:
      return Event::sign_unavailable;
    case base::Cause::denied:
      return Event::sign_denied;
    case base::Cause::not_found:
      return Event::sign_key_missing;
    case base::Cause::misconfigured:
      return Event::sign_misconfigured;
    case base::Cause::malformed:
    case base::Cause::limit:
    case base::Cause::internal:
      break;
  }
  return Event::sign_failed;
}

std::string_view consequence_text(stages::WhenUnavailable what) {
  switch (what) {
    case stages::WhenUnavailable::defer:
      return "deferred";
    case stages::WhenUnavailable::unsigned_:
      return "goes on without this signature";
    case stages::WhenUnavailable::reject:
      return "refused";
  }
  return "deferred";
}

}  // namespace

void Session::log_signing(Open& open, const stages::SignReport& report) {
  using Outcome = stages::ProfileReport::Outcome;
  const Number mid(open.mid());
  const std::string_view queue_id = open.transaction.message().queue_id;
  for (const stages::ProfileReport& profile : report.profiles) {
    switch (profile.outcome) {
      case Outcome::signed_:
        // What is deferred for another profile's sake carries no signature.
        if (report.decision) break;
        base::emit(event(Event::message_signed),
                   {{"mid", mid}, {"profile", profile.profile}, {"signature", profile.detail}}, queue_id);
        break;
      case Outcome::passed_over:
        base::emit(event(Event::message_not_signed),
                   {{"mid", mid}, {"profile", profile.profile}, {"reason", profile.detail}}, queue_id);
        break;
      case Outcome::failed:
        base::emit(event(event_for(profile.cause)),
                   {{"mid", mid},
                    {"consequence", consequence_text(profile.consequence)},
                    {"profile", profile.profile},
                    {"reason", profile.detail}},
                   queue_id);
        break;
    }
  }
  if (report.recoded_parts != 0) {
    base::emit(event(Event::message_recoded), {{"mid", mid}, {"parts", Number(report.recoded_parts)}}, queue_id);
  }
  if (!report.left.empty()) {
    base::emit(event(Event::message_not_recoded), {{"mid", mid}, {"reason", report.left}}, queue_id);
  }
  if (report.eight_bit_header) base::emit(event(Event::eight_bit_header_signed), {{"mid", mid}}, queue_id);
}

void Session::log_masquerade(Open& open, const stages::MasqueradeReport& report) {
  const Number mid(open.mid());
  const std::string_view queue_id = open.transaction.message().queue_id;
  if (report.error) {
    base::emit(event(Event::masquerade_failed), {{"mid", mid}, {"reason", report.error->text()}}, queue_id);
  }
  for (const stages::Masqueraded& change : report.changes) {
    base::emit(event(Event::masquerade_done),
               {{"mid", mid}, {"place", change.place}, {"from", change.from}, {"to", change.to}}, queue_id);
  }
  for (const stages::LeftAlone& left : report.left) {
    base::emit(event(Event::masquerade_left), {{"mid", mid}, {"field", left.field}, {"reason", left.reason}}, queue_id);
  }
}

void Session::log_routing(Open& open, const stages::RouteReport& report) {
  const Number mid(open.mid());
  const std::string_view queue_id = open.transaction.message().queue_id;
  if (report.error) {
    base::emit(event(Event::route_failed), {{"mid", mid}, {"reason", report.error->text()}}, queue_id);
    return;
  }
  for (const stages::Routed& each : report.changes) {
    std::string targets;
    for (const std::string& to : each.to) targets += (targets.empty() ? "<" : ", <") + to + ">";
    base::emit(event(Event::recipient_routed), {{"mid", mid}, {"to", each.from}, {"targets", targets}}, queue_id);
  }
  if (!report.host.empty()) {
    base::emit(event(Event::message_routed), {{"mid", mid}, {"host", report.host}}, queue_id);
  }
}

// log_end writes the one line that says what became of a message, and counts it.
void Session::log_end(Open& open, const Decision& decision) {
  Counters& counters = service_.counters();
  counters.verdicts[static_cast<size_t>(decision.verdict)].fetch_add(1, std::memory_order_relaxed);
  message::Message& message = open.transaction.message();
  const Number mid(message.mid);
  const std::string_view queue_id = message.queue_id;
  const std::string_view by = decision.decided_by.empty() ? std::string_view("posternd") : decision.decided_by;

  if (by == "deadline") {
    counters.failed.fetch_add(1, std::memory_order_relaxed);
    const auto deadline = std::chrono::duration_cast<std::chrono::seconds>(service_.content_deadline());
    base::emit(event(Event::message_slow), {{"mid", mid}, {"seconds", Number(static_cast<uint64_t>(deadline.count()))}},
               queue_id);
    return;
  }
  if (by == "limits.memory") {
    counters.over_memory.fetch_add(1, std::memory_order_relaxed);
    base::emit(event(Event::message_over_memory),
               {{"mid", mid}, {"used", Number(service_.memory().used())}, {"bound", Number(service_.memory().bound())}},
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
      for (const std::string& name : open.transaction.outcome().quarantines) {
        names += (names.empty() ? "" : ", ") + name;
      }
      base::emit(event(Event::message_quarantined), {{"mid", mid}, {"by", by}, {"reason", names}}, queue_id);
      break;
    }
    case Verdict::proceed:
    case Verdict::accept:
      break;
  }
  base::emit(
      event(Event::message_ready),
      {{"mid", mid}, {"bytes", Number(open.transaction.bytes_seen())}, {"from", message.envelope.from.value_or("")}},
      queue_id);
  base::emit(event(Event::message_done), {{"mid", mid}}, queue_id);
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// A line is about the message whose MID it names first, and about others it names: the mail that was made of it, the
// message it is the same as.
#include "milter/tracked_events.h"

#include <algorithm>
#include <charconv>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "engine/mime/encoded_word.h"

namespace postern::milter {
namespace {

std::string_view value_of(std::span<const base::LogValue> values, std::string_view name) {
  const auto found = std::ranges::find(values, name, &base::LogValue::name);
  return found == values.end() ? std::string_view() : found->value;
}

uint64_t number_of(std::span<const base::LogValue> values, std::string_view name) {
  const std::string_view text = value_of(values, name);
  uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() ? out : 0;
}

// verdict_of is what a line says became of the message; "": nothing.
std::string_view verdict_of(Event event) {
  switch (event) {
    case Event::message_done:
      return "accept";
    case Event::message_dropped:
      return "discard";
    case Event::message_refused:
    case Event::message_oversize:
      return "reject";
    case Event::message_deferred:
    case Event::message_failed:
    case Event::message_slow:
    case Event::message_over_memory:
    case Event::keep_failed:
    case Event::mta_call_failed:
    case Event::callback_failed:
      return "tempfail";
    case Event::message_quarantined:
      return "quarantine";
    case Event::message_aborted:
      return "aborted";
    case Event::mail_generated:
      return "generated";
    case Event::mail_submitted:
      return "submitted";
    case Event::mail_archived:
      return "archived";
    case Event::mail_failed:
      return "failed";
    default:
      return {};
  }
}

// Lines that any gateway may write about a message that another took in.
bool may_be_elsewhere(Event event) {
  switch (event) {
    case Event::quarantine_released:
    case Event::quarantine_deleted:
    case Event::mail_submitted:
    case Event::mail_archived:
    case Event::mail_delayed:
    case Event::mail_failed:
    case Event::mail_returned:
    case Event::message_kept_again:
      return true;
    default:
      return false;
  }
}

// What is said of a filter beside the line: what was more to it, and where it stands.
std::string with_reasons(std::string_view text, std::span<const base::LogValue> values) {
  std::string out(text);
  if (const std::string_view why = value_of(values, "why"); !why.empty()) out += "; " + base::escape_for_log(why);
  if (const std::string_view where = value_of(values, "where"); !where.empty()) {
    out += " (" + base::escape_for_log(where) + ")";
  }
  return out;
}

store::TrackedLine line_of(const base::LogId& id, int64_t time, std::string_view filter, std::string_view text) {
  return {0, time, static_cast<uint8_t>(id.level), std::string(id.id), std::string(filter), std::string(text)};
}

}  // namespace

bool TrackedEvents::is_tracked(size_t at) {
  static const std::vector<bool> table = [] {
    std::vector<bool> out;
    for (const base::LogId& id : events()) out.push_back(id.shape.find("{mid}") != std::string_view::npos);
    out[static_cast<size_t>(Event::callback_failed)] = true;
    return out;
  }();
  return at < table.size() && table[at];
}

size_t TrackedEvents::place(uint64_t mid, int64_t time, bool elsewhere) {
  const auto [found, is_new] = by_mid_.try_emplace(mid, messages_.size());
  if (is_new) {
    store::TrackedMessage& message = messages_.emplace_back();
    message.mid = mid;
    message.started = time;
    message.elsewhere = elsewhere;
  }
  store::TrackedMessage& message = messages_[found->second];
  message.elsewhere = message.elsewhere && elsewhere;
  return found->second;
}

const std::vector<size_t>& TrackedEvents::add(size_t at, std::span<const base::LogValue> values,
                                              std::string_view queue_id, int64_t time, std::string_view text) {
  about_.clear();
  const auto what = static_cast<Event>(at);
  const std::string line = with_reasons(text, values);
  const uint64_t mid = number_of(values, "mid");
  const uint64_t own = number_of(values, "own");
  const bool elsewhere = may_be_elsewhere(what);
  // A mail of our own is described by what is said of it; else the message is the one called MID.
  const uint64_t described = what == Event::mail_generated ? own : mid;
  for (const uint64_t about : {mid, own, number_of(values, "cause"), number_of(values, "again")}) {
    if (about == 0) continue;
    const size_t where = place(about, time, elsewhere || about != described);
    if (std::ranges::find(about_, where) != about_.end()) continue;
    about_.push_back(where);
    store::TrackedMessage& message = messages_[where];
    if (about == described) describe(message, what, values, time);
    if (about == mid && !queue_id.empty()) message.queue_id = queue_id;
    keep(message, line_of(event(what), time, value_of(values, "filter"), line));
  }
  return about_;
}

const std::vector<size_t>& TrackedEvents::add_other(std::span<const uint64_t> mids, base::Level level, int64_t time,
                                                    std::string_view text) {
  about_.clear();
  for (const uint64_t mid : mids) {
    const size_t where = place(mid, time, true);
    if (std::ranges::find(about_, where) != about_.end()) continue;
    about_.push_back(where);
    keep(messages_[where], {0, time, static_cast<uint8_t>(level), {}, {}, std::string(text)});
  }
  return about_;
}

void TrackedEvents::keep(store::TrackedMessage& message, store::TrackedLine line) {
  if (!whole_) {
    if (line.filter.empty()) return;
    line.text.clear();
  }
  message.lines.push_back(std::move(line));
}

void TrackedEvents::describe(store::TrackedMessage& message, Event what, std::span<const base::LogValue> values,
                             int64_t time) {
  const std::string_view verdict = verdict_of(what);
  if (!verdict.empty() && !(verdict == "accept" && message.verdict == "quarantine")) message.verdict = verdict;
  if (const std::string_view reply = value_of(values, "reply"); !reply.empty() && !verdict.empty()) {
    message.reply = reply;
  }
  switch (what) {
    case Event::message_start: {
      message.icid = number_of(values, "icid");
      message.started = time;
      message.helo = value_of(values, "helo");
      message.auth = value_of(values, "auth");
      const std::string_view address = value_of(values, "address");
      if (address.empty()) break;  // read from a log
      if (address != "-") message.client = address;
      if (const std::string_view host = value_of(values, "host"); host != "-") message.client_name = host;
      const base::LogId& connection = event(Event::connection_new);
      keep(message, line_of(connection, static_cast<int64_t>(number_of(values, "connected")), {},
                            base::log_text(connection, values)));
      break;
    }
    case Event::message_from:
      message.icid = number_of(values, "icid");
      message.from = value_of(values, "from");
      break;
    case Event::message_to:
    case Event::recipient_refused:
    case Event::recipient_late:
    case Event::mail_generated:
      message.recipients.emplace_back(value_of(values, "to"));
      break;
    case Event::message_flow: {
      message.flow = value_of(values, "flow");
      const std::string_view from = value_of(values, "header-from");
      if (from.empty()) break;
      const message::AddressList list = message::parse_address_list(from, 2);
      if (!list.mailboxes.empty() && !list.mailboxes[0].local.empty()) {
        message.author = list.mailboxes[0].addr_spec();
      }
      message.header_from = mime::decode_words(from);
      break;
    }
    case Event::message_id:
      message.message_id = value_of(values, "message_id");
      break;
    case Event::message_subject:
      message.subject = mime::decode_words(value_of(values, "subject"));
      break;
    case Event::message_ready:
    case Event::message_oversize:
      message.size = number_of(values, "bytes");
      break;
    default:
      break;
  }
}

std::vector<store::TrackedMessage> TrackedEvents::take() {
  by_mid_.clear();
  return std::exchange(messages_, {});
}

}  // namespace postern::milter

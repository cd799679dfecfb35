// SPDX-License-Identifier: Apache-2.0
// Few names and few values, so that fields repeat, collide and come back; a byte source that runs dry gives zeros. The
// shortest script is found a second time here, by trying every split of the final header.
#include "test/support/changes_case.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "engine/base/text.h"
#include "engine/message/changes.h"
#include "test/support/fake_mta.h"

namespace postern::test {

namespace {

using message::Change;
using message::ChangeList;
using message::Message;
using message::Op;

constexpr std::array<std::string_view, 12> kNames = {"Received", "X-A", "x-a",  "X-a", "X-B",      "Subject",
                                                     "subject",  "To",  "Date", "A",   "received", "X-Long-Name"};
constexpr std::array<std::string_view, 8> kReceivedValues = {" a", " b", "a", "", " a\n\tfolded", "  two", " c", "\tt"};
constexpr std::array<std::string_view, 9> kNewValues = {
    "a", "b", "c", "", "evil\r\nBcc: x@y", std::string_view("nul\0here", 8), "long fold\n rest", "\n\n", "new"};
constexpr std::array<std::string_view, 6> kAddresses = {"a@x.example", "A@x.example", "b@x.example",
                                                        "c@y.example", "c@Y.example", "d@z.example"};
// Sendmail rewrites addresses and gives missing fields of its own, and both MTAs have an opinion about Date; these
// pass.
constexpr std::array<std::string_view, 10> kMailableNames = {
    "X-A", "x-a", "X-B", "Received", "received", "Subject", "Comments", "X-Long-Name", "subject", "X-a"};
constexpr std::array<std::string_view, 6> kMailableValues = {" a", " b", "a", " a\n\tfolded", "  two", "\tt"};
constexpr std::array<std::string_view, 6> kMailableNewValues = {"a", "b",  "evil\r\nBcc: x@y", "long fold\n rest",
                                                                "c", "new"};

// Vocabulary is what a case is made of.
struct Vocabulary {
  std::span<const std::string_view> names;
  std::span<const std::string_view> received_values;
  std::span<const std::string_view> new_values;
  size_t most_fields;
};
constexpr Vocabulary kAll{kNames, kReceivedValues, kNewValues, 30};
constexpr Vocabulary kMailable{kMailableNames, kMailableValues, kMailableNewValues, 12};

constexpr size_t kExhaustive = 9;  // longest header for which every split is tried

class Bytes {
 public:
  explicit Bytes(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  size_t below(size_t bound) {
    if (at_ >= bytes_.size()) return 0;
    return bytes_[at_++] % bound;
  }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

void edit_headers(Bytes& bytes, const Vocabulary& words, mime::HeaderList& headers) {
  const size_t edits = bytes.below(14);
  for (size_t n = 0; n < edits; ++n) {
    const std::string_view name = words.names[bytes.below(words.names.size())];
    const std::string_view value = words.new_values[bytes.below(words.new_values.size())];
    const size_t index = headers.size() == 0 ? 0 : bytes.below(headers.size());
    switch (bytes.below(8)) {
      case 0:
        headers.append(name, value);
        break;
      case 1:
        headers.insert_top(name, value);
        break;
      case 2:
        headers.change(index, value);
        break;
      case 3:
        headers.remove(index);
        break;
      case 4:
        headers.remove_received(name);
        break;
      case 5:
        if (headers.size() != 0) {
          const std::string again = headers[index].name;
          headers.remove(index);
          headers.append(again, value);
        }
        break;
      case 6:
        if (headers.size() != 0) {
          const std::string again = headers[0].name;
          headers.remove(0);
          headers.insert_top(again, value);
        }
        break;
      default:
        if (headers.size() != 0) {
          const mime::HeaderField last = headers[headers.size() - 1];
          headers.remove(headers.size() - 1);
          headers.append(last.name, std::string_view(last.value).substr(last.value.empty() ? 0 : 1));
        }
    }
  }
}

std::vector<Field> fields_of(const auto& list) {
  std::vector<Field> fields;
  for (const auto& field : list) fields.push_back({field.name, field.value});
  return fields;
}

// The cost of the cheapest way to keep final[begin, end) as received fields: for each final field in turn, the least
// number of changes with the match ending at each received field. A large number when there is none.
size_t keep_cost(const std::vector<Field>& received, const std::vector<Field>& final, size_t begin, size_t end) {
  constexpr size_t kNever = 1000000;
  std::vector<size_t> least(received.size() + 1, 0);  // least[i]: with the first i received fields
  for (size_t j = begin; j < end; ++j) {
    std::vector<size_t> next(received.size() + 1, kNever);
    for (size_t i = 1; i <= received.size(); ++i) {
      next[i] = next[i - 1];
      if (received[i - 1].name != final[j].name) continue;
      const bool same = received[i - 1].value == final[j].value;
      if (!same && final[j].value.empty()) continue;
      next[i] = std::min(next[i], least[i - 1] + (same ? 0 : 1));
    }
    least = std::move(next);
  }
  return least.back();
}

size_t shortest(const std::vector<Field>& received, const std::vector<Field>& final) {
  size_t best = received.size() + final.size();
  for (size_t begin = 0; begin < final.size(); ++begin) {
    for (size_t end = begin + 1; end <= final.size(); ++end) {
      const size_t kept = end - begin;
      if (kept > received.size()) break;
      best = std::min(best, received.size() + final.size() - 2 * kept + keep_cost(received, final, begin, end));
    }
  }
  return best;
}

// No script can be shorter than this: per name, the surplus must go or come, and one change makes one value right.
size_t lower_bound(const std::vector<Field>& received, const std::vector<Field>& final) {
  std::map<std::string, int> surplus;
  for (const Field& field : received) --surplus[field.name];
  for (const Field& field : final) ++surplus[field.name];
  size_t bound = 0;
  for (const auto& [name, count] : surplus) bound += static_cast<size_t>(std::abs(count));
  std::map<std::pair<std::string, std::string>, int> values;
  for (const Field& field : received) --values[{field.name, field.value}];
  for (const Field& field : final) ++values[{field.name, field.value}];
  size_t fresh = 0;
  for (const auto& [value, count] : values) fresh += static_cast<size_t>(std::max(count, 0));
  return std::max(bound, fresh);
}

// Steps when every surviving field stays where it is and all else is deleted and made anew.
size_t plain_cost(const mime::HeaderList& headers) {
  size_t kept = 0;
  size_t changed = 0;
  for (const auto& field : headers) {
    if (field.received < 0) continue;
    ++kept;
    if (field.value != headers.received()[static_cast<size_t>(field.received)].value) ++changed;
  }
  return headers.received().size() + headers.size() - 2 * kept + changed;
}

std::string show(const std::vector<Field>& fields) {
  std::string out;
  for (const Field& field : fields) out += "    " + field.name + ":" + base::escape_for_log(field.value) + "\n";
  return out;
}

std::string show(const ChangeList& list) {
  std::string out;
  for (const Change& change : list.changes) {
    out += "    " + std::string(message::op_name(change.op)) + " " + change.name + " " + std::to_string(change.index) +
           " " + base::escape_for_log(change.value) + "\n";
  }
  return out;
}

std::string unfit(const Change& change) {
  switch (change.op) {
    case Op::change_header:
    case Op::insert_header:
    case Op::add_header: {
      if (change.op == Op::change_header && change.value.empty()) return "a change to nothing is a deletion";
      if (change.name.empty() || (change.op == Op::change_header && change.index == 0)) return "bad index";
      size_t line = change.name.size() + 1;
      for (size_t i = 0; i < change.value.size(); ++i) {
        const char c = change.value[i];
        if (c == '\r' || c == '\0') return "CR or NUL in a value";
        if (c == '\n') {
          line = 0;
          const char next = i + 1 < change.value.size() ? change.value[i + 1] : 'x';
          if (next != ' ' && next != '\t') return "a line end that is no fold";
        } else if (++line > 998) {
          return "a line is too long";
        }
      }
      return "";
    }
    case Op::delete_header:
      return change.index > 0 ? "" : "bad index";
    default:
      return "";
  }
}

std::set<std::string> folded(const std::vector<std::string>& addresses) {
  std::set<std::string> set;
  for (const std::string& address : addresses) set.insert(base::lower(address));
  return set;
}

std::vector<std::string> addresses_of(const message::Envelope& envelope) {
  std::vector<std::string> addresses;
  for (const auto& recipient : envelope.recipients) addresses.push_back(recipient.address);
  return addresses;
}

void edit_envelope(Bytes& bytes, message::Envelope& envelope) {
  for (size_t n = bytes.below(5); n > 0; --n) {
    const std::string address(kAddresses[bytes.below(kAddresses.size())]);
    const size_t index = envelope.recipients.empty() ? 0 : bytes.below(envelope.recipients.size());
    switch (bytes.below(5)) {
      case 0:
        envelope.recipients.push_back({address, {}});
        break;
      case 1:
        if (!envelope.recipients.empty())
          envelope.recipients.erase(envelope.recipients.begin() + static_cast<ptrdiff_t>(index));
        break;
      case 2:
        if (!envelope.recipients.empty()) envelope.recipients[index].address = address;
        break;
      case 3:
        envelope.recipients.assign(1, {address, {}});
        break;
      default:
        envelope.from = bytes.below(2) == 0 ? address : "";
    }
  }
}

}  // namespace

std::vector<std::string> ChangesCase::received_recipients() const { return addresses_of(message->received_envelope()); }
std::vector<std::string> ChangesCase::final_recipients() const { return addresses_of(message->envelope); }

std::unique_ptr<ChangesCase> make_case(std::span<const uint8_t> input, bool mailable) {
  Bytes bytes(input);
  const Vocabulary& words = mailable ? kMailable : kAll;
  auto made = std::make_unique<ChangesCase>();
  made->message = std::make_unique<Message>(base::Limits());
  Message& message = *made->message;
  const size_t count = bytes.below(words.most_fields + 1);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view name = words.names[bytes.below(words.names.size())];
    message.headers.add_received(name, words.received_values[bytes.below(words.received_values.size())]);
  }
  made->body = "line one\r\nline two\r\n";
  const std::string& body = made->body;
  message.set_body(body);
  message.envelope.from = "sender@x.example";
  for (size_t n = bytes.below(5) + (mailable ? 1 : 0); n > 0; --n) {
    message.envelope.recipients.push_back({std::string(kAddresses[bytes.below(kAddresses.size())]), {}});
  }
  message.keep_received_envelope();

  edit_headers(bytes, words, message.headers);
  edit_envelope(bytes, message.envelope);
  if (mailable && message.envelope.recipients.empty()) {
    message.envelope.recipients.push_back({std::string(kAddresses[0]), {}});
  }
  made->final_body = body;
  if (const size_t choice = bytes.below(6); choice < 2) {
    const std::string_view second = choice == 0 ? "line 2\r\n" : "line two\r\n";
    mime::Pieces pieces;
    pieces.add_view(std::string_view(body).substr(0, 10));
    pieces.add_text(std::string(second));
    message.replace_body("text/plain", choice == 0 ? "7bit" : "", std::move(pieces));
    made->final_body = body.substr(0, 10) + std::string(second);
  }
  made->received = fields_of(message.headers.received());
  made->final = fields_of(message.headers);
  made->list = message::diff(message);
  return made;
}

std::string check_changes(std::span<const uint8_t> input, size_t* steps) {
  const std::unique_ptr<ChangesCase> made = make_case(input);
  const std::vector<Field>& received = made->received;
  const std::vector<Field>& final = made->final;
  const ChangeList& list = made->list;
  if (steps != nullptr) *steps = list.changes.size();
  const auto wrong = [&](const std::string& what) {
    return what + "\n  received:\n" + show(received) + "  final:\n" + show(final) + "  script:\n" + show(list);
  };
  size_t header_steps = 0;
  for (const Change& change : list.changes) {
    if (const std::string fault = unfit(change); !fault.empty()) return wrong(fault);
    if (change.op == Op::change_header || change.op == Op::delete_header || change.op == Op::insert_header ||
        change.op == Op::add_header) {
      ++header_steps;
    }
    if (change.op == Op::replace_body && made->final_body == made->body) return wrong("the body is the same");
  }
  for (const auto dialect : {FakeMta::Dialect::postfix, FakeMta::Dialect::sendmail}) {
    const std::string who = dialect == FakeMta::Dialect::postfix ? "postfix: " : "sendmail: ";
    FakeMta mta(dialect, received);
    mta.set_envelope("sender@x.example", made->received_recipients());
    mta.set_body(made->body);
    mta.apply(list);
    if (mta.headers() != final) return wrong(who + "header differs:\n" + show(mta.headers()));
    if (!mta.own_received_intact()) return wrong(who + "the MTA's own Received field was touched");
    if (mta.from() != *made->message->envelope.from) return wrong(who + "sender differs");
    const std::vector<std::string> reached = mta.recipients();
    const std::vector<std::string> wanted = made->final_recipients();
    if (folded(reached) != folded(wanted)) return wrong(who + "recipients differ");
    for (const std::string& address : reached) {
      if (std::find(wanted.begin(), wanted.end(), address) == wanted.end())
        return wrong(who + "spelling of " + address);
    }
    if (dialect == FakeMta::Dialect::postfix && folded(reached).size() != reached.size()) {
      return wrong(who + "a recipient gets two copies");
    }
    if (mta.body() != made->final_body) return wrong(who + "body differs");
  }
  if (header_steps < lower_bound(received, final)) return wrong("shorter than can be: the model is wrong");
  if (header_steps > plain_cost(made->message->headers)) return wrong("longer than the plain script");
  if (received.size() <= kExhaustive && final.size() <= kExhaustive && header_steps != shortest(received, final)) {
    return wrong("not the shortest: " + std::to_string(shortest(received, final)) + " steps would do");
  }
  return "";
}

}  // namespace postern::test

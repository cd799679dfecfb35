// SPDX-License-Identifier: Apache-2.0
// Evaluation of single rules over connection, envelope, clock and header fields, and the parts all evaluators share.
// Nothing here allocates for a test that does not match, once the named header fields are decoded.
#include "rules/tests.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "engine/base/text.h"
#include "engine/message/address.h"

namespace postern::rules {
namespace {

int gravity(Unknown reason) {
  switch (reason) {
    case Unknown::none:
      return 0;
    case Unknown::dns:
      return 1;
    case Unknown::regex_limit:
      return 2;
    case Unknown::engine:
      return 3;
    case Unknown::unscannable:
      return 4;
    case Unknown::directory:
      return 5;
  }
  return 0;
}

Truth graver(Truth a, Truth b) { return gravity(a.reason) >= gravity(b.reason) ? a : b; }

Truth search_optional(const Test& test, const std::optional<std::string>& value, Facts& facts) {
  return value ? search_pattern(test, *value, facts) : not_known();
}

Truth equal_optional(const Test& test, const std::optional<std::string>& value) {
  if (!value || test.texts.empty()) return not_known();
  return Truth::of(base::iequals(*value, test.texts.back()));
}

Truth mail_from(const Test& test, Facts& facts) { return search_optional(test, facts.message().envelope.from, facts); }

Truth rcpt_to(const Test& test, Facts& facts) {
  if (facts.current_recipient) return search_pattern(test, *facts.current_recipient, facts);
  if (facts.phase < Phase::rcpt) return not_known();
  Truth answer = Truth::of(false);
  for (const message::Recipient& recipient : facts.message().envelope.recipients) {
    answer = either(answer, search_pattern(test, recipient.address, facts));
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth rcpt_count(const Test& test, Facts& facts) {
  if (facts.phase < Phase::rcpt) return not_known();
  // While a recipient is in question it is not yet among them.
  const size_t count = facts.message().envelope.recipients.size() + (facts.current_recipient ? 1 : 0);
  return Truth::of(compare(static_cast<int64_t>(count), test.op, test.number));
}

// in_group asks about all addresses at once. One that is in the group decides, also where others are unknown.
Truth in_group(const Test& test, std::vector<std::string> addresses, Facts& facts) {
  std::erase_if(addresses, [](const std::string& address) { return address.empty(); });
  if (addresses.empty()) return Truth::of(false);
  if (facts.directory == nullptr || test.texts.empty()) return Truth::unknown(Unknown::directory);
  Truth answer = Truth::of(false);
  for (const base::Result<bool>& member : facts.directory->in_group(addresses, test.texts.back())) {
    answer = either(answer, member ? Truth::of(*member) : Truth::unknown(Unknown::directory));
  }
  return answer;
}

Truth mail_from_group(const Test& test, Facts& facts) {
  const std::optional<std::string>& from = facts.message().envelope.from;
  return from ? in_group(test, {*from}, facts) : not_known();
}

Truth rcpt_to_group(const Test& test, Facts& facts) {
  if (facts.current_recipient) return in_group(test, {*facts.current_recipient}, facts);
  if (facts.phase < Phase::rcpt) return not_known();
  std::vector<std::string> addresses;
  for (const message::Recipient& recipient : facts.message().envelope.recipients)
    addresses.push_back(recipient.address);
  return in_group(test, std::move(addresses), facts);
}

Truth remote_ip(const Test& test, Facts& facts) {
  const auto& client = facts.client_address();
  if (!client) return not_known();
  const auto& [v6, bytes] = *client;
  const size_t size = v6 ? 16 : 4;
  for (const IpPattern& pattern : test.ip) {
    if (pattern.v6 == v6 && std::memcmp(bytes.data(), pattern.low, size) >= 0 &&
        std::memcmp(bytes.data(), pattern.high, size) <= 0) {
      return Truth::of(true);
    }
  }
  return Truth::of(false);
}

Truth recv_listener(const Test& test, Facts& facts) {
  return equal_optional(test, facts.message().connection.daemon_name);
}

Truth recv_int(const Test& test, Facts& facts) { return equal_optional(test, facts.message().connection.interface); }

Truth sendergroup(const Test& test, Facts& facts) {
  return facts.flow().empty() ? not_known() : search_pattern(test, facts.flow(), facts);
}

Truth date(const Test& test, Facts& facts) { return Truth::of(compare(facts.now(), test.op, test.number)); }

Truth random_number(const Test& test, Facts&) {
  thread_local std::minstd_rand generator{std::random_device{}()};
  const uint32_t bound = std::max<uint32_t>(test.threshold, 1);
  const uint32_t drawn = std::uniform_int_distribution<uint32_t>(0, bound - 1)(generator);
  if (test.op == Operator::none) return Truth::of(drawn != 0);
  return Truth::of(compare(drawn, test.op, test.number));
}

Truth always(const Test&, Facts&) { return Truth::of(true); }

Truth workqueue_count(const Test& test, Facts& facts) {
  return Truth::of(compare(static_cast<int64_t>(facts.work_count()), test.op, test.number));
}

Truth header(const Test& test, Facts& facts) {
  if (!facts.headers_known()) return not_known();
  if (test.op == Operator::none) return Truth::of(facts.header_present(test.header_slot));
  if (!facts.header_may_match(test.header_slot, test.member)) return Truth::of(false);
  Truth answer = Truth::of(false);
  for (const std::string& value : facts.header_values(test.header_slot)) {
    answer = either(answer, search_pattern(test, value, facts));
    if (answer.is_yes()) break;
  }
  return answer;
}

Truth header_repeats(const Test& test, Facts& facts) {
  if (!facts.headers_known() || test.texts.empty()) return not_known();
  return Truth::of(facts.message().headers.count(test.texts.front()) >= test.threshold);
}

}  // namespace

Truth compare_at_least(int64_t found, Operator op, int64_t number) {
  switch (op) {
    case Operator::gt:
      return found > number ? Truth::of(true) : not_known();
    case Operator::ge:
      return found >= number ? Truth::of(true) : not_known();
    case Operator::lt:
      return found >= number ? Truth::of(false) : not_known();
    case Operator::le:
      return found > number ? Truth::of(false) : not_known();
    default:
      return found > number ? Truth::of(false) : not_known();
  }
}

namespace {

Truth addr_count(const Test& test, Facts& facts) {
  if (!facts.headers_known()) return not_known();
  const mime::HeaderList& headers = facts.message().headers;
  int64_t count = 0;
  bool certain = true;
  for (const std::string& name : test.texts) {
    for (size_t at = headers.find(name); at != mime::HeaderList::npos; at = headers.find(name, at + 1)) {
      const message::AddressList list =
          message::parse_address_list(headers[at].value, facts.message().limits().addresses);
      count += static_cast<int64_t>(list.mailboxes.size());
      certain = certain && !list.malformed && !list.truncated;
    }
  }
  return certain ? Truth::of(compare(count, test.op, test.number)) : compare_at_least(count, test.op, test.number);
}

// Cuts what follows the last `separator` in the local part: user+list@x -> user@x.
std::string without_detail(std::string_view address, char separator) {
  const size_t at = address.rfind('@');
  const std::string_view local = address.substr(0, at);
  const size_t cut = separator == '\0' ? std::string_view::npos : local.rfind(separator);
  if (cut == std::string_view::npos || cut == 0) return base::lower(address);
  std::string out(local.substr(0, cut));
  if (at != std::string_view::npos) out.append(address.substr(at));
  return base::lower(out);
}

bool same_identity(std::string_view user, std::string_view address, char separator) {
  if (address.empty()) return false;
  const std::string wanted = without_detail(user, separator);
  const std::string found = without_detail(address, separator);
  if (wanted.find('@') != std::string::npos) return wanted == found;
  return wanted == std::string_view(found).substr(0, found.rfind('@'));
}

Truth auth_matches_header(std::string_view user, std::string_view name, char separator, Facts& facts) {
  if (!facts.headers_known()) return not_known();
  const mime::HeaderList& headers = facts.message().headers;
  bool certain = true;
  for (size_t at = headers.find(name); at != mime::HeaderList::npos; at = headers.find(name, at + 1)) {
    const message::AddressList list =
        message::parse_address_list(headers[at].value, facts.message().limits().addresses);
    for (const message::Mailbox& mailbox : list.mailboxes) {
      if (same_identity(user, mailbox.local + "@" + mailbox.domain, separator)) return Truth::of(true);
    }
    certain = certain && !list.malformed && !list.truncated;
  }
  return certain ? Truth::of(false) : not_known();
}

Truth smtp_auth_id_matches(const Test& test, Facts& facts) {
  if (facts.phase < Phase::mail || test.texts.empty()) return not_known();
  const message::Envelope& envelope = facts.message().envelope;
  const bool authenticated = envelope.auth_user && !envelope.auth_user->empty();
  const std::string_view target = test.texts[0];
  if (base::iequals(target, "*none")) return Truth::of(!authenticated);
  if (base::iequals(target, "*any")) return Truth::of(authenticated);
  if (!authenticated) return Truth::of(false);
  const char separator = test.texts.size() > 1 && !test.texts[1].empty() ? test.texts[1][0] : '\0';
  if (base::iequals(target, "*envelopefrom")) {
    return envelope.from ? Truth::of(same_identity(*envelope.auth_user, *envelope.from, separator)) : not_known();
  }
  if (base::iequals(target, "*sender")) return auth_matches_header(*envelope.auth_user, "sender", separator, facts);
  return auth_matches_header(*envelope.auth_user, "from", separator, facts);
}

Truth smtp_auth_id_in_directory(const Test& test, Facts& facts) {
  if (facts.phase < Phase::mail || test.texts.empty()) return not_known();
  const message::Envelope& envelope = facts.message().envelope;
  if (!envelope.auth_user || envelope.auth_user->empty()) return Truth::of(false);
  if (!envelope.from) return not_known();
  if (envelope.from->empty()) return Truth::of(false);
  if (facts.directory == nullptr) return Truth::unknown(Unknown::directory);
  const auto known = facts.directory->is_login(test.texts.back(), *envelope.from, *envelope.auth_user);
  return known ? Truth::of(*known) : Truth::unknown(Unknown::directory);
}

constexpr NamedTest kTests[] = {
    {"subject", header},
    {"mail-from", mail_from},
    {"rcpt-to", rcpt_to},
    {"smtp-auth-id-in-directory", smtp_auth_id_in_directory},
    {"mail-from-group", mail_from_group},
    {"rcpt-to-group", rcpt_to_group},
    {"rcpt-count", rcpt_count},
    {"remote-ip", remote_ip},
    {"recv-listener", recv_listener},
    {"recv-int", recv_int},
    {"sendergroup", sendergroup},
    {"date", date},
    {"header", header},
    {"addr-count", addr_count},
    {"random", random_number},
    {"true", always},
    {"header-repeats", header_repeats},
    {"smtp-auth-id-matches", smtp_auth_id_matches},
    {"workqueue-count", workqueue_count},
};

// The evaluators in the order of rule_table(), made once.
const std::vector<TestFunction>& functions() {
  static const std::vector<TestFunction> table = [] {
    std::vector<TestFunction> out;
    for (const RuleRow& row : rule_table()) {
      TestFunction found = nullptr;
      for (const auto& group : {envelope_tests(), content_tests(), text_tests(), scan_tests(), engine_tests()}) {
        for (const NamedTest& entry : group) {
          if (entry.name == row.name) found = entry.run;
        }
      }
      out.push_back(found);
    }
    return out;
  }();
  return table;
}

}  // namespace

std::span<const NamedTest> envelope_tests() { return kTests; }

Truth negate(Truth value) {
  if (value.is_unknown()) return value;
  return Truth::of(!value.is_yes());
}

Truth both(Truth a, Truth b) {
  if (a.is_no() || b.is_no()) return Truth::of(false);
  if (a.is_unknown() || b.is_unknown()) return graver(a, b);
  return Truth::of(true);
}

Truth either(Truth a, Truth b) {
  if (a.is_yes() || b.is_yes()) return Truth::of(true);
  if (a.is_unknown() || b.is_unknown()) return graver(a, b);
  return Truth::of(false);
}

bool compare(int64_t value, Operator op, int64_t number) {
  switch (op) {
    case Operator::lt:
      return value < number;
    case Operator::le:
      return value <= number;
    case Operator::gt:
      return value > number;
    case Operator::ge:
      return value >= number;
    case Operator::none:
    case Operator::eq:
    case Operator::ne:
      break;
  }
  return value == number;
}

void keep_match(Facts& facts, std::string_view matched) {
  size_t size = std::min(matched.size(), Facts::kMaxMatched);
  while (size < matched.size() && size > 0 && (static_cast<unsigned char>(matched[size]) & 0xC0) == 0x80) --size;
  facts.matched_content.assign(matched.substr(0, size));
}

Truth search_pattern(const Test& test, std::string_view subject, Facts& facts) {
  if (!test.regex) return not_known();
  std::string_view matched;
  switch (test.regex->search(subject, &matched)) {
    case match::Verdict::yes:
      keep_match(facts, matched);
      return Truth::of(true);
    case match::Verdict::no:
      return Truth::of(false);
    case match::Verdict::limit:
      break;
  }
  return Truth::unknown(Unknown::regex_limit);
}

Truth run_test(const Test& test, Facts& facts) {
  const auto at = static_cast<size_t>(test.rule - rule_table().data());
  const std::vector<TestFunction>& table = functions();
  if (at >= table.size() || table[at] == nullptr) return not_known();
  const Truth answer = table[at](test, facts);
  return test.op == Operator::ne ? negate(answer) : answer;
}

bool has_evaluator(std::string_view name) {
  const RuleRow* row = find_rule(name);
  return row != nullptr && functions()[static_cast<size_t>(row - rule_table().data())] != nullptr;
}

}  // namespace postern::rules

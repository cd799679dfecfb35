// SPDX-License-Identifier: Apache-2.0
// Lines of the audit log. Written for speed: thousands a second are appended while signatures wait for them.
#include "keystore/audit_record.h"

#include <charconv>
#include <cstdlib>
#include <ctime>

#include "engine/base/text.h"

namespace postern::keystore {

namespace {

constexpr size_t kMaxValue = 512;
constexpr size_t kMaxValues = 4096;
constexpr size_t kTimeText = 24;

void append_number(std::string& out, uint64_t value) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

bool is_plain(std::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c == 0x7f || c == '"' || c == '\\') return false;
  }
  return true;
}

void append_text(std::string& out, std::string_view text, size_t most) {
  if (text.size() <= most && is_plain(text)) {
    out += text;
    return;
  }
  std::string safe;
  base::append_escaped(safe, text, most);
  for (const char c : safe) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
}

void append_two(std::string& out, int value) {
  out += static_cast<char>('0' + value / 10 % 10);
  out += static_cast<char>('0' + value % 10);
}

void append_time(std::string& out, int64_t milliseconds) {
  // The date changes once a second, the calendar is asked no more often.
  thread_local time_t known = -1;
  thread_local std::string text;
  const auto seconds = static_cast<time_t>(milliseconds / 1000);
  if (seconds != known || text.empty()) {
    tm parts{};
    gmtime_r(&seconds, &parts);
    text.clear();
    append_two(text, (parts.tm_year + 1900) / 100);
    append_two(text, (parts.tm_year + 1900) % 100);
    text += '-';
    append_two(text, parts.tm_mon + 1);
    text += '-';
    append_two(text, parts.tm_mday);
    text += 'T';
    append_two(text, parts.tm_hour);
    text += ':';
    append_two(text, parts.tm_min);
    text += ':';
    append_two(text, parts.tm_sec);
    text += '.';
    known = seconds;
  }
  const int fraction = static_cast<int>(milliseconds % 1000);
  out += text;
  out += static_cast<char>('0' + fraction / 100);
  append_two(out, fraction % 100);
  out += 'Z';
}

// Taking a line apart from the left. Each function moves `rest` on and tells whether it found what it wanted.
bool take(std::string_view& rest, std::string_view literal) {
  if (!rest.starts_with(literal)) return false;
  rest.remove_prefix(literal.size());
  return true;
}

bool take_number(std::string_view& rest, uint64_t& value) {
  if (rest.empty() || rest[0] < '1' || rest[0] > '9') return false;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc()) return false;
  rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  return true;
}

// The inside of a quoted text, and its closing quotation mark.
bool take_text(std::string_view& rest, std::string_view& text) {
  for (size_t i = 0; i < rest.size(); ++i) {
    const auto byte = static_cast<uint8_t>(rest[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    if (byte == '\\') {
      ++i;
      if (i >= rest.size() || (rest[i] != '\\' && rest[i] != '"')) return false;
    } else if (byte == '"') {
      text = rest.substr(0, i);
      rest.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

bool is_time(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00.000Z";
  static_assert(kShape.size() == kTimeText);
  if (text.size() != kTimeText) return false;
  for (size_t i = 0; i < kTimeText; ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == '0' ? !digit : text[i] != kShape[i]) return false;
  }
  return true;
}

bool is_hash(std::string_view text) {
  if (text.size() != kHashText) return false;
  for (const char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

}  // namespace

void append_audit_values(std::string& out, AuditValues values) {
  const size_t start = out.size();
  for (const auto& [name, value] : values) {
    // A record is never refused for its length: the values that come last are cut shorter.
    const size_t used = out.size() - start;
    out += ",\"";
    append_text(out, name, 32);
    out += "\":\"";
    append_text(out, value, used < kMaxValues ? kMaxValue : 0);
    out += '"';
  }
}

void append_record(std::string& out, const RecordHead& head, std::string_view values) {
  out += "{\"seq\":";
  append_number(out, head.sequence);
  out += ",\"time\":\"";
  append_time(out, head.milliseconds);
  out += "\",\"action\":\"";
  append_text(out, head.action, 64);
  out += '"';
  if (head.segment != 0) {
    out += ",\"segment\":";
    append_number(out, head.segment);
  }
  out += values;
  out += ",\"prev\":\"";
  out += head.previous;
  out += "\"}";
}

size_t record_room(std::string_view action, std::string_view values) {
  // Names, punctuation, two numbers of 20 digits, time, hash and line end are below 220; a byte of the action may
  // become five.
  return 220 + 5 * action.size() + values.size();
}

std::optional<RecordHead> parse_record(std::string_view line) {
  RecordHead out;
  std::string_view rest = line;
  std::string_view time;
  if (line.size() > kMaxRecord || !take(rest, "{\"seq\":") || !take_number(rest, out.sequence) ||
      !take(rest, ",\"time\":\"") || !take_text(rest, time) || !is_time(time) || !take(rest, ",\"action\":\"") ||
      !take_text(rest, out.action)) {
    return std::nullopt;
  }
  if (take(rest, ",\"segment\":") && !take_number(rest, out.segment)) return std::nullopt;
  std::string_view name;
  std::string_view value;
  do {
    if (!take(rest, ",\"") || !take_text(rest, name) || !take(rest, ":\"") || !take_text(rest, value))
      return std::nullopt;
  } while (rest != "}");
  if (name != "prev" || !is_hash(value)) return std::nullopt;
  out.previous = value;
  return out;
}

RecordHash::RecordHash() : context_(EVP_MD_CTX_new()) {
  // Without memory for a digest there is no audit and so no service.
  if (context_ == nullptr || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) std::abort();
}

std::array<char, kHashText> RecordHash::operator()(std::string_view line) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<uint8_t, kHashText / 2> digest;
  // Initialising again with what is there already costs no look-up of the algorithm.
  if (EVP_DigestInit_ex(context_.get(), nullptr, nullptr) != 1 ||
      EVP_DigestUpdate(context_.get(), line.data(), line.size()) != 1 ||
      EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) != 1) {
    std::abort();
  }
  std::array<char, kHashText> out;
  for (size_t i = 0; i < digest.size(); ++i) {
    out[2 * i] = kDigits[digest[i] >> 4];
    out[2 * i + 1] = kDigits[digest[i] & 15];
  }
  return out;
}

bool ChainReader::next(std::string_view line) {
  const auto record = parse_record(line);
  if (!record) return false;
  if (!previous_.empty() && record->previous != previous_) return false;
  if (count_ != 0 && record->sequence != sequence_ + 1) return false;
  const auto hash = hash_(line);
  previous_.assign(hash.data(), hash.size());
  if (count_ == 0) first_ = record->sequence;
  sequence_ = record->sequence;
  ++count_;
  return true;
}

}  // namespace postern::keystore

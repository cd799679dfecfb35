// SPDX-License-Identifier: Apache-2.0
// Readers of values. IP patterns follow the notation of host access tables: addresses, prefixes that end in a dot,
// ranges, and CIDR; inet_pton decides what an address is.
#include "rules/values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <limits>

#include "engine/base/decimal.h"
#include "engine/base/text.h"

namespace postern::rules {
namespace {

std::nullopt_t fail(ValueFault& fault, size_t offset, size_t length, std::string message, std::string hint = {}) {
  fault = {offset, std::max<size_t>(length, 1), std::move(message), std::move(hint)};
  return std::nullopt;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z'); }

std::optional<uint32_t> small_number(std::string_view text, uint32_t most) {
  uint32_t value = 0;
  if (text.empty() || text.size() > 5 || !is_digit(text.front())) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

bool to_address(std::string_view text, bool v6, uint8_t* bytes) {
  const std::string copy(text);
  return copy.size() < 64 && inet_pton(v6 ? AF_INET6 : AF_INET, copy.c_str(), bytes) == 1;
}

constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

void fold_mapped(IpPattern& pattern) {
  if (!pattern.v6 || std::memcmp(pattern.low, kMapped, 12) != 0 || std::memcmp(pattern.high, kMapped, 12) != 0) return;
  IpPattern v4;
  std::memcpy(v4.low, pattern.low + 12, 4);
  std::memcpy(v4.high, pattern.high + 12, 4);
  pattern = v4;
}

bool read_cidr(std::string_view text, size_t slash, IpPattern& out) {
  const auto bits = small_number(text.substr(slash + 1), out.v6 ? 128 : 32);
  if (!bits || !to_address(text.substr(0, slash), out.v6, out.low)) return false;
  const size_t size = out.v6 ? 16 : 4;
  for (size_t i = 0; i < size; ++i) {
    const uint32_t kept = std::min<uint32_t>(8, *bits > i * 8 ? *bits - static_cast<uint32_t>(i * 8) : 0);
    const auto mask = static_cast<uint8_t>(0xFF00u >> kept);
    out.low[i] &= mask;
    out.high[i] = static_cast<uint8_t>(out.low[i] | static_cast<uint8_t>(~mask));
  }
  return true;
}

// "10.1.1.50-55", "10.1.2-5.", "10.1.": one number or range an octet, a range in the last one given only.
bool read_octets(std::string_view text, IpPattern& out) {
  const bool open_end = !text.empty() && text.back() == '.';
  if (open_end) text.remove_suffix(1);
  const std::vector<std::string_view> parts = base::split(text, '.');
  if (parts.size() > 4 || (open_end && parts.size() == 4)) return false;
  bool range = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (range) return false;
    const size_t dash = parts[i].find('-');
    range = dash != std::string_view::npos;
    const auto low = small_number(parts[i].substr(0, dash), 255);
    const auto high = range ? small_number(parts[i].substr(dash + 1), 255) : low;
    if (!low || !high || *low > *high) return false;
    out.low[i] = static_cast<uint8_t>(*low);
    out.high[i] = static_cast<uint8_t>(*high);
  }
  if (parts.size() < 4 && !open_end && !range) return false;
  for (size_t i = parts.size(); i < 4; ++i) out.high[i] = 255;
  return true;
}

bool read_range(std::string_view text, size_t dash, IpPattern& out) {
  const std::string_view first = text.substr(0, dash);
  const std::string_view last = text.substr(dash + 1);
  if (!to_address(first, out.v6, out.low)) return false;
  if (!to_address(last, out.v6, out.high)) {
    // "2001:db8::1-5": the last group only.
    if (!out.v6 || last.empty() || last.size() > 4 || last.find(':') != std::string_view::npos) return false;
    uint32_t group = 0;
    const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), group, 16);
    if (error != std::errc() || end != last.data() + last.size()) return false;
    std::memcpy(out.high, out.low, 16);
    out.high[14] = static_cast<uint8_t>(group >> 8);
    out.high[15] = static_cast<uint8_t>(group);
  }
  return std::memcmp(out.low, out.high, out.v6 ? 16 : 4) <= 0;
}

// "2001:db8:": whole groups, then anything.
bool read_v6_prefix(std::string_view text, IpPattern& out) {
  const auto groups = static_cast<size_t>(std::count(text.begin(), text.end(), ':'));
  if (groups > 7 || text.front() == ':') return false;
  const std::string low = std::string(text) + (groups == 7 ? "0" : ":");
  if (text.find("::") != std::string_view::npos || !to_address(low, true, out.low)) return false;
  std::memcpy(out.high, out.low, 16);
  for (size_t i = groups * 2; i < 16; ++i) out.high[i] = 0xFF;
  return true;
}

bool read_ip_pattern(std::string_view text, IpPattern& out) {
  out.v6 = text.find(':') != std::string_view::npos;
  const size_t size = out.v6 ? 16 : 4;
  if (to_address(text, out.v6, out.low)) {
    std::memcpy(out.high, out.low, size);
    return true;
  }
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) return read_cidr(text, slash, out);
  if (const size_t dash = text.find('-'); dash != std::string_view::npos && read_range(text, dash, out)) return true;
  out = IpPattern{out.v6, {}, {}};
  if (!out.v6) return read_octets(text, out);
  return text.back() == ':' && read_v6_prefix(text, out);
}

// Blanks of UTF-8 text that look like nothing: the length of the one at the start of `text`, or 0.
size_t blank_length(std::string_view text) {
  if (text.empty()) return 0;
  const char c = text.front();
  if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f') return 1;
  for (const std::string_view blank : {"\u00A0", "\u202F", "\u2007", "\u3000", "\uFEFF", "\u200B"}) {
    if (text.starts_with(blank)) return blank.size();
  }
  return 0;
}

size_t blank_length_at_end(std::string_view text) {
  for (const size_t length : {1u, 2u, 3u}) {
    if (text.size() >= length && blank_length(text.substr(text.size() - length)) == length) return length;
  }
  return 0;
}

bool is_token(std::string_view text) {
  constexpr std::string_view kSpecials = "!#$%&'+-.^_`{|}~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_alnum(c) || kSpecials.find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string_view trim_value(std::string_view text, size_t* front) {
  size_t cut = 0;
  while (const size_t length = blank_length(text)) {
    text.remove_prefix(length);
    cut += length;
  }
  while (const size_t length = blank_length_at_end(text)) text.remove_suffix(length);
  if (front != nullptr) *front = cut;
  return text;
}

size_t find_control(std::string_view text, bool lines) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\t' && !(lines && byte == '\n')) || byte == 0x7F) return i;
  }
  return std::string_view::npos;
}

std::optional<std::vector<IpPattern>> read_ip_patterns(std::string_view text, ValueFault& fault) {
  std::vector<IpPattern> out;
  size_t start = 0;
  for (const std::string_view item : base::split(text, ',')) {
    size_t front = 0;
    const std::string_view one = trim_value(item, &front);
    IpPattern pattern;
    if (one.empty() || !read_ip_pattern(one, pattern)) {
      const bool cut_short = !one.empty() && one.find_first_not_of("0123456789.") == std::string_view::npos &&
                             one.back() != '.' && std::count(one.begin(), one.end(), '.') < 3;
      return fail(fault, start + front, one.size(), base::quoted(one) + " is no address pattern",
                  cut_short ? "a prefix ends in a dot: \"" + std::string(one) + ".\""
                            : "write an address, \"10.0.0.0/8\", \"10.1.\", \"10.1.1.50-55\" or IPv6");
    }
    fold_mapped(pattern);
    out.push_back(pattern);
    start += item.size() + 1;
  }
  return out;
}

std::optional<int64_t> read_date(std::string_view text, ValueFault& fault) {
  constexpr std::string_view kShape = "00/00/0000 00:00:00";
  bool fits = text.size() == kShape.size();
  for (size_t i = 0; fits && i < text.size(); ++i) fits = kShape[i] == '0' ? is_digit(text[i]) : text[i] == kShape[i];
  if (!fits) {
    return fail(fault, 0, text.size(), base::quoted(text) + " is no date", "write \"MM/DD/YYYY hh:mm:ss\"");
  }
  const auto number = [&](size_t at, size_t length) {
    int value = 0;
    for (const char c : text.substr(at, length)) value = value * 10 + (c - '0');
    return value;
  };
  std::tm wanted{};
  wanted.tm_mon = number(0, 2) - 1;
  wanted.tm_mday = number(3, 2);
  wanted.tm_year = number(6, 4) - 1900;
  wanted.tm_hour = number(11, 2);
  wanted.tm_min = number(14, 2);
  wanted.tm_sec = number(17, 2);
  wanted.tm_isdst = -1;
  const bool leap = (wanted.tm_year % 4 == 0 && wanted.tm_year % 100 != 0) || (wanted.tm_year + 300) % 400 == 0;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (wanted.tm_mon < 0 || wanted.tm_mon > 11) return fail(fault, 0, 2, "there is no such month");
  if (wanted.tm_mday < 1 || wanted.tm_mday > kDays[wanted.tm_mon] + (wanted.tm_mon == 1 && leap ? 1 : 0)) {
    return fail(fault, 3, 2, "there is no such day in that month", "write \"MM/DD/YYYY hh:mm:ss\"");
  }
  if (wanted.tm_year < 70) return fail(fault, 6, 4, "the year is before 1970");
  if (wanted.tm_hour > 23 || wanted.tm_min > 59 || wanted.tm_sec > 59) {
    return fail(fault, 11, 8, "there is no such time of day");
  }
  // Local time: mktime reads the time zone of the process. A time that a clock change skips moves by that change.
  const std::time_t seconds = std::mktime(&wanted);
  return static_cast<int64_t>(seconds);
}

std::optional<std::string> read_mime_type(std::string_view text, ValueFault& fault) {
  const size_t slash = text.find('/');
  const std::string_view type = text.substr(0, slash);
  const std::string_view subtype = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  if ((type != "*" && !is_token(type)) || (subtype != "*" && !is_token(subtype)) || text.size() > 255) {
    return fail(fault, 0, text.size(), base::quoted(text) + " is no MIME type",
                "write type/subtype, for example \"video/*\"");
  }
  return base::lower(text);
}

bool read_kind(std::string_view text, scan::TypeSet& kinds, ValueFault& fault) {
  const std::optional<scan::TypeSet> found = scan::find_kind(text);
  if (found) {
    kinds = *found;
    return true;
  }
  std::vector<std::string_view> names;
  for (const scan::GroupInfo& row : scan::groups()) names.push_back(row.name);
  for (const scan::FileTypeInfo& row : scan::file_types()) names.push_back(row.name);
  const std::string_view near = base::nearest(text, names);
  fault = {0, text.size(), base::quoted(text) + " is no file type",
           near.empty() ? "for example exe, docx, zip; Executable, Document, Compressed, Image, Media or Text"
                        : "did you mean '" + std::string(near) + "'?"};
  return false;
}

std::optional<std::string> read_host(std::string_view text, ValueFault& fault) {
  uint8_t bytes[16];
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    std::string_view inner = text.substr(1, text.size() - 2);
    if (base::istarts_with(inner, "IPv6:")) inner.remove_prefix(5);
    // In brackets a name is looked up without its MX.
    const bool name = inner.find_first_of("[]") == std::string_view::npos && read_host(inner, fault).has_value();
    if (name) return std::string(text);
    return fail(fault, 1, text.size() - 2, base::quoted(inner) + " is no IP address or host name");
  }
  if (to_address(text, false, bytes) || to_address(text, true, bytes)) return std::string(text);
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    return fail(fault, colon, text.size() - colon, "a port cannot be given here", "name the host alone");
  }
  size_t start = 0;
  bool letters = false;
  for (const std::string_view label : base::split(text, '.')) {
    const bool good =
        !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
        std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
    if (!good || text.size() > 253) {
      return fail(fault, start, std::max<size_t>(label.size(), 1), base::quoted(text) + " is no host name");
    }
    letters = !std::all_of(label.begin(), label.end(), is_digit);
    start += label.size() + 1;
  }
  if (!letters) return fail(fault, 0, text.size(), "'" + std::string(text) + "' is no IP address");
  return std::string(text);
}

std::optional<std::string> read_enhanced_code(std::string_view text, char wanted, ValueFault& fault) {
  const std::vector<std::string_view> parts = base::split(text, '.');
  const auto detail = [](std::string_view part) {
    return part.size() <= 3 && small_number(part, 999) && (part.size() == 1 || part.front() != '0');
  };
  if (parts.size() != 3 || parts[0].size() != 1 || !is_digit(parts[0][0]) || !detail(parts[1]) || !detail(parts[2])) {
    return fail(fault, 0, text.size(), "'" + base::escape_for_log(text, 40) + "' is no enhanced status code",
                std::string("for example ") + wanted + ".7.1");
  }
  if (parts[0][0] != wanted) {
    return fail(fault, 0, 1, std::string("an enhanced status code of this action begins with ") + wanted);
  }
  return std::string(text);
}

std::optional<int64_t> read_count(std::string_view text, int64_t least, int64_t most, ValueFault& fault) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = end == text.data() + text.size() && !text.empty() && is_digit(text.front());
  if (error == std::errc::invalid_argument || !whole) {
    const bool unit = base::parse_size(text).has_value();
    return fail(fault, 0, text.size(), "'" + base::escape_for_log(text, 40) + "' is no whole number",
                unit ? "a count takes no unit" : "");
  }
  if (error != std::errc() || value < least || value > most) {
    return fail(fault, 0, text.size(),
                "the number must be between " + std::to_string(least) + " and " + std::to_string(most));
  }
  return value;
}

std::optional<int64_t> read_score(std::string_view text, ValueFault& fault) {
  const std::optional<int64_t> score = base::read_thousandths(text);
  if (!score) {
    fail(fault, 0, text.size(), "'" + base::escape_for_log(text, 40) + "' is no score",
         "write a number from -1000000 to 1000000, with decimals where wanted: 7.5");
  }
  return score;
}

std::optional<int64_t> read_size(std::string_view text, ValueFault& fault) {
  const std::optional<uint64_t> bytes = base::parse_size(text);
  if (!bytes || *bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
    return fail(fault, 0, text.size(),
                digits || bytes ? "the size is too large" : "'" + base::escape_for_log(text, 40) + "' is no size",
                digits || bytes ? "" : "write a number with an optional b, k, M or G: 500k, 20M");
  }
  return static_cast<int64_t>(*bytes);
}

}  // namespace postern::rules

// SPDX-License-Identifier: Apache-2.0
// ASCII helpers, escaping for logs, sizes, durations and times, nearest word.
#include "engine/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <limits>

namespace postern::base {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}

bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i])) return false;
  }
  return true;
}

bool istarts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

namespace {

// Length of the well-formed UTF-8 sequence at the start of `text` (Unicode table 3-7), 0 when there is none. `code`
// gets the character.
size_t utf8_sequence(std::string_view text, uint32_t& code) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) {
    code = first;
    return 1;
  }
  size_t length = 0;
  uint32_t low = 0;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
    code = first & 0x1F;
    low = 0x80;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    code = first & 0x0F;
    low = 0x800;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    code = first & 0x07;
    low = 0x10000;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (at(i) & 0x3F);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < low || code > 0x10FFFF || surrogate ? 0 : length;
}

// Characters that can reorder or break a line on a terminal or in a viewer.
bool is_line_or_direction_control(uint32_t code) {
  return (code >= 0x80 && code <= 0x9F) || code == 0x061C || (code >= 0x200B && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

void append_hex(std::string& out, unsigned char byte) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += "\\x";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

}  // namespace

namespace {
// ascii_run returns the first place at or after `from` that is not ASCII, looking at eight bytes at a time.
size_t ascii_run(std::string_view text, size_t from) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  size_t i = from;
  for (uint64_t word = 0; i + sizeof word <= text.size(); i += sizeof word) {
    std::memcpy(&word, text.data() + i, sizeof word);
    if ((word & kHighBits) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}
}  // namespace

bool is_ascii(std::string_view text) { return ascii_run(text, 0) == text.size(); }

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; (i = ascii_run(text, i)) < text.size();) {
    uint32_t code = 0;
    const size_t length = utf8_sequence(text.substr(i), code);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

void append_escaped(std::string& out, std::string_view text, size_t limit) {
  const size_t stop = out.size() + limit;
  for (size_t i = 0; i < text.size();) {
    // Most of what is logged is plain: it goes over in one piece.
    size_t plain = i;
    while (plain < text.size() && text[plain] >= 0x20 && text[plain] < 0x7F && text[plain] != '\\') ++plain;
    const size_t fits = std::min(plain - i, stop > out.size() ? stop - out.size() : 0);
    out.append(text, i, fits);
    i += fits;
    if (i == text.size()) return;
    if (out.size() >= stop) {
      out += "...";
      return;
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\\') {
      out += "\\\\";
      ++i;
      continue;
    }
    uint32_t code = 0;
    const size_t length = byte < 0x80 ? 0 : utf8_sequence(text.substr(i), code);
    if (length > 1 && !is_line_or_direction_control(code)) {
      out.append(text, i, length);
      i += length;
    } else {
      append_hex(out, byte);
      ++i;
    }
  }
}

std::string quoted(std::string_view text) { return "'" + escape_for_log(text, 80) + "'"; }

std::string escape_for_log(std::string_view text, size_t limit) {
  std::string out;
  out.reserve(std::min(text.size(), limit) + 8);
  append_escaped(out, text, limit);
  return out;
}

std::string one_line(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c != '\r' && c != '\n' && c != '\0') {
      out += (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F ? ' ' : c;
      ++i;
      continue;
    }
    while (!out.empty() && (out.back() == ' ' || out.back() == '\t')) out.pop_back();
    while (i < text.size() &&
           (text[i] == '\r' || text[i] == '\n' || text[i] == '\0' || text[i] == ' ' || text[i] == '\t')) {
      ++i;
    }
    if (!out.empty() && i < text.size()) out += ' ';
  }
  return out;
}

namespace {
std::optional<uint64_t> scaled(std::string_view text, uint64_t unit) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (unit != 0 && number > std::numeric_limits<uint64_t>::max() / unit) return std::nullopt;
  return number * unit;
}
}  // namespace

std::optional<uint64_t> parse_size(std::string_view text) {
  if (text.empty()) return std::nullopt;
  switch (ascii_lower(text.back())) {
    case 'b':
      return scaled(text.substr(0, text.size() - 1), 1);
    case 'k':
      return scaled(text.substr(0, text.size() - 1), 1ull << 10);
    case 'm':
      return scaled(text.substr(0, text.size() - 1), 1ull << 20);
    case 'g':
      return scaled(text.substr(0, text.size() - 1), 1ull << 30);
    default:
      return scaled(text, 1);
  }
}

std::string format_size(uint64_t bytes) {
  constexpr std::pair<uint64_t, char> kUnits[] = {{1ull << 30, 'G'}, {1ull << 20, 'M'}, {1ull << 10, 'k'}};
  for (const auto& [unit, letter] : kUnits) {
    if (bytes != 0 && bytes % unit == 0) return std::to_string(bytes / unit) + letter;
  }
  return std::to_string(bytes) + 'b';
}

std::optional<uint64_t> parse_duration(std::string_view text) {
  if (text.size() < 2) return std::nullopt;
  const std::string_view digits = text.substr(0, text.size() - 1);
  switch (ascii_lower(text.back())) {
    case 's':
      return scaled(digits, 1);
    case 'm':
      return scaled(digits, 60);
    case 'h':
      return scaled(digits, 3600);
    case 'd':
      return scaled(digits, 86400);
    default:
      return std::nullopt;
  }
}

std::string format_duration(uint64_t seconds) {
  constexpr std::pair<uint64_t, char> kUnits[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
  for (const auto& [unit, letter] : kUnits) {
    if (seconds != 0 && seconds % unit == 0) return std::to_string(seconds / unit) + letter;
  }
  return std::to_string(seconds) + 's';
}

std::string format_time(int64_t seconds) {
  const auto at = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (::gmtime_r(&at, &parts) == nullptr) return "-";
  char text[64];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, size};
}

namespace {

std::string day_name(const std::tm& parts) {
  constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  return kDays[static_cast<size_t>(parts.tm_wday) % kDays.size()];
}

std::string month_name(const std::tm& parts) {
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return kMonths[static_cast<size_t>(parts.tm_mon) % kMonths.size()];
}

std::string time_text(const std::tm& parts, const char* format) {
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

}  // namespace

std::string mail_date(int64_t seconds, bool local) {
  const auto at = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if ((local ? ::localtime_r(&at, &parts) : ::gmtime_r(&at, &parts)) == nullptr) return "-";
  return day_name(parts) + time_text(parts, ", %d ") + month_name(parts) +
         time_text(parts, local ? " %Y %H:%M:%S %z" : " %Y %H:%M:%S +0000");
}

std::string mbox_date(int64_t seconds) {
  const auto at = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (::gmtime_r(&at, &parts) == nullptr) return "-";
  return day_name(parts) + " " + month_name(parts) + time_text(parts, " %e %H:%M:%S %Y");
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr size_t kLongest = 64;
  if (word.empty() || word.size() > kLongest) return {};
  std::string_view best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  // Edit distance where two neighbours swapped count once: the commonest slip of all.
  const auto same = [](char a, char b) { return ascii_lower(a) == ascii_lower(b); };
  std::vector<size_t> above;  // two rows up
  std::vector<size_t> last;
  std::vector<size_t> row;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    above.assign(candidate.size() + 1, 0);
    last.assign(candidate.size() + 1, 0);
    row.resize(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      above.swap(last);
      last.swap(row);
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const bool equal = same(word[i - 1], candidate[j - 1]);
        row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (equal ? 0 : 1)});
        const bool swapped =
            i > 1 && j > 1 && same(word[i - 1], candidate[j - 2]) && same(word[i - 2], candidate[j - 1]);
        if (swapped) row[j] = std::min(row[j], above[j - 2] + 1);
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  size_t start = 0;
  for (;;) {
    const size_t end = text.find(separator, start);
    if (end == std::string_view::npos) break;
    out.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  out.push_back(text.substr(start));
  return out;
}

}  // namespace postern::base

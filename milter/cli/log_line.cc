// SPDX-License-Identifier: Apache-2.0
// A value may hold anything, also what looks like another event; it is told by the identifier at the line's end and by
// the shape from its beginning: every MID stands before the first text from outside.
#include "milter/cli/log_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <unordered_map>

#include "milter/events.h"
#include "milter/tracked_events.h"

namespace postern::cli {
namespace {

constexpr size_t kDate = 24;  // "Thu Nov 26 16:47:52 2026"

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_number(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kNumbers = {"mid", "own", "cause", "again", "icid", "rid", "bytes"};
  return std::ranges::find(kNumbers, name) != kNumbers.end();
}

int64_t read_date(std::string_view& line) {
  if (line.size() < kDate + 1 || line[kDate] != ' ') return 0;
  const std::string date(line.substr(0, kDate));
  std::tm parts{};
  const char* const end = ::strptime(date.c_str(), "%a %b %e %H:%M:%S %Y", &parts);
  if (end == nullptr || *end != '\0') return 0;
  parts.tm_isdst = -1;
  line.remove_prefix(kDate + 1);
  return static_cast<int64_t>(std::mktime(&parts));
}

// read_level cuts what stands before the text: a level's word, or what syslog puts there.
base::Level read_level(std::string_view& line) {
  constexpr struct {
    std::string_view word;
    base::Level level;
  } kWords[] = {{"Info: ", base::Level::info},
                {"Warning: ", base::Level::warning},
                {"Error: ", base::Level::error},
                {"Debug: ", base::Level::debug}};
  if (!line.starts_with("MID ")) {
    if (const size_t program = line.substr(0, 200).find("posternd["); program != std::string_view::npos) {
      if (const size_t end = line.find("]: ", program); end != std::string_view::npos) line.remove_prefix(end + 3);
    }
  }
  for (const auto& row : kWords) {
    if (!line.starts_with(row.word)) continue;
    line.remove_prefix(row.word.size());
    return row.level;
  }
  return base::Level::info;
}

std::optional<size_t> read_event(std::string_view& line) {
  static const std::unordered_map<std::string_view, size_t> known = [] {
    std::unordered_map<std::string_view, size_t> out;
    for (size_t i = 0; i < milter::events().size(); ++i) out.emplace(milter::events()[i].id, i);
    return out;
  }();
  if (!line.ends_with(']')) return std::nullopt;
  const size_t open = line.rfind(" [");
  if (open == std::string_view::npos) return std::nullopt;
  const auto found = known.find(line.substr(open + 2, line.size() - open - 3));
  if (found == known.end()) return std::nullopt;
  line.remove_suffix(line.size() - open);
  return found->second;
}

}  // namespace

std::vector<base::LogValue> match_shape(std::string_view shape, std::string_view text, bool& whole) {
  whole = false;
  std::vector<base::LogValue> out;
  for (;;) {
    const size_t open = shape.find('{');
    const std::string_view literal = shape.substr(0, open);
    if (!text.starts_with(literal)) return out;
    text.remove_prefix(literal.size());
    if (open == std::string_view::npos) {
      whole = text.empty();
      return out;
    }
    const size_t close = shape.find('}', open);
    if (close == std::string_view::npos) return out;
    const std::string_view name = shape.substr(open + 1, close - open - 1);
    shape.remove_prefix(close + 1);
    const size_t next = shape.find('{');
    const std::string_view after = shape.substr(0, next);
    size_t end = text.size();
    if (is_number(name)) {
      end = static_cast<size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
      if (end == 0) return out;
    } else if (next == std::string_view::npos) {
      if (!text.ends_with(after)) return out;
      end = text.size() - after.size();
    } else {
      end = text.find(after);
      if (end == std::string_view::npos) return out;
    }
    out.push_back({name, text.substr(0, end)});
    text.remove_prefix(end);
  }
}

std::vector<uint64_t> mids_in(std::string_view text) {
  std::vector<uint64_t> out;
  constexpr std::string_view kWord = "MID ";
  const std::string_view trusted = text.substr(0, text.find_first_of("'\"(<["));
  for (size_t at = trusted.find(kWord); at != std::string_view::npos; at = trusted.find(kWord, at + 1)) {
    if (at > 0 && ((trusted[at - 1] >= 'A' && trusted[at - 1] <= 'Z') || trusted[at - 1] == '=')) continue;
    const char* const begin = trusted.data() + at + kWord.size();
    const char* const end = trusted.data() + trusted.size();
    uint64_t mid = 0;
    const auto [stop, error] = std::from_chars(begin, end, mid);
    if (error != std::errc() || mid == 0) continue;
    if (stop != end && ((*stop >= 'a' && *stop <= 'z') || (*stop >= 'A' && *stop <= 'Z'))) continue;
    if (std::ranges::find(out, mid) == out.end()) out.push_back(mid);
  }
  return out;
}

LogLine read_log_line(std::string_view line) {
  LogLine out;
  out.time = read_date(line);
  out.level = read_level(line);
  const std::optional<size_t> event = read_event(line);
  const std::string_view whole = line;
  if (event) {
    out.level = milter::events()[*event].level;
    if (const size_t at = line.rfind(" queue-id=");
        at != std::string_view::npos && line.find(' ', at + 1) == std::string_view::npos) {
      out.queue_id = line.substr(at + 10);
      line = line.substr(0, at);
    }
    bool all = false;
    out.values = match_shape(milter::events()[*event].shape, line, all);
    // A text from outside may hold what should end it; what stands before it is told all the same.
    if (all || !out.values.empty()) {
      out.event = event;
      return out;
    }
  } else {
    // Without an identifier: the first shape that fits.
    for (size_t i = 0; i < milter::events().size(); ++i) {
      if (!milter::TrackedEvents::is_tracked(i)) continue;
      bool all = false;
      auto values = match_shape(milter::events()[i].shape, line, all);
      if (!all) continue;
      out.values = std::move(values);
      out.event = i;
      return out;
    }
  }
  out.mids = mids_in(whole);
  return out;
}

}  // namespace postern::cli

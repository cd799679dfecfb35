// SPDX-License-Identifier: Apache-2.0
// Text: small ASCII helpers used everywhere. None depends on the locale; all are linear.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern::base {

// ascii_lower folds A–Z only, so that header names compare the same in every locale.
constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
std::string lower(std::string_view text);

// iequals compares two ASCII texts without case.
bool iequals(std::string_view a, std::string_view b);
// istarts_with tells whether `text` begins with `prefix`, without case.
bool istarts_with(std::string_view text, std::string_view prefix);

// trim cuts blanks, tabs, CR and LF at both ends; the view points into `text`.
std::string_view trim(std::string_view text);

// escape_for_log makes `text` from outside safe for one log line and a terminal: control bytes, DEL, backslash, invalid
// UTF-8 and the Unicode line, paragraph and bidirectional controls become \xNN; cut to `limit` bytes with "..." at the
// end.
std::string escape_for_log(std::string_view text, size_t limit = 512);
// quoted is a value from outside in an error message: escaped, at most 80 bytes of it, between apostrophes.
std::string quoted(std::string_view text);
// append_escaped adds what escape_for_log returns to `out`; at most `limit` bytes and the "...".
void append_escaped(std::string& out, std::string_view text, size_t limit);

// one_line makes a value safe to stand in a header field or SMTP reply: CR, LF and NUL (and the white space round them)
// become one blank, another control character but TAB one each.
std::string one_line(std::string_view text);

// is_ascii tells whether every byte of `text` is below 0x80.
bool is_ascii(std::string_view text);
// is_valid_utf8 tells whether `text` is well-formed UTF-8.
bool is_valid_utf8(std::string_view text);

// parse_size reads "50M": digits and an optional b, k, M or G (any case). nullopt on anything else or overflow.
std::optional<uint64_t> parse_size(std::string_view text);
// format_size writes the shortest text that parse_size reads back.
std::string format_size(uint64_t bytes);
// parse_duration reads "30s": digits and s, m, h or d; the result is in seconds. A bare number is refused: the unit
// must be said.
std::optional<uint64_t> parse_duration(std::string_view text);
std::string format_duration(uint64_t seconds);

// format_time writes Unix time as RFC 3339 in UTC, "2026-01-31T12:00:00Z".
std::string format_time(int64_t seconds);

// mail_date writes Unix time as a Date field has it (RFC 5322 section 3.3), "Sat, 31 Jan 2026 12:00:00 +0000", in the
// machine's time zone or in UTC; mbox_date as the "From " line of a mailbox file, "Sat Jan 31 12:00:00 2026", in UTC.
// Names are English whatever the locale.
std::string mail_date(int64_t seconds, bool local);
std::string mbox_date(int64_t seconds);

// nearest returns the candidate closest to `word` when it is near enough for "did you mean", else an empty view.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

// split cuts `text` at each `separator`; the views point into `text`.
std::vector<std::string_view> split(std::string_view text, char separator);

}  // namespace postern::base

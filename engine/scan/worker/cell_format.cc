// SPDX-License-Identifier: Apache-2.0
// Number formats: cut into tokens, then written as a date or as digits filled into places.
#include "engine/scan/worker/cell_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>

#include "engine/base/text.h"

namespace postern::scan::worker {
namespace {

std::string print(const char* format, double value, int precision) {
  std::array<char, 400> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), format, precision, value);
  return length > 0 ? std::string(buffer.data(), std::min<size_t>(static_cast<size_t>(length), buffer.size() - 1)) : "";
}

std::string general(double value) { return print("%.*g", value, 15); }

// Token is one piece of a format.
struct Token {
  enum class Kind { literal, digit, point, comma, percent, exponent, date, elapsed, half_day, text, fraction } kind;
  std::string value;  // literal: what to write; date: the letters; digit: the placeholder
};

void add_literal(std::vector<Token>& tokens, std::string text) {
  tokens.push_back({Token::Kind::literal, std::move(text)});
}

// read_bracket reads "[…]" at `at` (past the "[").
size_t read_bracket(std::string_view format, size_t at, std::vector<Token>& tokens) {
  const size_t end = format.find(']', at);
  if (end == std::string_view::npos) return format.size();
  const std::string_view inside = format.substr(at, end - at);
  if (inside.starts_with('$')) {
    add_literal(tokens, std::string(inside.substr(
                            1, inside.find('-') == std::string_view::npos ? inside.size() : inside.find('-') - 1)));
  } else if (!inside.empty() && inside.find_first_not_of("hHmMsS") == std::string_view::npos) {
    tokens.push_back({Token::Kind::elapsed, base::lower(inside)});
  }
  return end + 1;
}

std::vector<Token> tokenize(std::string_view format) {
  std::vector<Token> tokens;
  for (size_t at = 0; at < format.size();) {
    const char c = format[at];
    if (c == '"') {
      const size_t end = format.find('"', at + 1);
      const size_t stop = end == std::string_view::npos ? format.size() : end;
      add_literal(tokens, std::string(format.substr(at + 1, stop - at - 1)));
      at = stop + 1;
    } else if (c == '\\' && at + 1 < format.size()) {
      add_literal(tokens, std::string(1, format[at + 1]));
      at += 2;
    } else if (c == '_' || c == '*') {
      if (c == '_') add_literal(tokens, " ");
      at += 2;
    } else if (c == '[') {
      at = read_bracket(format, at + 1, tokens);
    } else if (c == '0' || c == '#' || c == '?') {
      tokens.push_back({Token::Kind::digit, std::string(1, c)});
      ++at;
    } else if (c == '.') {
      tokens.push_back({Token::Kind::point, "."});
      ++at;
    } else if (c == ',') {
      tokens.push_back({Token::Kind::comma, ","});
      ++at;
    } else if (c == '%') {
      tokens.push_back({Token::Kind::percent, "%"});
      ++at;
    } else if (c == '/') {
      tokens.push_back({Token::Kind::fraction, "/"});
      ++at;
    } else if ((c == 'E' || c == 'e') && at + 1 < format.size() && (format[at + 1] == '+' || format[at + 1] == '-')) {
      tokens.push_back({Token::Kind::exponent, "E"});
      at += 2;
    } else if (c == '@') {
      tokens.push_back({Token::Kind::text, "@"});
      ++at;
    } else if (base::istarts_with(format.substr(at), "am/pm") || base::istarts_with(format.substr(at), "a/p")) {
      tokens.push_back({Token::Kind::half_day, ""});
      at += format[at + 1] == '/' ? 3 : 5;
    } else if (std::string_view("yYmMdDhHsS").find(c) != std::string_view::npos) {
      const char letter = base::ascii_lower(c);
      size_t end = at;
      while (end < format.size() && base::ascii_lower(format[end]) == letter) ++end;
      tokens.push_back({Token::Kind::date, std::string(end - at, letter)});
      at = end;
    } else {
      add_literal(tokens, std::string(1, c));
      ++at;
    }
  }
  return tokens;
}

struct Moment {
  int64_t year = 0, month = 0, day = 0, weekday = 0, hour = 0, minute = 0, second = 0;
};

// moment_of reads a serial date: days since the end of 1899, with the leap day of 1900 that there was not.
Moment moment_of(double value, bool since_1904) {
  Moment out;
  int64_t days = static_cast<int64_t>(std::floor(value));
  int64_t seconds = std::llround((value - std::floor(value)) * 86400);
  if (seconds >= 86400) {
    seconds -= 86400;
    ++days;
  }
  out.hour = seconds / 3600;
  out.minute = seconds / 60 % 60;
  out.second = seconds % 60;
  if (since_1904) days += 1462;
  out.weekday = (days + 6) % 7;
  if (days < 60) ++days;
  int64_t z = days - 25569 + 719468;  // days since 0000-03-01
  const int64_t era = z / 146097;
  const int64_t of_era = z - era * 146097;
  const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const int64_t shifted = (5 * of_year + 2) / 153;
  out.day = of_year - (153 * shifted + 2) / 5 + 1;
  out.month = shifted < 10 ? shifted + 3 : shifted - 9;
  out.year = year + era * 400 + (out.month <= 2 ? 1 : 0);
  return out;
}

std::string digits(int64_t value, size_t least) {
  std::string text = std::to_string(value);
  if (text.size() < least) text.insert(0, least - text.size(), '0');
  return text;
}

std::string show_date(double value, const std::vector<Token>& tokens, bool since_1904) {
  static constexpr std::array<std::string_view, 12> kMonths = {"January",   "February", "March",    "April",
                                                               "May",       "June",     "July",     "August",
                                                               "September", "October",  "November", "December"};
  static constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                            "Thursday", "Friday", "Saturday"};
  if (value < 0 || value > 2958466) return general(value);
  const Moment moment = moment_of(value, since_1904);
  bool half_day = false;
  for (const Token& token : tokens) half_day = half_day || token.kind == Token::Kind::half_day;
  std::string out;
  bool after_hour = false;  // "m" is minutes after hours and before seconds
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Token& token = tokens[i];
    const size_t length = token.value.size();
    if (token.kind == Token::Kind::half_day) {
      out += moment.hour < 12 ? "AM" : "PM";
    } else if (token.kind == Token::Kind::elapsed) {
      const double unit = token.value[0] == 'h' ? 24 : token.value[0] == 'm' ? 1440 : 86400;
      out += digits(static_cast<int64_t>(std::floor(value * unit + 1e-7)), length);
      after_hour = true;
    } else if (token.kind == Token::Kind::date) {
      bool before_second = false;
      for (size_t k = i + 1; k < tokens.size(); ++k) {
        if (tokens[k].kind != Token::Kind::date) continue;
        before_second = tokens[k].value[0] == 's';
        break;
      }
      switch (token.value[0]) {
        case 'y':
          out += length <= 2 ? digits(moment.year % 100, 2) : digits(moment.year, 4);
          break;
        case 'd':
          if (length >= 3) {
            const std::string_view name = kDays[static_cast<size_t>(moment.weekday)];
            out += length == 3 ? name.substr(0, 3) : name;
          } else {
            out += digits(moment.day, length);
          }
          break;
        case 'h': {
          const int64_t hour = half_day ? (moment.hour + 11) % 12 + 1 : moment.hour;
          out += digits(hour, length);
          break;
        }
        case 's':
          out += digits(moment.second, length);
          break;
        default:
          if ((after_hour || before_second) && length <= 2) {
            out += digits(moment.minute, length);
          } else if (length >= 3) {
            const std::string_view name = kMonths[static_cast<size_t>(moment.month - 1)];
            out += length == 3 ? name.substr(0, 3) : name;
          } else {
            out += digits(moment.month, length);
          }
      }
      after_hour = token.value[0] == 'h';
    } else if (token.kind == Token::Kind::digit) {
      out += '0';  // parts of seconds
    } else if (token.kind != Token::Kind::text) {
      out += token.value;
    }
  }
  return out;
}

std::string show_decimal(double value, const std::vector<Token>& tokens) {
  size_t whole = 0, places = 0;
  bool point = false, thousands = false;
  size_t scale = 0;
  size_t commas = 0;
  for (const Token& token : tokens) {
    if (token.kind == Token::Kind::point) point = true;
    if (token.kind == Token::Kind::percent) value *= 100;
    if (token.kind == Token::Kind::comma && !point) ++commas;
    if (token.kind == Token::Kind::digit) {
      (point ? places : whole) += 1;
      if (commas > 0 && !point) thousands = true;
    }
    if (token.kind == Token::Kind::digit) scale = 0;
    if (token.kind == Token::Kind::comma && whole + places > 0) ++scale;
  }
  for (size_t i = 0; i < scale; ++i) value /= 1000;
  std::string number = print("%.*f", std::fabs(value), static_cast<int>(std::min<size_t>(places, 30)));
  const size_t dot = number.find('.');
  std::string integer = number.substr(0, dot);
  std::string fraction = dot == std::string::npos ? "" : number.substr(dot + 1);
  if (integer == "0") {
    bool shown = false;
    for (const Token& token : tokens) {
      if (token.kind == Token::Kind::point) break;
      shown = shown || (token.kind == Token::Kind::digit && token.value == "0");
    }
    if (!shown && whole > 0) integer.clear();
  }
  // The places of the format take the digits from the right; the first takes all that are left.
  const size_t extra = integer.size() > whole ? integer.size() - whole : 0;
  std::string out;
  size_t place = 0, used = 0;
  size_t fraction_used = 0;
  bool after_point = false;
  for (const Token& token : tokens) {
    if (token.kind == Token::Kind::digit && !after_point) {
      size_t take = place == 0 ? extra : 0;
      const size_t from_right = whole - place;  // this place and those after it
      const bool has = integer.size() >= from_right;
      if (has) ++take;
      for (size_t i = 0; i < take; ++i) {
        out += integer[used++];
        const size_t left = integer.size() - used;
        if (thousands && left > 0 && left % 3 == 0) out += ',';
      }
      if (!has && token.value == "0") out += '0';
      ++place;
    } else if (token.kind == Token::Kind::digit) {
      const std::string_view rest = std::string_view(fraction).substr(std::min(fraction_used, fraction.size()));
      if (token.value == "0" || rest.find_first_not_of('0') != std::string_view::npos) out += rest.substr(0, 1);
      ++fraction_used;
    } else if (token.kind == Token::Kind::point) {
      if (whole == 0) out += integer;
      out += '.';
      after_point = true;
    } else if (token.kind == Token::Kind::literal || token.kind == Token::Kind::percent ||
               token.kind == Token::Kind::fraction) {
      out += token.value;
    }
  }
  return out;
}

}  // namespace

std::string format_number(double value, std::string_view format, bool since_1904) {
  if (!std::isfinite(value)) return general(value);
  if (format.size() > 512) format = format.substr(0, 512);
  // Sections: positive; negative; zero; text.
  std::vector<std::string_view> sections;
  size_t begin = 0;
  bool quoted = false;
  for (size_t i = 0; i <= format.size(); ++i) {
    if (i < format.size() && format[i] == '"') quoted = !quoted;
    if (i < format.size() && format[i] == '\\') {
      ++i;
      continue;
    }
    if (i < format.size() && (quoted || format[i] != ';')) continue;
    sections.push_back(format.substr(begin, i - begin));
    begin = i + 1;
  }
  if (sections.empty()) sections.push_back(format);
  size_t section = 0;
  bool sign = value < 0;
  if (value < 0 && sections.size() > 1) {
    section = 1;
    sign = false;
  } else if (value == 0 && sections.size() > 2) {
    section = 2;
  }
  const std::string_view chosen = sections[section];
  if (chosen.empty() && sections.size() > 1) return {};
  if (chosen.empty() || base::istarts_with(base::trim(chosen), "general") || chosen == "@") return general(value);
  const std::vector<Token> tokens = tokenize(chosen);
  bool date = false, number = false, odd = false, exponent = false;
  for (const Token& token : tokens) {
    date = date || token.kind == Token::Kind::date || token.kind == Token::Kind::elapsed;
    number = number || token.kind == Token::Kind::digit;
    exponent = exponent || token.kind == Token::Kind::exponent;
    odd = odd || token.kind == Token::Kind::text || token.kind == Token::Kind::fraction;
  }
  if (date) return show_date(value, tokens, since_1904);
  if (exponent) return print("%.*E", value, 2);
  if (odd && number) return general(value);
  if (std::fabs(value) > 1e100) return general(value);
  std::string out = show_decimal(value, tokens);
  return sign ? "-" + out : out;
}

double rk_number(uint32_t value) {
  double out = 0;
  if ((value & 2) != 0) {
    out = static_cast<double>(static_cast<int32_t>(value) >> 2);
  } else {
    out = std::bit_cast<double>(static_cast<uint64_t>(value & 0xfffffffc) << 32);
  }
  return (value & 1) != 0 ? out / 100 : out;
}

void CellFormats::add_format(uint32_t id, std::string format) {
  if (formats_.size() < 10000 && format.size() <= 1024) formats_[id] = std::move(format);
}

std::string CellFormats::show(double value, uint32_t style) const {
  static const std::map<uint32_t, std::string_view> kBuiltIn = {
      {1, "0"},           {2, "0.00"},           {3, "#,##0"},     {4, "#,##0.00"},  {5, "$#,##0"},
      {6, "$#,##0"},      {7, "$#,##0.00"},      {8, "$#,##0.00"}, {9, "0%"},        {10, "0.00%"},
      {11, "0.00E+00"},   {14, "m/d/yyyy"},      {15, "d-mmm-yy"}, {16, "d-mmm"},    {17, "mmm-yy"},
      {18, "h:mm AM/PM"}, {19, "h:mm:ss AM/PM"}, {20, "h:mm"},     {21, "h:mm:ss"},  {22, "m/d/yyyy h:mm"},
      {37, "#,##0"},      {38, "#,##0"},         {39, "#,##0.00"}, {40, "#,##0.00"}, {45, "mm:ss"},
      {46, "[h]:mm:ss"},  {47, "mm:ss.0"},       {48, "0.0E+0"}};
  const uint32_t id = style < styles_.size() ? styles_[style] : 0;
  if (const auto own = formats_.find(id); own != formats_.end()) return format_number(value, own->second, since_1904);
  if (const auto known = kBuiltIn.find(id); known != kBuiltIn.end()) {
    return format_number(value, known->second, since_1904);
  }
  return general(value);
}

}  // namespace postern::scan::worker

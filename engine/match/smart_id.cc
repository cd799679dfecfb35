// SPDX-License-Identifier: Apache-2.0
// The arithmetic of smart identifiers and the walk over candidates: a candidate that fails its check is left by one
// character, since a true one may begin inside it.
#include "engine/match/smart_id.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "engine/base/text.h"

namespace postern::match {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return c >= 'A' && c <= 'Z'; }

int digit(char c) { return c - '0'; }

// The letters and digits of `text`, letters in upper case; CUSIP has three signs of its own.
std::string compact(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const char up = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    if (is_digit(up) || is_letter(up) || up == '*' || up == '@' || up == '#') out += up;
  }
  return out;
}

bool luhn(std::string_view digits) {
  int sum = 0;
  bool twice = false;
  for (size_t i = digits.size(); i-- > 0; twice = !twice) {
    if (!is_digit(digits[i])) return false;
    const int value = digit(digits[i]) * (twice ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 == 0;
}

bool iso7064(std::string_view digits) {
  int product = 10;
  for (const char c : digits.substr(0, digits.size() - 1)) {
    if (!is_digit(c)) return false;
    const int sum = (digit(c) + product) % 10;
    product = (sum == 0 ? 10 : sum) * 2 % 11;
  }
  return is_digit(digits.back()) && (product + digit(digits.back())) % 10 == 1;
}

bool mod97(std::string_view iban) {
  if (iban.size() < 5 || iban.size() != iban_length(iban.substr(0, 2))) return false;
  unsigned rest = 0;
  for (size_t i = 0; i < iban.size(); ++i) {
    const char c = iban[(i + 4) % iban.size()];
    if (!is_digit(c) && !is_letter(c)) return false;
    rest = is_digit(c) ? (rest * 10 + static_cast<unsigned>(digit(c))) % 97
                       : (rest * 100 + static_cast<unsigned>(c - 'A') + 10) % 97;
  }
  return rest == 1;
}

bool double_add(std::string_view text) {
  int sum = 0;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    const char c = text[i];
    int value = is_digit(c) ? digit(c) : is_letter(c) ? c - 'A' + 10 : c == '*' ? 36 : c == '@' ? 37 : 38;
    if (i % 2 == 1) value *= 2;
    sum += value / 10 + value % 10;
  }
  return is_digit(text.back()) && (10 - sum % 10) % 10 == digit(text.back());
}

bool codice_fiscale(std::string_view text) {
  // Values at odd places, by digit and by letter.
  constexpr std::array<uint8_t, 26> kOdd = {1,  0,  5, 7, 9, 13, 15, 17, 19, 21, 2,  4,  18,
                                            20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
  if (text.size() != 16) return false;
  int sum = 0;
  for (size_t i = 0; i < 15; ++i) {
    const int place = is_digit(text[i]) ? digit(text[i]) : text[i] - 'A';
    if (place < 0 || place > 25) return false;
    sum += i % 2 == 0 ? kOdd[static_cast<size_t>(place)] : place;
  }
  return text[15] == static_cast<char>('A' + sum % 26);
}

enum class Answer { no, yes, none };

Answer by_remainder(const Check& check, uint64_t remainder, std::string_view text) {
  if (check.is.empty()) {
    const uint64_t key = check.modulus - remainder;
    const auto at = static_cast<size_t>(check.at);
    if (at + 2 > text.size()) return Answer::no;
    return static_cast<uint64_t>(digit(text[at]) * 10 + digit(text[at + 1])) == key ? Answer::yes : Answer::no;
  }
  const char wanted = check.is[static_cast<size_t>(remainder)];
  if (wanted == '!') return Answer::none;
  return check.at < text.size() && text[check.at] == wanted ? Answer::yes : Answer::no;
}

Answer run(const Check& check, std::string_view text) {
  const auto told = [](bool good) { return good ? Answer::yes : Answer::no; };
  switch (check.kind) {
    case Check::Kind::none:
      return Answer::yes;
    case Check::Kind::luhn:
      return told(luhn(text));
    case Check::Kind::iso7064:
      return told(iso7064(text));
    case Check::Kind::mod97:
      return told(mod97(text));
    case Check::Kind::double_add:
      return told(double_add(text));
    case Check::Kind::codice_fiscale:
      return told(codice_fiscale(text));
    case Check::Kind::number: {
      uint64_t value = 0;
      for (size_t i = 0; i < check.length; ++i) {
        if (i >= text.size() || !is_digit(text[i])) return Answer::no;
        value = value * 10 + static_cast<uint64_t>(digit(text[i]));
      }
      return by_remainder(check, (value + check.add) % check.modulus, text);
    }
    case Check::Kind::sum:
      break;
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < std::size(check.weights) && i < text.size(); ++i) {
    if (check.weights[i] == 0) continue;
    const size_t value = is_digit(text[i]) ? static_cast<size_t>(digit(text[i])) : check.letters.find(text[i]);
    if (value == std::string_view::npos) return Answer::no;
    sum += value * check.weights[i];
  }
  return by_remainder(check, sum % check.modulus, text);
}

// The number that the characters of `text` marked with `mark` in `layout` write.
unsigned marked(std::string_view text, std::string_view layout, char mark) {
  unsigned out = 0;
  for (size_t i = 0; i < layout.size() && i < text.size(); ++i) {
    if (layout[i] == mark) out = out * 10 + static_cast<unsigned>(digit(text[i]));
  }
  return out;
}

bool has_date(const SmartIdRow& row, std::string_view text) {
  if (row.date.empty()) return true;
  unsigned month = marked(text, row.date, 'M');
  for (const uint8_t more : row.month_more) {
    if (more != 0 && month > more && month <= more + 12u) {
      month -= more;
      break;
    }
  }
  unsigned day = marked(text, row.date, 'D');
  if (row.day_more != 0 && day > row.day_more) day -= row.day_more;
  constexpr std::array<unsigned, 13> kDays = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month >= 1 && month <= 12 && day >= 1 && day <= kDays[month];
}

bool has_prefix(const SmartIdRow& row, std::string_view text) {
  if (row.prefixes.empty()) return true;
  return std::ranges::any_of(row.prefixes, [&](const Prefix& prefix) {
    if (prefix.lengths != 0 && (text.size() > 31 || (prefix.lengths >> text.size() & 1) == 0)) return false;
    uint32_t number = 0;
    for (const char c : text.substr(0, prefix.digits)) {
      if (!is_digit(c)) return false;
      number = number * 10 + static_cast<uint32_t>(digit(c));
    }
    return text.size() >= prefix.digits && number >= prefix.low && number <= prefix.high;
  });
}

bool has_repeated_digit(std::string_view text) {
  std::array<int, 10> seen{};
  for (const char c : text.substr(0, 10)) ++seen[static_cast<size_t>(digit(c))];
  int repeated = 0;
  for (const int times : seen) {
    if (times > 3) return false;
    if (times > 1) ++repeated;
  }
  return repeated == 1;
}

bool has_zero_group(const SmartIdRow& row, std::string_view text) {
  for (size_t i = 0; i < row.nonzero.size(); ++i) {
    const char mark = row.nonzero[i];
    if (mark == ' ' || (i > 0 && row.nonzero[i - 1] == mark)) continue;
    bool zero = true;
    for (size_t k = i; k < row.nonzero.size() && k < text.size() && row.nonzero[k] == mark; ++k) {
      zero = zero && text[k] == '0';
    }
    if (zero) return true;
  }
  return false;
}

// The compiled patterns, in the order of the table.
const std::vector<Regex>& patterns() {
  static const std::vector<Regex> compiled = [] {
    std::vector<Regex> out;
    for (const SmartIdRow& row : smart_id_table()) {
      // An identifier does not begin inside a word, a longer number or behind a decimal point, nor end inside one.
      base::Result<Regex> regex =
          Regex::compile(R"((?i)(?<![\p{L}\p{N}])(?<!\d\.)(?:)" + std::string(row.pattern) + R"()(?![\p{L}\p{N}]))");
      // A unit test compiles every row, so there is one.
      if (regex) out.push_back(std::move(*regex));
    }
    return out;
  }();
  return compiled;
}

}  // namespace

int find_smart_id(std::string_view name) {
  const std::span<const SmartIdRow> table = smart_id_table();
  for (size_t i = 0; i < table.size(); ++i) {
    if (base::iequals(table[i].name, name)) return static_cast<int>(i);
  }
  return -1;
}

bool is_smart_id(const SmartIdRow& row, std::string_view text) {
  std::string id = compact(text);
  if (row.length != 0) {
    if (id.size() < row.length) return false;
    id.erase(row.surplus_at, id.size() - row.length);
  }
  if (id.empty() || !has_prefix(row, id)) return false;
  for (const Swap& swap : row.swaps) {
    if (!swap.from.empty() && std::string_view(id).substr(swap.at).starts_with(swap.from)) {
      id.replace(swap.at, swap.from.size(), swap.to);
      break;
    }
  }
  if (!has_date(row, id) || has_zero_group(row, id) || (row.repeated_digit && !has_repeated_digit(id))) return false;
  const Answer first = run(row.first, id);
  switch (row.join) {
    case Join::all:
      return first == Answer::yes && run(row.second, id) == Answer::yes;
    case Join::any:
      return first == Answer::yes || run(row.second, id) == Answer::yes;
    case Join::fallback:
      break;
  }
  return first == Answer::none ? run(row.second, id) == Answer::yes : first == Answer::yes;
}

Verdict count_smart_id(size_t index, std::string_view subject, uint32_t enough, uint32_t& found,
                       std::string_view* first) {
  found = 0;
  if (enough == 0) return Verdict::yes;
  if (index >= patterns().size()) return Verdict::limit;
  const SmartIdRow& row = smart_id_table()[index];
  const Verdict verdict = patterns()[index].walk(subject, [&](size_t begin, size_t end) {
    std::string_view text = subject.substr(begin, end - begin);
    bool good = is_smart_id(row, text);
    while (row.cut && !good) {
      const size_t last = text.find_last_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
      if (last == std::string_view::npos) break;
      text = text.substr(0, last);
      good = is_smart_id(row, text);
    }
    if (!good) return begin + 1;
    if (found++ == 0 && first != nullptr) *first = text;
    return found >= enough ? std::string_view::npos : begin + text.size();
  });
  if (found >= enough) return Verdict::yes;
  return verdict == Verdict::limit ? Verdict::limit : Verdict::no;
}

}  // namespace postern::match

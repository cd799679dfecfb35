// SPDX-License-Identifier: Apache-2.0
// Smart identifiers: numbers that carry a check in themselves (payment cards, bank routing, securities, national
// identity numbers), found in text by a pattern and confirmed by arithmetic. The rows are data (smart_id_table.cc); the
// arithmetic here knows no country. Immutable, used by many threads at once.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/match/regex.h"

namespace postern::match {

// Prefix is a range of leading digits: of `digits` of them, from `low` to `high`. `lengths` has bit N set where a
// number of N digits may begin so; 0: any length.
struct Prefix {
  uint32_t low = 0;
  uint32_t high = 0;
  uint8_t digits = 0;
  uint32_t lengths = 0;
};

// Check is one rule over the letters and digits of an identifier.
struct Check {
  enum class Kind : uint8_t {
    none,
    luhn,            // over all digits, the last one is the check digit
    sum,             // Σ weight × value modulo `modulus`, in `is` the character that must stand at `at`
    number,          // the same of the number that the first `length` digits write
    iso7064,         // ISO 7064 MOD 11,10
    mod97,           // ISO 7064 MOD 97-10 with the first four characters moved to the end, length by country
    double_add,      // CUSIP: every second value doubled, digits of the products added
    codice_fiscale,  // Italian: values by odd and even place
  } kind = Kind::none;
  uint8_t weights[13] = {};  // of the first characters; 0 leaves one out
  uint8_t length = 0;
  uint8_t modulus = 0;
  uint8_t at = 0;
  uint64_t add = 0;  // number: added before the division
  std::string_view is =
      {};  // by remainder; '!' where no number has that remainder; empty: modulus − remainder, as two digits
  std::string_view letters = {};  // sum: a letter's value is its place in this text
};

// Swap puts `to` for `from` at place `at` before the checks.
struct Swap {
  uint8_t at = 0;
  std::string_view from = {};
  std::string_view to = {};
};

// Join says how the two checks of a row go together; `fallback`: the second holds where the first has no answer ('!').
enum class Join : uint8_t { all, any, fallback };

struct SmartIdRow {
  std::string_view name;                  // without the '*' that a rule writes before it
  std::string_view doc;                   // what it finds, a few words
  std::string_view example;               // one that is found
  std::string_view pattern;               // what may be one; the checks see its letters (in upper case) and digits
  std::string_view screen;                // a simpler pattern that is there wherever `pattern` is, for PatternSet
  std::span<const Prefix> prefixes = {};  // empty: any
  Check first = {};
  Check second = {};
  Join join = Join::all;
  uint8_t length = 0;  // 0: any; longer ones lose characters at `surplus_at` first (a century that is not checked)
  uint8_t surplus_at = 0;
  Swap swaps[3] = {};
  std::string_view date =
      {};  // a layout such as "YYMMDD" over the first characters; other characters are not looked at
  uint8_t month_more[4] = {};     // added to the month by some countries
  uint8_t day_more = 0;           // added to the day
  std::string_view nonzero = {};  // characters marked with the same letter are not all '0'
  bool cut = false;               // what follows a separator may be no part of it any more: shorter ends are tried too
  bool repeated_digit = false;    // one digit, and one only, stands two or three times among the first ten
};

// smart_id_table is every identifier.
std::span<const SmartIdRow> smart_id_table();

// find_smart_id returns the index in smart_id_table() of `name` (without '*', any case), or -1.
int find_smart_id(std::string_view name);

// is_smart_id tells whether `text`, as the row's pattern found it, passes the row's checks.
bool is_smart_id(const SmartIdRow& row, std::string_view text);

// count_smart_id counts the identifiers of row `index` in `subject`, up to `enough`; `first`, when not null, gets the
// first one. Verdict::limit when the search took too long before `enough` were found.
Verdict count_smart_id(size_t index, std::string_view subject, uint32_t enough, uint32_t& found,
                       std::string_view* first = nullptr);

// iban_length returns the length of an IBAN of this country code (ISO 3166, upper case), or 0.
uint8_t iban_length(std::string_view country);

}  // namespace postern::match

// SPDX-License-Identifier: Apache-2.0
// The identifiers as data: what they look like, what they begin with, how they are checked. Sources of the rules:
// ISO/IEC 7812 (cards) and the card schemes' published ranges, 20 CFR 422.103 and the SSA's list of unassigned areas,
// ABA key to routing numbers, ANSI X9.6 (CUSIP), ISO 13616 and the SWIFT registry (IBAN), and each country's own
// description of its numbers. An identifier without a check digit is only here where its shape alone is rare in other
// text.
#include <array>

#include "engine/base/text.h"
#include "engine/match/smart_id.h"

namespace postern::match {
namespace {

// A separator as people write it, and also where a line was broken at a blank.
#define SEP R"((?:\r?\n|[-. \x{A0}\x{202F}\x{2010}-\x{2013}]))"
#define MAYBE SEP "?"

constexpr uint32_t lengths(std::initializer_list<int> each) {
  uint32_t out = 0;
  for (const int length : each) out |= 1u << length;
  return out;
}

constexpr Prefix kCards[] = {
    {4, 4, 1, lengths({13, 16, 19})},            // Visa
    {51, 55, 2, lengths({16})},                  // Mastercard
    {2221, 2720, 4, lengths({16})},              // Mastercard
    {34, 34, 2, lengths({15})},                  // American Express
    {37, 37, 2, lengths({15})},                  // American Express
    {300, 305, 3, lengths({14, 16, 19})},        // Diners Club
    {3095, 3095, 4, lengths({14, 16, 19})},      // Diners Club
    {36, 36, 2, lengths({14, 16, 19})},          // Diners Club
    {38, 39, 2, lengths({14, 16, 19})},          // Diners Club
    {6011, 6011, 4, lengths({16, 19})},          // Discover
    {644, 659, 3, lengths({16, 19})},            // Discover
    {62, 62, 2, lengths({16, 17, 18, 19})},      // UnionPay, Discover
    {3528, 3589, 4, lengths({16, 19})},          // JCB
    {2200, 2204, 4, lengths({16, 19})},          // Mir
    {5018, 5020, 4, lengths({16, 17, 18, 19})},  // Maestro, Dankort
    {5038, 5038, 4, lengths({16, 17, 18, 19})},  // Maestro
    {5893, 5893, 4, lengths({16, 17, 18, 19})},  // Maestro
    {6304, 6304, 4, lengths({16, 17, 18, 19})},  // Maestro
    {6759, 6763, 4, lengths({16, 17, 18, 19})},  // Maestro
    {6331, 6331, 4, lengths({16, 18, 19})},      // Switch
    {6334, 6334, 4, lengths({16, 18, 19})},      // Solo
    {6767, 6767, 4, lengths({16, 18, 19})},      // Solo
    {508500, 508999, 6, lengths({16})},          // RuPay
    {606985, 608500, 6, lengths({16})},          // RuPay
    {817200, 820199, 6, lengths({16})},          // RuPay
    {9792, 9792, 4, lengths({16})},              // Troy
};

constexpr Prefix kRouting[] = {{0, 12, 2, 0}, {21, 32, 2, 0}, {61, 72, 2, 0}, {80, 80, 2, 0}};

// Areas 000, 666 and 900 to 999 are never assigned.
constexpr Prefix kAreas[] = {{1, 665, 3, 0}, {667, 899, 3, 0}};

constexpr Check kLuhn = {.kind = Check::Kind::luhn};
constexpr Check kIso7064 = {.kind = Check::Kind::iso7064};
constexpr Check kBaltic = {
    .kind = Check::Kind::sum, .weights = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1}, .modulus = 11, .at = 10, .is = "0123456789!"};
constexpr Check kBalticSecond = {
    .kind = Check::Kind::sum, .weights = {3, 4, 5, 6, 7, 8, 9, 1, 2, 3}, .modulus = 11, .at = 10, .is = "01234567890"};
constexpr Check kSpanish = {
    .kind = Check::Kind::number, .length = 8, .modulus = 23, .at = 8, .is = "TRWAGMYFPDXBNJZSQVHLCKE"};

constexpr SmartIdRow kRows[] = {
    {.name = "credit",
     .doc = "payment card number",
     .example = "4111 1111 1111 1111",
     .pattern = R"(\d{4})" MAYBE R"(\d{4})" MAYBE R"(\d{4})" MAYBE R"(\d{1,4}(?:)" MAYBE R"(\d{1,3})?|\d{4})" SEP
                R"(\d{6})" SEP R"(\d{4,5}|\d{6})" SEP R"(\d{13})",
     .screen = R"((?s)(?:\d.{0,2}){12}\d)",
     .prefixes = kCards,
     .first = kLuhn,
     .cut = true},
    {.name = "ssn",
     .doc = "United States social security number, written with dashes, dots or blanks",
     .example = "078-05-1120",
     .pattern = R"(\d{3}()" SEP R"()\d{2}\1\d{4})",
     .screen = R"((?s)\d{3}.{1,2}\d\d.{1,2}\d{4})",
     .prefixes = kAreas,
     .nonzero = "   bbcccc"},
    {.name = "aba",
     .doc = "United States bank routing number",
     .example = "021000021",
     .pattern = R"(\d{9}|\d{4}()" SEP R"()\d{4}\1\d)",
     .screen = R"((?s)(?:\d.{0,2}){8}\d)",
     .prefixes = kRouting,
     .first =
         {.kind = Check::Kind::sum, .weights = {3, 7, 1, 3, 7, 1, 3, 7}, .modulus = 10, .at = 8, .is = "0987654321"}},
    {.name = "cusip",
     .doc = "CUSIP security number",
     .example = "037833100",
     .pattern = R"((?:\d{3}|[A-Z]\d[A-Z0-9])[A-Z0-9]{3}[ -]?[A-Z0-9*@#]{2}[ -]?\d)",
     .screen = R"(\d[A-Za-z0-9]+)",
     .first = {.kind = Check::Kind::double_add}},
    {.name = "iban",
     .doc = "international bank account number",
     .example = "DE89 3704 0044 0532 0130 00",
     .pattern = R"([A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?:)" SEP R"([A-Z0-9]{4}){2,7}(?:)" SEP R"([A-Z0-9]{1,3})?))",
     .screen = R"([A-Za-z]{2}\d\d)",
     .first = {.kind = Check::Kind::mod97},
     .cut = true},
    {.name = "uk-nino",
     .doc = "British national insurance number",
     .example = "AB 12 34 56 C",
     .pattern =
         R"((?!BG|GB|KN|NK|NT|TN|ZZ)[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z]()" MAYBE R"()\d{2}\1\d{2}\1\d{2}\1[A-D])",
     .screen = R"((?s)\d\d.{0,2}\d\d.{0,2}\d\d.{0,2}[A-Da-d])"},
    {.name = "uk-nhs",
     .doc = "British NHS number",
     .example = "943 476 5919",
     .pattern = R"(\d{3}()" MAYBE R"()\d{3}\1\d{4})",
     .screen = R"((?s)(?:\d.{0,2}){9}\d)",
     .first = {.kind = Check::Kind::sum,
               .weights = {10, 9, 8, 7, 6, 5, 4, 3, 2},
               .modulus = 11,
               .at = 9,
               .is = "0!987654321"}},
    {.name = "uk-utr",
     .doc = "British unique taxpayer reference",
     .example = "1955839661",
     .pattern = R"(\d{5}[ ]?\d{5})",
     .screen = R"((?s)(?:\d.{0,2}){9}\d)",
     .first = {.kind = Check::Kind::sum,
               .weights = {0, 6, 7, 8, 9, 10, 5, 4, 3, 2},
               .modulus = 11,
               .at = 0,
               .is = "21987654321"}},
    {.name = "at-svnr",
     .doc = "Austrian social insurance number",
     .example = "1237 010180",
     .pattern = R"([1-9]\d{3})" MAYBE R"(\d{6})",
     .screen = R"((?s)(?:\d.{0,2}){9}\d)",
     .first = {.kind = Check::Kind::sum,
               .weights = {3, 7, 9, 0, 5, 8, 4, 2, 1, 6},
               .modulus = 11,
               .at = 3,
               .is = "0123456789!"},
     .date = "    DDMM"},
    {.name = "be-nn",
     .doc = "Belgian national number",
     .example = "85.07.30-033.28",
     .pattern = R"(\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}[. ]?\d{2})",
     .screen = R"((?s)(?:\d.{0,2}){10}\d)",
     .first = {.kind = Check::Kind::number, .length = 9, .modulus = 97, .at = 9},
     .second = {.kind = Check::Kind::number, .length = 9, .modulus = 97, .at = 9, .add = 2'000'000'000},
     .join = Join::any,
     .date = "  MMDD",
     .month_more = {20, 40}},
    {.name = "bg-egn",
     .doc = "Bulgarian civil number",
     .example = "7523169263",
     .pattern = R"(\d{10})",
     .screen = R"(\d{10})",
     .first = {.kind = Check::Kind::sum,
               .weights = {2, 4, 8, 5, 10, 9, 7, 3, 6},
               .modulus = 11,
               .at = 9,
               .is = "01234567890"},
     .date = "  MMDD",
     .month_more = {20, 40}},
    {.name = "ch-ahv",
     .doc = "Swiss AHV number",
     .example = "756.9217.0769.85",
     .pattern = R"(756()" MAYBE R"()\d{4}\1\d{4}\1\d{2})",
     .screen = "756",
     .first = {.kind = Check::Kind::sum,
               .weights = {1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3},
               .modulus = 10,
               .at = 12,
               .is = "0987654321"}},
    {.name = "cz-rc",
     .doc = "Czech and Slovak birth number",
     .example = "710319/2745",
     .pattern = R"(\d{6}/?\d{4})",
     .screen = R"((?s)(?:\d.{0,2}){9}\d)",
     .first = {.kind = Check::Kind::number, .length = 9, .modulus = 11, .at = 9, .is = "01234567890"},
     .date = "  MMDD",
     .month_more = {20, 50, 70}},
    {.name = "de-steuerid",
     .doc = "German tax identification number",
     .example = "86 095 742 719",
     .pattern = R"([1-9]\d()" MAYBE R"()\d{3}\1\d{3}\1\d{3})",
     .screen = R"((?s)(?:\d.{0,2}){10}\d)",
     .first = kIso7064,
     .repeated_digit = true},
    {.name = "dk-cpr",
     .doc = "Danish personal number, written with a dash",
     .example = "211062-5629",
     .pattern = R"(\d{6}[-\x{2010}-\x{2013}]\d{4})",
     .screen = R"((?s)\d{6}.{0,2}\d{4})",
     .date = "DDMM"},
    {.name = "ee-ik",
     .doc = "Estonian personal code",
     .example = "36805280109",
     .pattern = R"([1-8]\d{10})",
     .screen = R"(\d{11})",
     .first = kBaltic,
     .second = kBalticSecond,
     .join = Join::fallback,
     .date = "   MMDD"},
    {.name = "es-dni",
     .doc = "Spanish identity number",
     .example = "54362315K",
     .pattern = R"(\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Z])",
     .screen = R"((?s)(?:\d.{0,2}){7}\d.{0,2}[A-Za-z])",
     .first = kSpanish},
    {.name = "es-nie",
     .doc = "Spanish number of foreigners",
     .example = "X2482300W",
     .pattern = R"([XYZ][- ]?\d{7}[- ]?[A-Z])",
     .screen = R"((?s)[XYZxyz].{0,2}\d{7}.{0,2}[A-Za-z])",
     .first = kSpanish,
     .swaps = {{0, "X", "0"}, {0, "Y", "1"}, {0, "Z", "2"}}},
    {.name = "fi-hetu",
     .doc = "Finnish personal identity code",
     .example = "131052-308T",
     .pattern = R"(\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y])",
     .screen = R"((?s)\d{6}.{0,2}\d{3})",
     .first =
         {.kind = Check::Kind::number, .length = 9, .modulus = 31, .at = 9, .is = "0123456789ABCDEFHJKLMNPRSTUVWXY"},
     .length = 10,
     .surplus_at = 6,
     .date = "DDMM"},
    {.name = "fr-nir",
     .doc = "French social security number",
     .example = "2 55 08 14 168 025 38",
     .pattern = R"([1-478])" MAYBE R"(\d{2})" MAYBE R"(\d{2})" MAYBE R"((?:\d{2}|2[AB]))" MAYBE R"(\d{3})" MAYBE
                R"(\d{3})" MAYBE R"(\d{2})",
     .screen = R"((?s)[1-478].{0,2}\d\d.{0,2}\d\d.{0,2}\d)",
     .first = {.kind = Check::Kind::number, .length = 13, .modulus = 97, .at = 13},
     .swaps = {{5, "2A", "19"}, {5, "2B", "18"}}},
    {.name = "gr-amka",
     .doc = "Greek social security number",
     .example = "01013099997",
     .pattern = R"(\d{11})",
     .screen = R"(\d{11})",
     .first = kLuhn,
     .date = "DDMM"},
    {.name = "hr-oib",
     .doc = "Croatian identification number",
     .example = "33392005961",
     .pattern = R"(\d{11})",
     .screen = R"(\d{11})",
     .first = kIso7064},
    {.name = "hu-taj",
     .doc = "Hungarian social security number, written in threes",
     .example = "111 111 110",
     .pattern = R"(\d{3}()" SEP R"()\d{3}\1\d{3})",
     .screen = R"((?s)(?:\d.{0,2}){8}\d)",
     .first =
         {.kind = Check::Kind::sum, .weights = {3, 7, 3, 7, 3, 7, 3, 7}, .modulus = 10, .at = 8, .is = "0123456789"}},
    {.name = "ie-pps",
     .doc = "Irish personal public service number",
     .example = "6433435F",
     .pattern = R"(\d{7}[A-W][A-IW]?)",
     .screen = R"(\d{7}[A-Wa-w])",
     .first = {.kind = Check::Kind::sum,
               .weights = {8, 7, 6, 5, 4, 3, 2, 0, 9},
               .modulus = 23,
               .at = 7,
               .is = "WABCDEFGHIJKLMNOPQRSTUV",
               .letters = "WABCDEFGHI"}},
    {.name = "it-cf",
     .doc = "Italian codice fiscale",
     .example = "RCCMNL83S18D969H",
     .pattern = R"([A-Z]{3}[ ]?[A-Z]{3}[ ]?[0-9L-NP-V]{2}[A-EHLMPR-T][0-9L-NP-V]{2}[ ]?[A-Z][0-9L-NP-V]{3}[A-Z])",
     .screen = R"((?s)[A-Za-z]{3}.{0,2}[A-Za-z]{3}.{0,2}[A-Za-z0-9]{4})",
     .first = {.kind = Check::Kind::codice_fiscale}},
    {.name = "lt-ak",
     .doc = "Lithuanian personal code",
     .example = "33309240064",
     .pattern = R"([1-6]\d{10})",
     .screen = R"(\d{11})",
     .first = kBaltic,
     .second = kBalticSecond,
     .join = Join::fallback,
     .date = "   MMDD"},
    {.name = "lv-pk",
     .doc = "Latvian personal code",
     .example = "161175-19997",
     .pattern = R"(\d{6}-?\d{5})",
     .screen = R"((?s)(?:\d.{0,2}){10}\d)",
     .first = {.kind = Check::Kind::sum,
               .weights = {10, 5, 8, 4, 2, 1, 6, 3, 7, 9},
               .modulus = 11,
               .at = 10,
               .is = "12345678900"},
     .date = "DDMM"},
    {.name = "nl-bsn",
     .doc = "Dutch citizen service number",
     .example = "111222333",
     .pattern = R"(\d{3}()" MAYBE R"()\d{3}\1\d{3}|\d{4}\.\d{2}\.\d{3})",
     .screen = R"((?s)(?:\d.{0,2}){8}\d)",
     .first =
         {.kind = Check::Kind::sum, .weights = {9, 8, 7, 6, 5, 4, 3, 2}, .modulus = 11, .at = 8, .is = "0123456789!"},
     .nonzero = "aaaaaaaaa"},
    {.name = "no-fnr",
     .doc = "Norwegian birth number",
     .example = "151086 95088",
     .pattern = R"(\d{6}[ ]?\d{5})",
     .screen = R"((?s)(?:\d.{0,2}){10}\d)",
     .first = {.kind = Check::Kind::sum,
               .weights = {3, 7, 6, 1, 8, 9, 4, 5, 2},
               .modulus = 11,
               .at = 9,
               .is = "0!987654321"},
     .second = {.kind = Check::Kind::sum,
                .weights = {5, 4, 3, 2, 7, 6, 5, 4, 3, 2},
                .modulus = 11,
                .at = 10,
                .is = "0!987654321"},
     .date = "DDMM",
     .month_more = {40, 80},
     .day_more = 40},
    {.name = "pl-pesel",
     .doc = "Polish PESEL number",
     .example = "44051401359",
     .pattern = R"(\d{11})",
     .screen = R"(\d{11})",
     .first = {.kind = Check::Kind::sum,
               .weights = {1, 3, 7, 9, 1, 3, 7, 9, 1, 3},
               .modulus = 10,
               .at = 10,
               .is = "0987654321"},
     .date = "  MMDD",
     .month_more = {20, 40, 60, 80}},
    {.name = "pt-nif",
     .doc = "Portuguese tax number",
     .example = "501 964 843",
     .pattern = R"([1-35-9]\d{2}()" MAYBE R"()\d{3}\1\d{3})",
     .screen = R"((?s)(?:\d.{0,2}){8}\d)",
     .first =
         {.kind = Check::Kind::sum, .weights = {9, 8, 7, 6, 5, 4, 3, 2}, .modulus = 11, .at = 8, .is = "00987654321"}},
    {.name = "ro-cnp",
     .doc = "Romanian personal number",
     .example = "1630615123457",
     .pattern = R"([1-9]\d{12})",
     .screen = R"(\d{13})",
     .first = {.kind = Check::Kind::sum,
               .weights = {2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9},
               .modulus = 11,
               .at = 12,
               .is = "01234567891"},
     .date = "   MMDD"},
    {.name = "se-pnr",
     .doc = "Swedish personal number",
     .example = "640823-3234",
     .pattern = R"((?:19|20)?\d{6}[-+]?\d{4})",
     .screen = R"((?s)(?:\d.{0,2}){9}\d)",
     .first = kLuhn,
     .length = 10,
     .surplus_at = 0,
     .date = "  MMDD",
     .day_more = 60},
    {.name = "si-emso",
     .doc = "Slovenian personal number",
     .example = "0101006500006",
     .pattern = R"(\d{13})",
     .screen = R"(\d{13})",
     .first = {.kind = Check::Kind::sum,
               .weights = {7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2},
               .modulus = 11,
               .at = 12,
               .is = "0!987654321"},
     .date = "DDMM"},
};

#undef MAYBE
#undef SEP

struct Country {
  char code[3];
  uint8_t length;
};

constexpr Country kIbanCountries[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22},
    {"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DJ", 27},
    {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18}, {"FK", 18}, {"FO", 18}, {"FR", 27},
    {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HN", 28}, {"HR", 21}, {"HU", 28},
    {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28},
    {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22},
    {"MK", 19}, {"MN", 20}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23},
    {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24},
    {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28},
    {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30},
};

}  // namespace

std::span<const SmartIdRow> smart_id_table() { return kRows; }

uint8_t iban_length(std::string_view country) {
  for (const Country& each : kIbanCountries) {
    if (country == each.code) return each.length;
  }
  return 0;
}

}  // namespace postern::match

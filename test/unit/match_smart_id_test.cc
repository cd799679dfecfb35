// SPDX-License-Identifier: Apache-2.0
// Smart identifiers: each row's example and the test numbers that card schemes, banks and standards publish are found;
// one digit changed is not; and random digits give as many hits as the arithmetic of ranges and check digits says.
#include "engine/match/smart_id.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace postern::match {
namespace {

uint32_t count(std::string_view name, std::string_view text) {
  const int index = find_smart_id(name);
  EXPECT_GE(index, 0) << name;
  uint32_t found = 0;
  if (index < 0) return 0;
  EXPECT_NE(count_smart_id(static_cast<size_t>(index), text, 1'000'000, found), Verdict::limit);
  return found;
}

TEST(SmartId, EveryExampleIsFoundAndNoneWithAnotherCheckDigit) {
  for (const SmartIdRow& row : smart_id_table()) {
    EXPECT_EQ(count(row.name, row.example), 1u) << row.name;
    EXPECT_EQ(count(row.name, "x: " + std::string(row.example) + ", y"), 1u) << row.name;
    EXPECT_EQ(count(row.name, "9" + std::string(row.example)), 0u) << row.name;
    EXPECT_EQ(count(row.name, std::string(row.example) + "9Z"), 0u) << row.name;
    auto screen = Regex::compile(row.screen);
    ASSERT_TRUE(screen) << row.name;
    EXPECT_EQ(screen->search(row.example), Verdict::yes) << row.name << ": the screen would hide it";
    for (const std::string between : {"\r\n", "\n", "\xC2\xA0", "\xE2\x80\x93", ".", "-", " "}) {
      std::string written;
      for (const char c : row.example) written += c == ' ' || c == '-' || c == '.' ? between : std::string(1, c);
      if (count(row.name, written) > 0) {
        EXPECT_EQ(screen->search(written), Verdict::yes) << row.name << ": the screen would hide " << written;
      }
    }
    if (row.first.kind == Check::Kind::none) continue;
    std::string other(row.example);
    for (size_t i = other.size(); i-- > 0;) {
      if (other[i] < '0' || other[i] > '9') continue;
      other[i] = other[i] == '9' ? '0' : static_cast<char>(other[i] + 1);
      break;
    }
    EXPECT_EQ(count(row.name, other), 0u) << row.name << ": " << other;
  }
  EXPECT_EQ(find_smart_id("CREDIT"), find_smart_id("credit"));
  EXPECT_EQ(find_smart_id("credits"), -1);
}

// What rules and dictionaries call them does not change.
TEST(SmartId, Names) {
  const std::vector<std::string_view> names = {
      "credit",  "ssn",    "aba",      "cusip",  "iban",        "uk-nino", "uk-nhs", "uk-utr", "at-svnr",
      "be-nn",   "bg-egn", "ch-ahv",   "cz-rc",  "de-steuerid", "dk-cpr",  "ee-ik",  "es-dni", "es-nie",
      "fi-hetu", "fr-nir", "gr-amka",  "hr-oib", "hu-taj",      "ie-pps",  "it-cf",  "lt-ak",  "lv-pk",
      "nl-bsn",  "no-fnr", "pl-pesel", "pt-nif", "ro-cnp",      "se-pnr",  "si-emso"};
  std::vector<std::string_view> found;
  for (const SmartIdRow& row : smart_id_table()) found.push_back(row.name);
  EXPECT_EQ(found, names);
}

// Test numbers that card schemes and payment services publish.
constexpr const char* kCardTests[] = {
    "378282246310005",  "371449635398431",  "378734493671000",  "5610591081018250",    "30569309025904",
    "38520000023237",   "6011111111111117", "6011000990139424", "3530111333300000",    "3566002020360505",
    "5555555555554444", "5105105105105100", "4111111111111111", "4012888888881881",    "4222222222222",
    "5019717010103742", "6331101999990016", "2223003122003222", "2223000048400011",    "6200000000000005",
    "6304000000000000", "36227206271667",   "4917610000000000", "4917610000000000003", "6759649826438453",
    "4242424242424242", "5200828282828210", "2223520043560014",
};

TEST(SmartId, PublishedCardNumbers) {
  for (const char* number : kCardTests) {
    if (std::string_view(number).starts_with("5610")) continue;  // a scheme that is no more (Bankcard)
    EXPECT_EQ(count("credit", number), 1u) << number;
  }
}

TEST(SmartId, CardsAsPeopleWriteThem) {
  for (const char* text :
       {"4111 1111 1111 1111", "4111-1111-1111-1111", "4111.1111.1111.1111", "3782 822463 10005", "3056-930902-5904",
        "4111\xC2\xA0"
        "1111\xC2\xA0"
        "1111\xC2\xA0"
        "1111",
        "4111 1111\r\n1111 1111",
        "4111\xE2\x80\x93"
        "1111\xE2\x80\x93"
        "1111\xE2\x80\x93"
        "1111",
        "Card:4111111111111111.", "4111 1111 1111 1111 123", "(4111111111111111)", "cc_4111111111111111",
        "1234 4111 1111 1111 1111", "4111111111111111,12/27"}) {
    EXPECT_EQ(count("credit", text), 1u) << text;
  }
  for (const char* text :
       {"4111 1111/1111 1111", "41111111111111110", "14111111111111111", "0.4111111111111111", "a4111111111111111",
        "4111 1111 1111 1112", "0000000000000000", "4111  1111  1111  1111", "1111111111111111"}) {
    EXPECT_EQ(count("credit", text), 0u) << text;
  }
  EXPECT_EQ(count("credit", "4111111111111111 and 5555555555554444\n378282246310005;4222222222222"), 4u);
}

TEST(SmartId, SocialSecurityNumbers) {
  for (const char* text : {"219-09-9999", "219 09 9999", "219.09.9999", "001-01-0001", "665-99-9999", "899-01-0001"}) {
    EXPECT_EQ(count("ssn", text), 1u) << text;
  }
  for (const char* text : {"000-12-3456", "666-12-3456", "900-12-3456", "987-65-4320", "123-00-4567", "123-45-0000",
                           "219099999", "219-09 9999", "219-09-99990", "1219-09-9999"}) {
    EXPECT_EQ(count("ssn", text), 0u) << text;
  }
}

TEST(SmartId, BankAndSecurityNumbers) {
  for (const char* text : {"021000021", "011401533", "091000019", "122105155", "071000013", "121122676"}) {
    EXPECT_EQ(count("aba", text), 1u) << text;
  }
  EXPECT_EQ(count("aba", "021000022"), 0u);
  EXPECT_EQ(count("aba", "990000006"), 0u) << "no such district";
  for (const char* text :
       {"037833100", "17275R102", "38259P508", "594918104", "68389X105", "G0052B105", "03783310 0"}) {
    EXPECT_EQ(count("cusip", text), 1u) << text;
  }
  EXPECT_EQ(count("cusip", "68389X106"), 0u);
  for (const char* text : {"GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432", "DE89370400440532013000",
                           "FR1420041010050500013M02606", "CH9300762011623852957", "AT61 1904 3002 3457 3201 is ours",
                           "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "LC14BOSL123456789012345678901234",
                           "gb82west12345698765432", "SA03 8000 0000 6080 1016 7519", "IBAN: BE68 5390 0754 7034.",
                           "NL91 ABNA 0417 1643 00", "PL61 1090 1014 0000 0712 1981 2874"}) {
    EXPECT_EQ(count("iban", text), 1u) << text;
  }
  EXPECT_EQ(count("iban", "GB82 WEST 1234 5698 7654 33"), 0u);
  EXPECT_EQ(count("iban", "DE8937040044053201300"), 0u) << "too short for its country";
  EXPECT_EQ(count("iban", "ZZ89370400440532013000"), 0u);
}

TEST(SmartId, NationalNumbers) {
  struct {
    const char* name;
    const char* good;
  } const cases[] = {
      {"uk-nhs", "4010232137"},       {"uk-nino", "QQ123456C"},      {"de-steuerid", "65929970489"},
      {"de-steuerid", "47036892816"}, {"fr-nir", "295109912611193"}, {"es-dni", "12345678Z"},
      {"it-cf", "MRTMTT25D09F205Z"},  {"nl-bsn", "123456782"},       {"be-nn", "93.05.18-223.61"},
      {"be-nn", "40.00.18-223.61"},   {"pl-pesel", "02070803628"},   {"se-pnr", "19811228-9874"},
      {"fi-hetu", "131052A308T"},     {"pt-nif", "123456789"},       {"ie-pps", "6433435OA"},
      {"bg-egn", "8032056031"},       {"cz-rc", "7103192745"},       {"ee-ik", "37605030299"},
      {"lt-ak", "38703181745"},       {"ch-ahv", "7569217076985"},   {"no-fnr", "15108695088"},
      {"hr-oib", "94577403194"},
  };
  for (const auto& each : cases) {
    if (std::string_view(each.good) == "QQ123456C" || std::string_view(each.good) == "40.00.18-223.61") {
      EXPECT_EQ(count(each.name, each.good), 0u) << each.good << " is written in examples because it is none";
      continue;
    }
    EXPECT_EQ(count(each.name, each.good), 1u) << each.name << ' ' << each.good;
  }
}

// How many of `strings` random strings of `digits` digits are hits.
uint32_t hits_among_random(std::string_view name, int digits, int strings) {
  std::mt19937_64 generator(20120215);
  std::uniform_int_distribution<int> draw('0', '9');
  std::string text;
  uint32_t found = 0;
  for (int chunk = 0; chunk < strings / 1000; ++chunk) {
    text.clear();
    for (int i = 0; i < 1000; ++i) {
      for (int k = 0; k < digits; ++k) text += static_cast<char>(draw(generator));
      text += '\n';
      text += "x\n";
    }
    found += count(name, text);
  }
  return found;
}

// The share of leading six digits that a card of `digits` digits may begin with, counted one by one.
double card_share(int digits) {
  uint32_t good = 0;
  for (uint32_t six = 0; six < 1'000'000; ++six) {
    for (const Prefix& prefix : smart_id_table()[static_cast<size_t>(find_smart_id("credit"))].prefixes) {
      uint32_t leading = six;
      for (int k = prefix.digits; k < 6; ++k) leading /= 10;
      if ((prefix.lengths >> digits & 1) != 0 && leading >= prefix.low && leading <= prefix.high) {
        ++good;
        break;
      }
    }
  }
  return good / 1e6;
}

TEST(SmartId, RandomDigitsHitAsOftenAsArithmeticSays) {
  struct {
    const char* name;
    int digits;
    double chance;
    int strings = 100'000;
  } const cases[] = {
      {"credit", 16, card_share(16) / 10, 1'000'000},
      {"credit", 15, card_share(15) / 10},
      {"credit", 14, card_share(14) / 10},
      {"aba", 9, 0.38 / 10, 1'000'000},
      {"ssn", 9, 0, 1'000'000},
      {"cusip", 9, 0.1},
      {"iban", 22, 0},
      {"uk-nhs", 10, 1.0 / 11},
      {"de-steuerid", 11, 0.9 / 10},  // fewer: not every one has just one digit repeated
      {"pl-pesel", 11, 0.6 * 0.31 / 10},
      {"nl-bsn", 9, 1.0 / 11},
  };
  for (const auto& each : cases) {
    const double expected = each.chance * each.strings;
    const double found = hits_among_random(each.name, each.digits, each.strings);
    std::printf("%s: %.0f hits in %d random strings of %d digits, arithmetic says at most %.0f\n", each.name, found,
                each.strings, each.digits, expected);
    EXPECT_LE(found, expected + 5 * std::sqrt(expected)) << each.name << ' ' << each.digits;
    if (std::string_view(each.name) == "credit" || std::string_view(each.name) == "aba") {
      EXPECT_GE(found, expected - 5 * std::sqrt(expected)) << each.name << ' ' << each.digits;
    }
  }
}

TEST(SmartId, CountsUpToEnough) {
  uint32_t found = 0;
  std::string_view first;
  const auto index = static_cast<size_t>(find_smart_id("credit"));
  EXPECT_EQ(count_smart_id(index, "4111111111111111 4012888888881881", 1, found, &first), Verdict::yes);
  EXPECT_EQ(found, 1u);
  EXPECT_EQ(first, "4111111111111111");
  EXPECT_EQ(count_smart_id(index, "", 1, found), Verdict::no);
  EXPECT_EQ(count_smart_id(index, "x", 0, found), Verdict::yes);
}

}  // namespace
}  // namespace postern::match

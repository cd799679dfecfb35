// SPDX-License-Identifier: Apache-2.0
// Tables in the form of genericstable: what is read, what is refused, which line wins.
#include <gtest/gtest.h>

#include "milter/stages/address_table.h"

namespace postern::stages {
namespace {

std::string find(const AddressTable& table, std::string_view address) { return table.find(address).value_or("-"); }

TEST(AddressTable, FirstLineWins) {
  std::vector<AddressTable::Fault> faults;
  const AddressTable table = AddressTable::read(
      "# people\n"
      "anna@in.example\tanna.smith@example.org\n"
      "bob   robert@example.org\r\n"
      "\n"
      "@in.example @example.org\n"
      "root@other.example postmaster@example.org\n",
      faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(table.size(), 4u);
  EXPECT_EQ(find(table, "anna@in.example"), "anna.smith@example.org");
  EXPECT_EQ(find(table, "ANNA@In.Example"), "anna.smith@example.org");
  EXPECT_EQ(find(table, "bob@anywhere.example"), "robert@example.org");
  EXPECT_EQ(find(table, "Carl@in.example"), "Carl@example.org");
  EXPECT_EQ(find(table, "carl@sub.in.example"), "-");
  EXPECT_EQ(find(table, "\"a b\"@in.example"), "\"a b\"@example.org");
  EXPECT_EQ(find(table, "root@other.example"), "postmaster@example.org");
}

TEST(AddressTable, DomainsBelowAnother) {
  std::vector<AddressTable::Fault> faults;
  const AddressTable table = AddressTable::read(
      "boss@x.in.example chief@example.org\n@.deep.in.example @deep.example.org\n@.in.example @example.org\n", faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(find(table, "a@x.in.example"), "a@example.org");
  EXPECT_EQ(find(table, "a@X.Y.in.example"), "a@example.org");
  EXPECT_EQ(find(table, "a@y.deep.in.example"), "a@deep.example.org");
  EXPECT_EQ(find(table, "a@deep.in.example"), "a@example.org");
  EXPECT_EQ(find(table, "boss@x.in.example"), "chief@example.org");
  EXPECT_EQ(find(table, "a@in.example"), "-");
  EXPECT_EQ(find(table, "a@notin.example"), "-");
}

TEST(AddressTable, FaultsAreNamedByLine) {
  std::vector<AddressTable::Fault> faults;
  const AddressTable table = AddressTable::read(
      "only-key\n"
      "a@b@c x@y.example\n"
      "good@x.example two words@y.example\n"
      "@x.example @y.example\n"
      "late@x.example z@y.example\n"
      "@X.example @z.example\n"
      "a@x.example nobody\n"
      "b@x.example evil@y.example\x01\n",
      faults);
  ASSERT_EQ(faults.size(), 7u);
  const struct {
    uint32_t line;
    bool error;
    std::string_view text;
  } rows[] = {{1, true, "an address or @domain is missing after the key"},
              {2, true, "'a@b@c' is no user, address or @domain"},
              {3, true, "'two words@y.example' is no address or @domain"},
              {5, false, "no address reaches this line: line 4 takes all of its domain"},
              {6, false, "the key stands in line 4 already, which wins"},
              {7, true, "'nobody' is no address or @domain"},
              {8, true, "'evil@y.example\\x01' is no address or @domain"}};
  for (size_t i = 0; i < std::size(rows); ++i) {
    EXPECT_EQ(faults[i].line, rows[i].line);
    EXPECT_EQ(faults[i].error, rows[i].error);
    EXPECT_EQ(faults[i].text, rows[i].text);
  }
  EXPECT_EQ(find(table, "late@x.example"), "late@y.example");
  EXPECT_FALSE(AddressTable::load("/no/such/table", faults).has_value());
}

TEST(AddressTable, WarningsDoNotEndIt) {
  std::string text = "@in.example @example.org\n";
  for (int i = 0; i < 500; ++i) text += "user" + std::to_string(i) + "@in.example other@example.org\n";
  text += "last@elsewhere.example found@example.org\n";
  std::vector<AddressTable::Fault> faults;
  const AddressTable table = AddressTable::read(text, faults);
  EXPECT_EQ(faults.size(), 100u);
  EXPECT_EQ(table.find("last@elsewhere.example"), "found@example.org");
  std::string wrong;
  for (int i = 0; i < 500; ++i) wrong += "a b c\n@ x\n";
  faults.clear();
  (void)AddressTable::read(wrong, faults);
  EXPECT_EQ(faults.size(), 100u);
}

}  // namespace
}  // namespace postern::stages

// SPDX-License-Identifier: Apache-2.0
// Address lists and paths: tables in a dump notation, display|local|domain|group joined by " ; ", then "!" when
// malformed and "+" when truncated.
#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "engine/base/text.h"
#include "engine/message/address.h"

namespace postern::message {
namespace {

std::string dump(std::string_view raw, size_t max = 100) {
  const AddressList list = parse_address_list(raw, max);
  std::string out;
  for (const Mailbox& mailbox : list.mailboxes) {
    if (!out.empty()) out += " ; ";
    out += mailbox.display + "|" + mailbox.local + "|" + mailbox.domain;
    if (!mailbox.group.empty()) out += "|" + mailbox.group;
  }
  if (list.malformed) out += " !";
  if (list.truncated) out += " +";
  return out;
}

struct Case {
  std::string raw;
  std::string want;
};

class AddressTable : public ::testing::TestWithParam<Case> {};

TEST_P(AddressTable, ReadsAs) {
  EXPECT_EQ(dump(GetParam().raw), GetParam().want) << base::escape_for_log(GetParam().raw);
}

INSTANTIATE_TEST_SUITE_P(
    WellFormed, AddressTable,
    ::testing::Values(Case{"", ""}, Case{" \r\n\t ", ""}, Case{" a@b.example", "|a|b.example"}, Case{"<a@b>", "|a|b"},
                      Case{"A. B. Name <a@b>", "A. B. Name|a|b"},
                      Case{"\"Name, First\" <a@b>, c@d", "Name, First|a|b ; |c|d"},
                      Case{"\"<x@y>\" <a@b>", "<x@y>|a|b"}, Case{"\"a \\\"q\\\" \\\\ b\" <a@b>", "a \"q\" \\ b|a|b"},
                      Case{"\"a@b\"@c", "|a@b|c"}, Case{"\"\"@c", "||c"}, Case{"\"a b\".c@d", "|a b.c|d"},
                      Case{"a@[192.0.2.1]", "|a|[192.0.2.1]"}, Case{"a@[IPv6: 2001:db8::1]", "|a|[IPv6:2001:db8::1]"},
                      Case{"a@b (Old Name)", "Old Name|a|b"}, Case{"(x) N (y) <(z) a (c) @ (d) b (e)> (f)", "N|a|b"},
                      Case{"a (nested (deep) \\) comment) @ b", "nested (deep) ) comment|a|b"},
                      Case{"<@r1.example,@r2:a@b>", "|a|b"}, Case{"N <@r:a@b>, c@d", "N|a|b ; |c|d"},
                      Case{"a . b @ c . d", "|a.b|c.d"}, Case{",, a@b ,, c@d ,", "|a|b ; |c|d"},
                      Case{"Undisclosed recipients:;", ""}, Case{"G: a@b, N <c@d>;, e@f", "|a|b|G ; N|c|d|G ; |e|f"},
                      Case{"\"G: 1\":a@b;", "|a|b|G: 1"}, Case{"Name\r\n Folded <a@\r\n\tb>", "Name Folded|a|b"},
                      Case{"J\xC3\xB6rg <j\xC3\xB6rg@b\xC3\xBC"
                           "cher.example>",
                           "J\xC3\xB6rg|j\xC3\xB6rg|b\xC3\xBC"
                           "cher.example"},
                      Case{"a+tag=x/y@b", "|a+tag=x/y|b"}, Case{"!#$%&'*+-/=?^_`{|}~@b", "|!#$%&'*+-/=?^_`{|}~|b"}));

INSTANTIATE_TEST_SUITE_P(
    EncodedWordsAreNames, AddressTable,
    ::testing::Values(Case{"=?utf-8?Q?J=C3=B6rg?= <a@b>", "J\xC3\xB6rg|a|b"},
                      Case{"=?utf-8?Q?boss=40corp.example?= <a@b>", "boss@corp.example|a|b"},
                      Case{"=?utf-8?Q?=3Cboss=40corp.example=3E=2C?= <a@b>, c@d", "<boss@corp.example>,|a|b ; |c|d"},
                      Case{"=?utf-8?B?Ym9zc0Bjb3JwLmV4YW1wbGU=?=", " !"}, Case{"=?utf-8?Q?boss=40corp.example?=", " !"},
                      Case{"=?utf-8?Q?boss@corp.example?=", " !"},
                      Case{"=?utf-8?Q?boss@corp.example?= <a@b>", "boss@corp.example|a|b !"},
                      Case{"=?utf-8?Q?a=2C?= b@c", "a,|b|c !"}, Case{"<=?utf-8?Q?boss=40corp.example?=>", " !"},
                      // Undecoded, the word is an ordinary local part.
                      Case{"<=?utf-8?Q?x?=@evil.example>", "|=?utf-8?Q?x?=|evil.example !"},
                      Case{"=?utf-8?Q?a=0D=0ABcc=3A_x=40y?= <a@b>", "a Bcc: x@y|a|b"}));

INSTANTIATE_TEST_SUITE_P(
    Broken, AddressTable,
    ::testing::Values(
        Case{"root", "|root| !"}, Case{"root (Cron Daemon)", "Cron Daemon|root| !"}, Case{"John Doe", " !"},
        Case{"\"John Doe\"", " !"}, Case{"John Doe a@b", "John Doe|a|b !"}, Case{"a@b c@d", "|a|b ; |c|d !"},
        Case{"a@b; c@d", "|a|b ; |c|d !"}, Case{"<a@b> <c@d>", "|a|b ; |c|d !"}, Case{"<a@b", "|a|b !"},
        Case{"<a@b, c@d", "|a|b ; |c|d !"}, Case{"a@b>", "|a|b !"}, Case{"<<a@b>>", "|a|b !"},
        Case{"<a@b<c@d>", "|a|b ; |c|d !"}, Case{"boss@corp.example <a@b>", "boss@corp.example|a|b !"},
        Case{"N <a@b> c@d", "N|a|b ; |c|d !"}, Case{"<>", " !"}, Case{"N <>, c@d", "|c|d !"}, Case{"@b", " !"},
        Case{"a@", " !"}, Case{"<@b>", " !"}, Case{"a@b@c", "|a@b|c !"}, Case{".a@b", "|.a|b !"},
        Case{"a..b@c", "|a..b|c !"}, Case{"a.@c", "|a.|c !"}, Case{"a@c.", "|a|c. !"}, Case{"a@.c", "|a|.c !"},
        Case{"\"open <a@b>, c@d", "open|a|b ; |c|d !"}, Case{"(open <a@b>, c@d", "open|a|b ; |c|d !"},
        Case{"a@b)", "|a|b !"}, Case{"a@[1.2.3.4", "|a|1.2.3.4 !"}, Case{"N [x] <a@b>", "N [x]|a|b"},
        Case{"G: a@b", "|a|b|G !"}, Case{"G: H: a@b;", "|a|b|H !"}, Case{":a@b;", "|a|b !"},
        Case{"<mailto:a@b>", "|a|b !"}, Case{"<@r, a@b>", "|a|b !"}, Case{"a\\@b@c", "|a@b|c !"}, Case{"a b\\", " !"},
        Case{std::string("a\0b@c", 5), "|ab|c !"}, Case{"a\x01@b", "|a|b !"}, Case{"\xFF@b", "|\xEF\xBF\xBD|b !"},
        Case{"\"a\"b@c", "|ab|c !"}, Case{"a@\"b,c\"", " !"}, Case{"a@b\\,c", " !"}, Case{"a@[b\\]c]", " !"},
        Case{"a@[b@c]", " !"}, Case{"<a b@c>", "|b|c !"}));

TEST(AddressList, TheCapIsExact) {
  EXPECT_EQ(dump("a@b,c@d,e@f", 3), "|a|b ; |c|d ; |e|f");
  EXPECT_EQ(dump("a@b,c@d,e@f", 2), "|a|b ; |c|d +");
  EXPECT_EQ(dump("a@b", 0), " +");
  EXPECT_EQ(dump("", 0), "");
}

// Each of these would take minutes with a reader that looks back or ahead more than once.
TEST(AddressList, IsLinear) {
  constexpr size_t kCount = 500000;
  const auto repeat = [](std::string_view unit, size_t count = 200000) {
    std::string text;
    text.reserve(unit.size() * count);
    for (size_t i = 0; i < count; ++i) text += unit;
    return text;
  };
  const std::clock_t before = std::clock();
  const AddressList many = parse_address_list(repeat("name <user@example.org>, ", kCount), 10000);
  EXPECT_EQ(many.mailboxes.size(), 10000u);
  EXPECT_TRUE(many.truncated);
  for (const char* unit :
       {"(", "((", ")", "()", "\"", "\"\\", "\\\"", "[",   "[a",     "<",  ">",  "<>",         ",",   ";",
        ":", "@",  ".", "a ", "a.", "a@",   "a@b ", "(\\", "\"a\" ", "<@", "<a", "=?a?q?b?= ", "x:;", "\x80"}) {
    parse_address_list(repeat(unit), 10000);
    parse_address_list("\"" + repeat(unit) + "@", 10000);
  }
  parse_address_list(std::string(kCount, '(') + std::string(kCount, ')') + "a@b", 10);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 60.0);
}

TEST(AddressList, DeepCommentsAreComments) {
  const std::string deep = std::string(100000, '(') + "x" + std::string(100000, ')');
  EXPECT_EQ(parse_address_list("a" + deep + "@b", 10).mailboxes.at(0).local, "a");
  EXPECT_FALSE(parse_address_list("a" + deep + "@b", 10).malformed);
}

TEST(AddrSpec, IsQuotedWhereItMustBe) {
  const auto spec = [](const char* local, const char* domain) {
    return Mailbox{.display = "", .local = local, .domain = domain, .group = ""}.addr_spec();
  };
  EXPECT_EQ(spec("a.b", "c"), "a.b@c");
  EXPECT_EQ(spec("a b", "c"), "\"a b\"@c");
  EXPECT_EQ(spec("", "c"), "\"\"@c");
  EXPECT_EQ(spec("a@b", "c"), "\"a@b\"@c");
  EXPECT_EQ(spec("a\"b\\c", "d"), "\"a\\\"b\\\\c\"@d");
  EXPECT_EQ(spec("a..b", "c"), "\"a..b\"@c");
  EXPECT_EQ(spec("j\xC3\xB6rg", "c"), "j\xC3\xB6rg@c");
  EXPECT_EQ(spec("root", ""), "root");
}

TEST(ParsePath, TakesWhatAnMtaHandsOver) {
  const std::pair<const char*, const char*> good[] = {{"<a@b>", "a@b"},
                                                      {"a@b", "a@b"},
                                                      {"<>", ""},
                                                      {"", ""},
                                                      {" <a@b> ", "a@b"},
                                                      {"<@r1,@r2:a@b>", "a@b"},
                                                      {"<postmaster>", "postmaster"},
                                                      {"<\"a b\"@c>", "\"a b\"@c"},
                                                      {"<\"a>b\"@c>", "\"a>b\"@c"},
                                                      {"<a@[IPv6:::1]>", "a@[IPv6:::1]"},
                                                      {"<j\xC3\xB6rg@b>", "j\xC3\xB6rg@b"},
                                                      {"<\"a\\\"b\"@c>", "\"a\\\"b\"@c"}};
  for (const auto& [path, want] : good) {
    const auto got = parse_path(path);
    ASSERT_TRUE(got) << path;
    EXPECT_EQ(*got, want);
  }
}

TEST(ParsePath, RefusesWhatIsNoPath) {
  for (const std::string& path :
       {std::string("<a@b"), std::string("<"), std::string("<a@b>, <c@d>"), std::string("a@b c@d"),
        std::string("a,b@c"), std::string("<a\r\n@b>"), std::string("<a\0@b>", 7), std::string("<a\x7f@b>"),
        std::string("<\"a@b>"), std::string("<a\t@b>"), std::string("<@r>"), std::string("<@r:>"), std::string("<@b>"),
        std::string("<a@>"), std::string("<<a@b>>"), std::string("a@b\\"), std::string(3000, 'a') + "@b"}) {
    const auto got = parse_path(path);
    ASSERT_FALSE(got) << base::escape_for_log(path);
    EXPECT_EQ(got.error().cause(), base::Cause::malformed);
  }
}

TEST(AddrSpec, IsCutAtItsLastAt) {
  EXPECT_EQ(domain_of("a@B.Example"), "b.example");
  EXPECT_EQ(domain_of("\"a@b\"@C"), "c");
  EXPECT_EQ(domain_of("\"a@b\""), "");
  EXPECT_EQ(domain_of("root"), "");
  EXPECT_EQ(domain_of(""), "");
  EXPECT_EQ(local_of("a@b"), "a");
  EXPECT_EQ(local_of("\"a@b\"@c"), "\"a@b\"");
  EXPECT_EQ(local_of("\"a@b\""), "\"a@b\"");
  EXPECT_EQ(local_of("root"), "root");
}

}  // namespace
}  // namespace postern::message

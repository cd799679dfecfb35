// SPDX-License-Identifier: Apache-2.0
// Templates: what is escaped where, what is refused at load; server addresses.
#include "engine/directory/ldap_filter.h"

#include <gtest/gtest.h>

#include "engine/directory/directory.h"

namespace postern::directory {
namespace {

using std::string_literals::operator""s;

std::string filter(std::string_view text, const Values& values) {
  auto made = QueryTemplate::filter(text);
  return made ? made->expand(values) : "error: " + made.error().text();
}

std::string dn(std::string_view text, const Values& values) {
  auto made = QueryTemplate::dn(text);
  return made ? made->expand(values) : "error: " + made.error().text();
}

TEST(LdapFilter, ExpandsEachTokenOnce) {
  const Values values{"{u}@{d}", "{u}", "{d}", "cn=x,dc=y", "{a}", "%s"};
  EXPECT_EQ(filter("(mail={a})", values), "(mail={u}@{d})");
  EXPECT_EQ(filter("(&(uid={u})(o={d})(member={dn})(cn={g})(x={f}))", values),
            "(&(uid={u})(o={d})(member=cn=x,dc=y)(cn={a})(x=%s))");
}

TEST(LdapFilter, EscapesByPlace) {
  const std::string hostile = "*)(uid=*\\\0\xc3\xbc,"s;
  const Values values{hostile, hostile, hostile, "cn=a\\2cb,dc=(y)", hostile, hostile};
  EXPECT_EQ(filter("(mail={a})", values), "(mail=\\2a\\29\\28uid=\\2a\\5c\\00\\c3\\bc,)");
  EXPECT_EQ(filter("(member=uid={u},dc=x)", values),
            "(member=uid=\\2a\\29\\28uid\\5c3d\\2a\\5c5c\\5c00\\5cc3\\5cbc\\5c2c,dc=x)");
  EXPECT_EQ(filter("(member={dn})", values), "(member=cn=a\\5c2cb,dc=\\28y\\29)");
  EXPECT_EQ(dn("uid={u},dc=x", values), "uid=*)(uid\\3d*\\5c\\00\\c3\\bc\\2c,dc=x");
  EXPECT_EQ(dn("{dn}", values), "cn=a\\2cb,dc=(y)");
  EXPECT_EQ(dn("ou={d},dc=x", {"", "", " #a ", "", "", ""}), "ou=\\20#a\\20,dc=x");
  EXPECT_EQ(escape_dn("#x"), "\\23x");
}

TEST(LdapFilter, RefusesWhatIsNoFilter) {
  const struct {
    std::string_view text;
    std::string_view error;
  } rows[] = {
      {"mail={a}", "'(' is expected at character 1"},
      {"(mail={a}", "')' is missing at character 8"},
      {"(mail={x})", "{a}, {u}, {d}, {dn}, {g} or {f} is expected; as a character write \\7b at character 7"},
      {"(mail={a", "{a}, {u}, {d}, {dn}, {g} or {f} is expected; as a character write \\7b at character 7"},
      {"(mail=a})", "'}' without '{'; as a character write \\7d at character 8"},
      {"({a}=x)", "a value may stand only behind an attribute and '=' at character 2"},
      {"(=x)", "an attribute's name is missing at character 2"},
      {"(mail)", "an attribute, an operator and a value are expected at character 6"},
      {"(&)", "a filter is expected at character 3"},
      {"(!(a=b)(c=d))", "'!' takes one filter at character 8"},
      {"(a=b)(c=d)", "something stands behind the filter at character 6"},
      {"(a=\\2)", "two hexadecimal digits are expected after '\\' at character 4"},
      {"(a=\\{u})", "two hexadecimal digits are expected after '\\' at character 4"},
      {"", "')' is missing at character 1"},
  };
  for (const auto& row : rows) {
    const auto made = QueryTemplate::filter(row.text);
    ASSERT_FALSE(made.has_value()) << row.text;
    EXPECT_EQ(made.error().text(), row.error) << row.text;
  }
  EXPECT_FALSE(QueryTemplate::dn("{u},dc=x").has_value());
  EXPECT_TRUE(QueryTemplate::dn("{g}").has_value());
  std::string deep;
  for (int i = 0; i < 60; ++i) deep += "(!";
  EXPECT_FALSE(QueryTemplate::filter(deep + "(a=b)" + std::string(60, ')')).has_value());
}

TEST(LdapFilter, ReadsStructure) {
  const auto shape = read_filter("(&(|(a=1)(b>=2*))(!(c:1.2.3:=\\2a)))");
  ASSERT_TRUE(shape.has_value());
  EXPECT_EQ(shape->structure, "(&(|()())(!()))");
  ASSERT_EQ(shape->assertions.size(), 3u);
  EXPECT_EQ(shape->assertions[1].attribute, "b>=");
  EXPECT_EQ(shape->assertions[1].wildcards, 1u);
  EXPECT_EQ(shape->assertions[2].attribute, "c:1.2.3:=");
  EXPECT_EQ(shape->assertions[2].value, "*");
  EXPECT_EQ(shape->assertions[2].wildcards, 0u);
}

TEST(ServerUrl, ReadsAddresses) {
  const auto ldap = read_server_url("ldap://ldap.example.org");
  ASSERT_TRUE(ldap.has_value());
  EXPECT_EQ(ldap->host, "ldap.example.org");
  EXPECT_EQ(ldap->port, 389);
  const auto ldaps = read_server_url("ldaps://[2001:db8::1]:1636/");
  ASSERT_TRUE(ldaps.has_value());
  EXPECT_EQ(ldaps->host, "2001:db8::1");
  EXPECT_EQ(ldaps->port, 1636);
  const auto local = read_server_url("ldapi://%2Frun%2Fslapd%2Fldapi");
  ASSERT_TRUE(local.has_value());
  EXPECT_EQ(local->host, "/run/slapd/ldapi");
  for (const char* bad : {"", "ldap://", "http://x", "ldap://x:0", "ldap://x:99999", "ldap://x y", "ldap://u@x",
                          "ldapi://relative", "ldapi://%2", "ldap://[::1", "ldap://x/dc=y"}) {
    EXPECT_FALSE(read_server_url(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace postern::directory

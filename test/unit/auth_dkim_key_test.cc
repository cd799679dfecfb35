// SPDX-License-Identifier: Apache-2.0
// Published DKIM records: what is read, what is refused and why, and whether a record is of a key.
#include "engine/auth/dkim_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/auth/dns.h"
#include "test/support/soft_keys.h"

namespace postern::auth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(DkimKey, Records) {
  const auto record =
      parse_key_record(" v=DKIM1 ;\r\n\tk = RSA; h=sha256 : SHA1; s=email; t = y:s; n=x y; z_9=; p=AA\r\n AA; ");
  ASSERT_TRUE(record) << record.error().text();
  EXPECT_EQ(record->type, "rsa");
  EXPECT_EQ(record->key, std::string(3, '\0'));
  EXPECT_THAT(record->hashes, ElementsAre("sha256", "sha1"));
  EXPECT_TRUE(record->testing);
  EXPECT_TRUE(record->strict);
  EXPECT_TRUE(record->allows_hash("sha256"));
  EXPECT_FALSE(record->allows_hash("sha512"));
  EXPECT_TRUE(record->allows_service("email"));
  EXPECT_FALSE(record->allows_service("tlsrpt"));
  const auto least = parse_key_record("p=");
  ASSERT_TRUE(least);
  EXPECT_EQ(least->key, "");
  EXPECT_TRUE(least->allows_hash("sha256") && least->allows_service("email"));
  EXPECT_TRUE(parse_key_record("s=*;p=")->allows_service("email"));
}

TEST(DkimKey, WhatIsNoRecord) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", "no p="},
      {"v=DKIM1; k=rsa", "no p="},
      {"v=spf1 -all", "v= must be DKIM1"},
      {"k=rsa; v=DKIM1; p=", "v= must be DKIM1 and come first"},
      {"v=DKIM2; p=", "v= must be DKIM1"},
      {"p=AAAA; p=AAAA", "p= stands there twice"},
      {"p=AAA", "not base64"},
      {"p=AA=A", "not base64"},
      {"p====", "not base64"},
      {"p=AA*A", "not base64"},
      {"v=DKIM1;;p=", "empty tag"},
      {"v=DKIM1; p", "'p' is no tag"},
      {"v=DKIM1; =x; p=", "is no tag"},
      {"v=DKIM1; 1a=x; p=", "is no tag"},
  };
  for (const auto& [text, why] : cases) {
    const auto record = parse_key_record(text);
    ASSERT_FALSE(record) << text;
    EXPECT_EQ(record.error().cause(), base::Cause::malformed);
    EXPECT_THAT(record.error().text(), HasSubstr(why)) << text;
  }
  EXPECT_FALSE(parse_key_record(std::string(20000, ' ')));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "a" + std::to_string(i) + "=;";
  EXPECT_FALSE(parse_key_record(many + "p="));
}

TEST(DkimKey, RecordsAreComparedWithKeys) {
  test::SoftKeys keys;
  keys.generate("r", crypto::KeyType::rsa);
  keys.generate("r2", crypto::KeyType::rsa);
  keys.generate("e", crypto::KeyType::ed25519);
  keys.generate("e2", crypto::KeyType::ed25519);
  const auto spki = [&](const char* name) { return keys.describe(name, {})->spki; };
  const auto record = [&](const char* name) { return *parse_key_record(keys.record(name)); };
  for (const char* a : {"r", "r2", "e", "e2"}) {
    for (const char* b : {"r", "r2", "e", "e2"}) {
      EXPECT_EQ(holds_key(record(a), spki(b)), std::string_view(a) == b) << a << " " << b;
    }
  }
  // RFC 6376 allows a bare RSAPublicKey too: it is what follows in the SubjectPublicKeyInfo of 2048 bits.
  KeyRecord bare = record("r");
  bare.key = bare.key.substr(24);
  EXPECT_TRUE(holds_key(bare, spki("r")));
  KeyRecord wrong = record("r");
  wrong.type = "ed25519";
  EXPECT_FALSE(holds_key(wrong, spki("r")));
  EXPECT_FALSE(holds_key(record("r"), "junk"));
}

TEST(DkimKey, StringsOfTxtRecords) {
  EXPECT_EQ(txt_strings("").value(), "");
  EXPECT_EQ(txt_strings(std::string_view("\3abc\0\2de", 8)).value(), "abcde");
  EXPECT_FALSE(txt_strings("\4abc"));
}

TEST(Dns, AddressesOfServers) {
  for (const char* good : {"127.0.0.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:5353"}) {
    EXPECT_TRUE(Resolver::create(good)) << good;
  }
  for (const char* bad :
       {"localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "[::1", "[::1]5353", "127.0.0.1:x"}) {
    const auto resolver = Resolver::create(bad);
    ASSERT_FALSE(resolver) << bad;
    EXPECT_EQ(resolver.error().cause(), base::Cause::malformed);
  }
}

}  // namespace
}  // namespace postern::auth

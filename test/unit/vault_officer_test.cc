// SPDX-License-Identifier: Apache-2.0
// Officer passwords: policy, hash lines against OpenSSL's own functions, strict reading, and the life of an attempt.
#include "keystore/officer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "engine/base/text.h"
#include "keystore/encoding.h"
#include "keystore/protocol/protocol.h"
#include "test/unit/vault_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::failed_with;
using test::slurp;
using test::spill;
using test::succeeded;
using test::VaultDirectory;
using testing::HasSubstr;

TEST(VaultOfficer, PasswordPolicy) {
  const std::string umlauts = "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f";  // 4 characters, 8 bytes
  struct Row {
    std::string password;
    const char* complaint;  // empty: accepted
  };
  const Row rows[] = {
      {"correct horse", ""},
      {"correct hors", ""},
      {"correct hor", "shorter than 12 characters"},
      {"", "shorter than 12"},
      {umlauts + umlauts + "ab", "shorter than 12"},
      {umlauts + umlauts + umlauts, ""},
      {std::string(kMaxPassword - 1, 'x') + "y", ""},
      {std::string(kMaxPassword, 'x') + "y", "longer than 1024 bytes"},
      {"aaaaaaaaaaaaaaaa", "one character repeated"},
      {"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4",
       "one character repeated"},
      {"abababababab", ""},
      {"correct\thorse", "control characters"},
      {"correct horse\n", "control characters"},
      {std::string("correct\0horse", 13), "control characters"},
      {"correct\x7fhorse", "control characters"},
      {"correct\xc2\x85horse", "control characters"},
      {"my Postmaster pw", "account name"},
      {"POSTMASTER12345", "account name"},
      {"post master 12345", ""},
  };
  for (const auto& [password, complaint] : rows) {
    const auto checked = check_password_policy(password, "postmaster");
    if (*complaint == '\0') {
      EXPECT_TRUE(succeeded(checked)) << password;
    } else {
      ASSERT_TRUE(failed_with(Cause::malformed, checked)) << password;
      EXPECT_THAT(checked.error().text(), HasSubstr(complaint));
      EXPECT_THAT(checked.error().text(), testing::Not(HasSubstr("correct"))) << "the password is not in the text";
    }
  }
  EXPECT_TRUE(succeeded(check_password_policy("correct horse", "")));
}

TEST(VaultOfficer, ScryptLinesAreWhatOpenSslComputes) {
  const auto line = hash_password("correct horse battery", PasswordHash::scrypt);
  ASSERT_TRUE(succeeded(line));
  const auto fields = base::split(*line, '$');
  ASSERT_EQ(fields.size(), 5u);
  EXPECT_EQ(fields[1], "scrypt");
  EXPECT_EQ(fields[2], "ln=16,r=8,p=1");
  const std::string salt = *from_base64(fields[3], Base64::bare);
  ASSERT_EQ(salt.size(), 16u);
  uint8_t hash[32];
  ASSERT_EQ(EVP_PBE_scrypt("correct horse battery", 21, reinterpret_cast<const uint8_t*>(salt.data()), salt.size(),
                           65536, 8, 1, 128u << 20, hash, sizeof hash),
            1);
  EXPECT_EQ(*from_base64(fields[4], Base64::bare), std::string(reinterpret_cast<char*>(hash), sizeof hash));
  EXPECT_EQ(*verify_password("correct horse battery", *line), true);
  EXPECT_EQ(*verify_password("correct horse batterY", *line), false);
  EXPECT_EQ(*verify_password("", *line), false);
  EXPECT_EQ(*verify_password(std::string(kMaxPassword + 1, 'x'), *line), false);
  EXPECT_NE(*hash_password("correct horse battery", PasswordHash::scrypt), *line) << "a salt of its own each time";
}

TEST(VaultOfficer, Pbkdf2LinesAreWhatOpenSslComputes) {
  const auto line = hash_password("correct horse battery", PasswordHash::pbkdf2);
  ASSERT_TRUE(succeeded(line));
  const auto fields = base::split(*line, '$');
  ASSERT_EQ(fields.size(), 5u);
  EXPECT_EQ(fields[1], "pbkdf2-sha256");
  EXPECT_EQ(fields[2], "i=600000");
  const std::string salt = *from_base64(fields[3], Base64::bare);
  uint8_t hash[32];
  ASSERT_EQ(PKCS5_PBKDF2_HMAC("correct horse battery", 21, reinterpret_cast<const uint8_t*>(salt.data()),
                              static_cast<int>(salt.size()), 600000, EVP_sha256(), sizeof hash, hash),
            1);
  EXPECT_EQ(*from_base64(fields[4], Base64::bare), std::string(reinterpret_cast<char*>(hash), sizeof hash));
  EXPECT_EQ(*verify_password("correct horse battery", *line), true);
  EXPECT_EQ(*verify_password("correct horse", *line), false);
}

TEST(VaultOfficer, HashLinesAreReadStrictly) {
  const std::string salt = "AAAAAAAAAAAAAAAAAAAAAA";
  const std::string hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  const std::string good = "$scrypt$ln=15,r=8,p=1$" + salt + "$" + hash;
  EXPECT_EQ(*verify_password("x", good), false);
  EXPECT_EQ(*verify_password("x", "$scrypt$ln=17,r=8,p=1$" + salt + "$" + hash), false);
  const std::string bad[] = {
      "",
      "$",
      "$$$$",
      good + "\n",
      " " + good,
      good + "$",
      good + "=",
      "x" + good,
      "$scrypt$ln=14,r=8,p=1$" + salt + "$" + hash,
      "$scrypt$ln=18,r=8,p=1$" + salt + "$" + hash,
      "$scrypt$ln=63,r=8,p=1$" + salt + "$" + hash,
      "$scrypt$ln=4294967311,r=8,p=1$" + salt + "$" + hash,
      "$scrypt$ln=015,r=8,p=1$" + salt + "$" + hash,
      "$scrypt$ln=+15,r=8,p=1$" + salt + "$" + hash,
      "$scrypt$ln=,r=8,p=1$" + salt + "$" + hash,
      "$scrypt$ln=15,r=9,p=1$" + salt + "$" + hash,
      "$scrypt$ln=15,r=8,p=2$" + salt + "$" + hash,
      "$scrypt$r=8,ln=15,p=1$" + salt + "$" + hash,
      "$scrypt$ln=15,r=8$" + salt + "$" + hash,
      "$scrypt$i=600000$" + salt + "$" + hash,
      "$SCRYPT$ln=15,r=8,p=1$" + salt + "$" + hash,
      "$argon2id$ln=15,r=8,p=1$" + salt + "$" + hash,
      "$pbkdf2-sha256$i=599999$" + salt + "$" + hash,
      "$pbkdf2-sha256$i=10000001$" + salt + "$" + hash,
      "$pbkdf2-sha256$i=-1$" + salt + "$" + hash,
      "$scrypt$ln=15,r=8,p=1$" + salt + "A$" + hash,
      "$scrypt$ln=15,r=8,p=1$" + salt.substr(4) + "$" + hash,
      "$scrypt$ln=15,r=8,p=1$" + salt + "$" + hash.substr(4),
      "$scrypt$ln=15,r=8,p=1$$" + hash,
      "$scrypt$ln=15,r=8,p=1$" + salt + "$",
      "$scrypt$ln=15,r=8,p=1$" + salt.substr(1) + "B$" + hash,
      "$scrypt$ln=15,r=8,p=1$" + salt + "$" + hash + std::string(300, '$'),
  };
  for (const std::string& line : bad) EXPECT_TRUE(failed_with(Cause::malformed, verify_password("x", line))) << line;
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_TRUE(failed_with(Cause::malformed, verify_password("x", good.substr(0, i))));
  }
}

class VaultAttempt : public testing::Test {
 protected:
  static constexpr std::string_view kRight = "correct horse battery";
  static constexpr std::string_view kWrong = "correct horse buttery";

  void SetUp() override {
    auto directory = StateDirectory::open(place_.path());
    ASSERT_TRUE(succeeded(directory));
    ASSERT_TRUE(failed_with(Cause::denied, attempt(*directory, kRight))) << "uninitialised: there is no officer";
    ASSERT_TRUE(succeeded(store_password(*directory, kRight, PasswordHash::scrypt)));
    ASSERT_TRUE(succeeded(directory->set_durable(Condition::operational)));
  }
  // Each attempt by a process of its own.
  Attempt try_once(std::string_view password) {
    auto directory = StateDirectory::open(place_.path());
    EXPECT_TRUE(succeeded(directory));
    const auto outcome = attempt(*directory, password);
    EXPECT_TRUE(succeeded(outcome));
    return outcome.value_or(Attempt{});
  }

  VaultDirectory place_;
};

TEST_F(VaultAttempt, ThreeInARowAndNeverAFourth) {
  const Attempt first = try_once(kWrong);
  EXPECT_FALSE(first.accepted || first.zeroise);
  EXPECT_EQ(first.failures, 1u);
  EXPECT_EQ(first.left, 2u);
  EXPECT_EQ(first.delay_seconds, 1u);
  const Attempt second = try_once(kWrong);
  EXPECT_FALSE(second.accepted || second.zeroise);
  EXPECT_EQ(second.failures, 2u);
  EXPECT_EQ(second.left, 1u);
  EXPECT_EQ(second.delay_seconds, 5u);
  const Attempt third = try_once(kWrong);
  EXPECT_FALSE(third.accepted);
  EXPECT_TRUE(third.zeroise);
  EXPECT_EQ(third.left, 0u);
  // The process died before it could zeroise.
  const Attempt fourth = try_once(kRight);
  EXPECT_FALSE(fourth.accepted) << "not looked at";
  EXPECT_TRUE(fourth.zeroise);
  EXPECT_EQ(fourth.failures, 3u);
  EXPECT_EQ(fourth.left, 0u);
}

TEST_F(VaultAttempt, ARightOneSetsTheCountBack) {
  for (int round = 0; round < 2; ++round) {
    try_once(kWrong);
    EXPECT_EQ(try_once(kWrong).failures, 2u);
    const Attempt right = try_once(kRight);
    EXPECT_TRUE(right.accepted);
    EXPECT_FALSE(right.zeroise);
    EXPECT_EQ(right.failures, 0u);
    EXPECT_EQ(right.left, kMaxFailures);
    EXPECT_EQ(right.delay_seconds, 0u);
  }
}

TEST_F(VaultAttempt, DeletingTheCounterLeavesOneAttempt) {
  ASSERT_EQ(unlink((place_ / "failures").c_str()), 0);
  EXPECT_TRUE(try_once(kRight).accepted);
  EXPECT_EQ(try_once(kWrong).failures, 1u);
  ASSERT_EQ(unlink((place_ / "failures").c_str()), 0);
  const Attempt last = try_once(kWrong);
  EXPECT_TRUE(last.zeroise);
}

TEST_F(VaultAttempt, WhatCannotBeJudgedIsNotCounted) {
  const std::string line = slurp(place_ / "officer");
  spill(place_ / "officer", line + "x");
  {
    auto directory = StateDirectory::open(place_.path());
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(failed_with(Cause::malformed, attempt(*directory, kRight)));
    ASSERT_EQ(unlink((place_ / "officer").c_str()), 0);
    EXPECT_TRUE(failed_with(Cause::not_found, attempt(*directory, kRight)));
  }
  spill(place_ / "officer", line);
  EXPECT_EQ(try_once(kWrong).failures, 1u);
}

TEST_F(VaultAttempt, NoneWhileZeroisingOrZeroised) {
  auto directory = StateDirectory::open(place_.path());
  ASSERT_TRUE(succeeded(directory->mark(Secret("pin"))));
  EXPECT_TRUE(failed_with(Cause::denied, attempt(*directory, kRight)));
  ASSERT_TRUE(succeeded(directory->destroy_rest()));
  ASSERT_TRUE(succeeded(directory->finish()));
  EXPECT_TRUE(failed_with(Cause::denied, attempt(*directory, kRight)));
}

}  // namespace
}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// Self-tests pass on a sound library and token, leave nothing behind, and each one fails, alone, when its known answer
// is falsified. Pairwise tests notice halves that do not belong together.
#include "keystore/selftest.h"

#include "token_fixture.h"

namespace postern::keystore {
namespace {

using x509::KeyType;

TEST(SelfTest, WithoutATokenTheLibrarysAreRun) {
  auto results = run_self_tests(nullptr, nullptr, "", {});
  EXPECT_GE(results.size(), 10u);
  EXPECT_LT(results.size(), self_test_names().size());
  for (const SelfTestResult& result : results) {
    EXPECT_TRUE(result.passed) << result.name << ": " << result.detail;
    EXPECT_EQ(result.approved, result.name != "scrypt");
  }
}

class SelfTestOnToken : public TokenTest {};

TEST_F(SelfTestOnToken, EachFailsAloneWhenItsKnownAnswerIsFalsified) {
  open_token();
  auto all = self_test_names();
  std::vector<std::string_view> corrupted = {""};
  corrupted.insert(corrupted.end(), all.begin(), all.end());
  for (std::string_view corrupt : corrupted) {
    SCOPED_TRACE(corrupt);
    auto results = run_self_tests(token_.get(), session_.get(), corrupt, {KeyType::rsa, KeyType::ed25519});
    ASSERT_EQ(results.size(), all.size());
    for (const SelfTestResult& result : results) {
      EXPECT_EQ(result.passed, result.name != corrupt) << result.name << ": " << result.detail;
      EXPECT_EQ(result.detail.empty(), result.passed);
    }
  }
  EXPECT_TRUE(token_->strangers({})->empty());
  EXPECT_EQ(token_->reopened(), 0u);
}

TEST_F(SelfTestOnToken, PairwiseTestsPassForEveryTypeAndFailForAnotherPublicHalf) {
  open_token();
  for (KeyType type : {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519}) {
    SCOPED_TRACE(x509::key_type_name(type));
    auto key = token_->generate(key_id(1), "k", type, 2048, false);
    ASSERT_TRUE(key);
    EXPECT_TRUE(pairwise_test(*token_, *session_, *key));
    KeyRef other = *key;
    other.spki = read_pkcs8(*make_pkcs8(type, 2048))->pub.spki();
    EXPECT_FALSE(pairwise_test(*token_, *session_, other));
    EXPECT_TRUE(pairwise_test(*token_, *session_, *key));
    ASSERT_TRUE(token_->destroy(key_id(1)));
  }
}

}  // namespace
}  // namespace postern::keystore

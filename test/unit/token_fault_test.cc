// SPDX-License-Identifier: Apache-2.0
// Every call of every function that an operation makes fails once, and from then on, with every device error. The
// result is right or `unavailable`, nothing is left behind, and the token works again as soon as the fault is gone.
#include "token_fault_fixture.h"

namespace postern::keystore {
namespace {

using base::Cause;
using x509::KeyType;

TEST_F(TokenFaultTest, SigningSurvivesEveryFault) {
  const KeyRef& key = keys_[0];
  auto sign = [&]() -> std::optional<base::Error> {
    auto signature = token_->sign(*session_, key, algorithm_of(key.type), hash_of(key.type), input_);
    if (signature) {
      EXPECT_TRUE(verifies(key, algorithm_of(key.type), hash_of(key.type), input_, *signature));
    }
    return error_of(signature);
  };
  // From a fresh session and an empty cache, so that the search and the proof are swept too.
  auto fresh = [&]() -> std::optional<base::Error> {
    session_ = token_->session();
    if (auto found = token_->find(key); !found) return found.error();
    return sign();
  };
  sweep(kDeviceErrors, sign, {"once", "always"}, [](const std::string&) {});
  sweep(kDeviceErrors, fresh, {"once", "always"}, [](const std::string&) {});
  RecordProperty("cases", cases_);
}

TEST_F(TokenFaultTest, ASignatureIsTriedOnceMore) {
  const KeyRef& key = keys_[2];
  for (const char* function : {"C_SignInit", "C_Sign"}) {
    for (CK_RV rv : kDeviceErrors) {
      if (rv == CKR_DEVICE_MEMORY) continue;  // passes by itself
      control(fmt::format("fail {} 1 0x{:x} once", function, rv));
      signs(key);
      control(fmt::format("fail {} 1 0x{:x} always", function, rv));
      auto signature = token_->sign(*session_, key, algorithm_of(key.type), hash_of(key.type), input_);
      ASSERT_FALSE(signature);
      EXPECT_EQ(signature.error().cause(), Cause::unavailable);
      EXPECT_EQ(calls(function), 2u) << function << " " << rv;
      control("");
      signs(key);
    }
  }
}

// After a start every key is looked for once; signatures must not wait for a search again.
TEST_F(TokenFaultTest, AKeyThatWasFoundSignsWithoutASearch) {
  token_->forget();
  ASSERT_TRUE(token_->login(user_pin_));
  ASSERT_TRUE(token_->find(keys_[0]));
  control(fmt::format("fail C_FindObjectsInit 1 0x{:x} always", CKR_DEVICE_ERROR));
  signs(keys_[0]);
  EXPECT_EQ(calls("C_FindObjectsInit"), 0u);
  control("");
}

TEST_F(TokenFaultTest, DecryptionSurvivesEveryFault) {
  std::string cipher(256, '\0');
  cipher[255] = 2;
  auto reference = token_->decrypt_raw(*session_, keys_[2], cipher);
  ASSERT_TRUE(reference);
  auto decrypt = [&] {
    auto out = token_->decrypt_raw(*session_, keys_[2], cipher);
    if (out) {
      EXPECT_EQ(out->view(), reference->view());
    }
    return error_of(out);
  };
  sweep(kDeviceErrors, decrypt, {"once", "always"}, [](const std::string&) {});
}

TEST_F(TokenFaultTest, LoggingInSurvivesEveryFault) {
  auto login = [&] {
    token_->forget();
    return error_of(token_->login(user_pin_));
  };
  // Afterwards keys work at once: what was `unavailable` at login is made up for by itself.
  sweep(kDeviceErrors, login, {"once", "always"}, [](const std::string&) {});
}

}  // namespace
}  // namespace postern::keystore

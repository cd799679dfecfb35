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
  sweep(sign, {"once", "always"}, [](const std::string&) {});
  sweep(fresh, {"once", "always"}, [](const std::string&) {});
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
  sweep(decrypt, {"once", "always"}, [](const std::string&) {});
}

TEST_F(TokenFaultTest, LoggingInSurvivesEveryFault) {
  auto login = [&] {
    token_->forget();
    return error_of(token_->login(user_pin_));
  };
  // Afterwards keys work at once: what was `unavailable` at login is made up for by itself.
  sweep(login, {"once", "always"}, [](const std::string&) {});
}

TEST_F(TokenFaultTest, GeneratingSurvivesEveryFaultAndLeavesNothing) {
  const KeyId id = key_id(77);
  std::optional<KeyRef> made;
  auto generate = [&] {
    auto key = token_->generate(id, "new", KeyType::ec_p256, 0, false);
    // Used as soon as it is there, the fault or not: a key that was given out is a key.
    if (key) {
      EXPECT_EQ(key->type, KeyType::ec_p256);
    }
    made = key ? std::optional(*key) : std::nullopt;
    return error_of(key);
  };
  sweep(generate, {"once", "after", "always"}, [&](const std::string& mode) {
    if (made) signs(*made);
    // A fault that stays does not let the remains be destroyed; then their owner does so later.
    if (!mode.empty() && mode != "always") {
      EXPECT_TRUE(token_->strangers(known_)->empty());
    }
    EXPECT_TRUE(token_->destroy(id));
    EXPECT_TRUE(token_->strangers(known_)->empty());
  });
}

TEST_F(TokenFaultTest, ImportingSurvivesEveryFaultAndLeavesNothing) {
  const KeyId id = key_id(77);
  auto pkcs8 = make_pkcs8(KeyType::ed25519, 0);
  ASSERT_TRUE(pkcs8);
  const std::string spki = read_pkcs8(*pkcs8)->pub.spki();
  auto import = [&] {
    auto key = token_->import(id, "new", *pkcs8, true);
    if (key) {
      EXPECT_EQ(key->spki, spki);
    }
    return error_of(key);
  };
  sweep(import, {"once", "after", "always"}, [&](const std::string& mode) {
    if (!mode.empty() && mode != "always") {
      EXPECT_TRUE(token_->strangers(known_)->empty());
    }
    EXPECT_TRUE(token_->destroy(id));
  });
}

TEST_F(TokenFaultTest, WrappingAndDestroyingSurviveEveryFault) {
  auto wrap = [&] {
    auto pkcs8 = token_->wrap(keys_[0]);
    if (pkcs8) {
      EXPECT_EQ(read_pkcs8(*pkcs8)->pub.spki(), keys_[0].spki);
    }
    return error_of(pkcs8);
  };
  sweep(wrap, {"once", "always"}, [](const std::string&) {});
  const KeyId id = key_id(77);
  auto pkcs8 = make_pkcs8(KeyType::ec_p256, 0);
  ASSERT_TRUE(token_->import(id, "doomed", *pkcs8, true));
  auto destroy = [&] { return error_of(token_->destroy(id)); };
  sweep(destroy, {"once", "after", "always"}, [&](const std::string&) {
    EXPECT_TRUE(token_->destroy(id));
    EXPECT_TRUE(token_->strangers(known_)->empty());
    ASSERT_TRUE(token_->import(id, "doomed", *pkcs8, true));
  });
}

TEST_F(TokenFaultTest, InitialisingAndErasingSurviveEveryFault) {
  keys_.clear();
  sweep([&] { return error_of(token_->initialise(so_pin_, user_pin_)); }, {"once", "after", "always"},
        [&](const std::string&) {
          ASSERT_TRUE(token_->initialise(so_pin_, user_pin_));
          ASSERT_TRUE(token_->login(user_pin_));
        });
  sweep([&] { return error_of(token_->erase(so_pin_)); }, {"once", "after", "always"},
        [&](const std::string&) {
          ASSERT_TRUE(token_->erase(so_pin_));
          EXPECT_EQ(token_->login(user_pin_).error().cause(), Cause::denied);
        });
}

}  // namespace
}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// As token_fault_test.cc, for what makes, gives back and destroys keys and erases tokens: whatever fails, no object is
// left behind that its owner cannot destroy, and no key is given out that is none.
#include "token_fault_fixture.h"

namespace postern::keystore {
namespace {

using base::Cause;
using x509::KeyType;

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
  sweep(kKindsOfErrors, generate, {"once", "after", "always"}, [&](const std::string& mode) {
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
  sweep(kKindsOfErrors, import, {"once", "after", "always"}, [&](const std::string& mode) {
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
  sweep(kKindsOfErrors, wrap, {"once", "always"}, [](const std::string&) {});
  const KeyId id = key_id(77);
  auto pkcs8 = make_pkcs8(KeyType::ec_p256, 0);
  ASSERT_TRUE(token_->import(id, "doomed", *pkcs8, true));
  auto destroy = [&] { return error_of(token_->destroy(id)); };
  sweep(kKindsOfErrors, destroy, {"once", "after", "always"}, [&](const std::string&) {
    EXPECT_TRUE(token_->destroy(id));
    EXPECT_TRUE(token_->strangers(known_)->empty());
    ASSERT_TRUE(token_->import(id, "doomed", *pkcs8, true));
  });
}

TEST_F(TokenFaultTest, InitialisingAndErasingSurviveEveryFault) {
  keys_.clear();
  sweep(
      kKindsOfErrors, [&] { return error_of(token_->initialise(so_pin_, user_pin_)); }, {"once", "after", "always"},
      [&](const std::string&) {
        ASSERT_TRUE(token_->initialise(so_pin_, user_pin_));
        ASSERT_TRUE(token_->login(user_pin_));
      });
  sweep(
      kKindsOfErrors, [&] { return error_of(token_->erase(so_pin_, {})); }, {"once", "after", "always"},
      [&](const std::string&) {
        ASSERT_TRUE(token_->erase(so_pin_, {}));
        EXPECT_EQ(token_->login(user_pin_).error().cause(), Cause::denied);
      });
}

}  // namespace
}  // namespace postern::keystore

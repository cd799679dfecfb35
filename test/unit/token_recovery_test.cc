// SPDX-License-Identifier: Apache-2.0
// What happens to a token in operation: taken out and put back, sessions lost, another key in a key's place, PIN
// counters near their end, and all of it while threads sign.
#include <atomic>
#include <thread>

#include "keystore/token/gate.h"
#include "token_fault_fixture.h"

namespace postern::keystore {
namespace {

using base::Cause;
using x509::KeyType;

std::string hex(const KeyId& id) {
  std::string out;
  for (uint8_t byte : id) out += fmt::format("{:02x}", byte);
  return out;
}

TEST(Gate, LetsManyInOrOneAlone) {
  Gate gate;
  auto now = [] { return Gate::Clock::now(); };
  ASSERT_TRUE(gate.enter(now()));
  ASSERT_TRUE(gate.enter(now()));
  EXPECT_FALSE(gate.close(now()));
  gate.leave();
  EXPECT_FALSE(gate.close(now()));
  gate.leave();
  ASSERT_TRUE(gate.close(now()));
  EXPECT_FALSE(gate.enter(now()));
  EXPECT_FALSE(gate.close(now()));
  gate.open();
  EXPECT_TRUE(gate.enter(now()));
  std::thread closer([&] {
    ASSERT_TRUE(gate.close(now() + std::chrono::minutes(5)));
    gate.open();
  });
  // The closer waits; nobody else gets in before it, however many come.
  while (gate.enter(now())) gate.leave();
  gate.leave();
  closer.join();
  EXPECT_TRUE(gate.enter(now()));
  gate.leave();
}

class TokenRecoveryTest : public TokenFaultTest {
 protected:
  base::Result<std::string> sign(const KeyRef& key) {
    return token_->sign(*session_, key, algorithm_of(key.type), hash_of(key.type), input_);
  }
};

TEST_F(TokenRecoveryTest, ATokenThatIsPutBackIsUsedAgainWithoutALogin) {
  for (int round = 0; round < 3; ++round) {
    control("removed");
    EXPECT_FALSE(token_->present());
    for (const KeyRef& key : keys_) {
      auto out = sign(key);
      ASSERT_FALSE(out);
      EXPECT_EQ(out.error().cause(), Cause::unavailable) << out.error().text();
    }
    EXPECT_EQ(token_->find(keys_[0]).error().cause(), Cause::unavailable);
    EXPECT_EQ(token_->generate(key_id(9), "k", KeyType::ec_p256, 0, false).error().cause(), Cause::unavailable);
    EXPECT_EQ(token_->destroy(key_id(9)).error().cause(), Cause::unavailable);
    control("");
    works();
    EXPECT_TRUE(token_->present());
  }
  EXPECT_GE(token_->reopened(), 3u);
}

TEST_F(TokenRecoveryTest, APresentTokenIsOpenedByAskingForIt) {
  control("removed");
  EXPECT_FALSE(sign(keys_[0]));
  control("");
  EXPECT_TRUE(token_->present());
  uint64_t reopened = token_->reopened();
  works();
  EXPECT_EQ(token_->reopened(), reopened);
}

TEST_F(TokenRecoveryTest, AnAbsentTokenIsNotHammered) {
  TearDown();
  directory_.options().retry = std::chrono::hours(1);
  auto opened = Token::open(directory_.options());
  ASSERT_TRUE(opened);
  token_ = std::move(*opened);
  ASSERT_TRUE(token_->login(user_pin_));
  session_ = token_->session();
  works();
  control("removed");
  EXPECT_FALSE(sign(keys_[0]));
  unsigned long made = calls("*");
  for (int i = 0; i < 1000; ++i) {
    auto out = sign(keys_[0]);
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().cause(), Cause::unavailable);
  }
  EXPECT_EQ(calls("*"), made);
  EXPECT_EQ(token_->reopened(), 1u);
}

TEST_F(TokenRecoveryTest, ALostSessionCostsANewOneAndNotTheModule) {
  control("fail C_Sign 1 0xb3 once");  // CKR_SESSION_HANDLE_INVALID
  signs(keys_[0]);
  EXPECT_EQ(calls("C_Initialize"), 0u);
  EXPECT_EQ(calls("C_Login"), 1u);
  // Where that does not help, the module is started anew.
  control("fail C_Sign 1 0xb3 always");
  EXPECT_FALSE(sign(keys_[0]));
  control("");
  EXPECT_EQ(calls("C_Initialize"), 0u);
  control("fail C_Sign 1 0xb3 once");
  signs(keys_[0]);
  EXPECT_EQ(calls("C_Initialize"), 1u);
}

TEST_F(TokenRecoveryTest, AnotherKeyInItsPlaceIsNeverUsed) {
  std::vector<KeyRef> others;
  for (uint8_t n = 0; n < keys_.size(); ++n) {
    auto other = token_->generate(key_id(100 + n), "base", keys_[n].type, 2048, false);
    ASSERT_TRUE(other);
    others.push_back(*other);
  }
  // After the reopening that a fault brings, each id leads to the other key of the same type.
  for (size_t n = 0; n < keys_.size(); ++n) {
    std::string swap = fmt::format("swap {} {}\n", hex(keys_[n].id), hex(others[n].id));
    control(swap + "fail C_SignInit 1 0x32 once");  // CKR_DEVICE_REMOVED
    for (int i = 0; i < 3; ++i) {
      auto out = sign(keys_[n]);
      ASSERT_FALSE(out);
      EXPECT_EQ(out.error().cause(), Cause::denied);
    }
    EXPECT_EQ(token_->find(keys_[n]).error().cause(), Cause::denied);
    EXPECT_EQ(token_->wrap(keys_[n]).error().cause(), Cause::denied);
    control("");
    signs(keys_[n]);
  }
}

TEST_F(TokenRecoveryTest, APinIsNotTriedWhenTheTokenSaysThatItMightBeTheLastTime) {
  for (const char* flags : {"flags user-final-try", "flags user-locked"}) {
    control(flags);
    auto in = token_->login(user_pin_);
    ASSERT_FALSE(in);
    EXPECT_EQ(in.error().cause(), Cause::denied);
    EXPECT_FALSE(sign(keys_[0]));
    EXPECT_FALSE(token_->present() && sign(keys_[0]));
    EXPECT_EQ(calls("C_Login"), 0u) << flags;
    // Not forgotten: when somebody has set the counter back, the token is used again.
    control("flags user-count-low");
    works();
  }
  for (const char* flags : {"flags so-final-try", "flags so-locked"}) {
    control(flags);
    EXPECT_EQ(token_->erase(so_pin_, {}).error().cause(), Cause::denied);
    EXPECT_EQ(token_->initialise(so_pin_, user_pin_).error().cause(), Cause::denied);
    EXPECT_EQ(calls("C_InitToken"), 0u);
  }
  control("");
  ASSERT_TRUE(token_->login(user_pin_));
  works();
}

TEST_F(TokenRecoveryTest, APinThatIsRefusedIsNotTriedAgainByItself) {
  control("fail C_Sign 1 0xb3 once\nfail C_Login 1 0xa0 always");  // CKR_PIN_INCORRECT
  for (int i = 0; i < 20; ++i) {
    auto out = sign(keys_[0]);
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().cause(), Cause::misconfigured);
  }
  EXPECT_EQ(calls("C_Login"), 1u);
  control("");
  EXPECT_FALSE(sign(keys_[0]));
  ASSERT_TRUE(token_->login(user_pin_));
  works();
}

TEST_F(TokenRecoveryTest, AWrongPinIsTriedOnce) {
  control("");
  EXPECT_EQ(token_->login(Secret("wrong-pin-altogether")).error().cause(), Cause::denied);
  EXPECT_EQ(calls("C_Login"), 1u);
  EXPECT_EQ(token_->erase(Secret("wrong-pin-altogether"), {}).error().cause(), Cause::denied);
  EXPECT_EQ(calls("C_InitToken"), 1u);
}

TEST_F(TokenRecoveryTest, ATokenAbsentAtLoginIsLoggedInToWhenItComes) {
  control("removed");
  token_->forget();
  auto in = token_->login(user_pin_);
  ASSERT_FALSE(in);
  EXPECT_EQ(in.error().cause(), Cause::unavailable);
  EXPECT_FALSE(sign(keys_[0]));
  control("");
  works();
}

TEST_F(TokenRecoveryTest, AKeyThatDoesNotGoAwayUnderAThreadThatSignsIsDestroyed) {
  auto doomed = token_->generate(key_id(50), "doomed", KeyType::ec_p256, 0, false);
  ASSERT_TRUE(doomed);
  std::atomic<bool> gone = false;
  std::atomic<int> wrong = 0, refused = 0;
  std::vector<std::thread> threads;
  for (int n = 0; n < 3; ++n) {
    threads.emplace_back([&] {
      auto session = token_->session();
      while (refused < 100) {
        bool before = gone;
        auto out = token_->sign(*session, *doomed, algorithm_of(doomed->type), hash_of(doomed->type), input_);
        if (out && before) ++wrong;
        if (out && !verifies(*doomed, algorithm_of(doomed->type), hash_of(doomed->type), input_, *out)) ++wrong;
        if (!out && out.error().cause() != Cause::not_found) ++wrong;
        if (!out) ++refused;
      }
    });
  }
  EXPECT_TRUE(token_->destroy(doomed->id));
  gone = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(token_->reopened(), 0u);
}

TEST_F(TokenRecoveryTest, ThreadsSignThroughFaultsAndRemovals) {
  std::atomic<bool> stop = false;
  std::atomic<int> good = 0, wrong = 0;
  std::vector<std::thread> threads;
  for (size_t n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      auto session = token_->session();
      for (size_t turn = n; !stop; ++turn) {
        const KeyRef& key = keys_[turn % keys_.size()];
        auto out = token_->sign(*session, key, algorithm_of(key.type), hash_of(key.type), input_);
        if (!out) {
          if (out.error().cause() != Cause::unavailable) ++wrong;
        } else if (verifies(key, algorithm_of(key.type), hash_of(key.type), input_, *out)) {
          ++good;
        } else {
          ++wrong;
        }
      }
    });
  }
  for (int round = 0; round < 16; ++round) {
    switch (round % 4) {
      case 0:
        control("removed");
        break;
      case 1:
        control("fail C_Sign 3 0x32 always");
        break;
      case 2:
        control("fail * 7 0xb3 once\nfail * 11 0x30 once\nfail * 13 0x101 once");
        break;
      case 3:
        control("fail C_Login 1 0x30 always\nfail C_FindObjects 1 0xe0 once");
        break;
    }
    // Long enough for each thread to meet it: some calls are made, or none can be.
    for (int i = 0; i < 50; ++i) (void)sign(keys_[0]);
    control("");
    int before = good;
    while (good < before + 8) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  works();
}

}  // namespace
}  // namespace postern::keystore

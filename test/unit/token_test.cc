// SPDX-License-Identifier: Apache-2.0
// Token on SoftHSM2: every type generated and imported, used and checked with OpenSSL, wrapped where that is allowed,
// found and not mistaken; PINs, erasing, and a token that somebody else made anew.
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "token_fixture.h"

namespace postern::keystore {
namespace {

using base::Cause;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

constexpr KeyType kTypes[] = {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519};

TEST_F(TokenTest, EveryTypeIsGeneratedFoundAndSigns) {
  open_token();
  uint8_t n = 1;
  for (KeyType type : kTypes) {
    for (bool extractable : {false, true}) {
      SCOPED_TRACE(x509::key_type_name(type));
      auto key = token_->generate(key_id(n++), "a-key", type, 2048, extractable);
      ASSERT_TRUE(key) << key.error().text();
      EXPECT_EQ(key->type, type);
      EXPECT_TRUE(token_->find(*key));
      signs(*key);
    }
  }
  EXPECT_EQ(token_->reopened(), 0u);
}

TEST_F(TokenTest, EveryAlgorithmAndDigestVerifies) {
  open_token();
  struct Row {
    KeyType type;
    SignAlgorithm algorithm;
  };
  uint8_t n = 1;
  for (Row row : {Row{KeyType::rsa, SignAlgorithm::rsa_pkcs1}, Row{KeyType::rsa, SignAlgorithm::rsa_pss},
                  Row{KeyType::ec_p256, SignAlgorithm::ecdsa}, Row{KeyType::ec_p384, SignAlgorithm::ecdsa}}) {
    auto key = token_->generate(key_id(n++), "a-key", row.type, 2048, false);
    ASSERT_TRUE(key);
    for (Hash hash : {Hash::sha256, Hash::sha384, Hash::sha512}) {
      SCOPED_TRACE(x509::hash_name(hash));
      std::string input = digest(hash, "text");
      auto signature = token_->sign(*session_, *key, row.algorithm, hash, input);
      ASSERT_TRUE(signature) << signature.error().text();
      EXPECT_TRUE(verifies(*key, row.algorithm, hash, input, *signature));
      EXPECT_FALSE(verifies(*key, row.algorithm, hash, digest(hash, "other"), *signature));
    }
  }
}

TEST_F(TokenTest, RequestsThatMakeNoSenseAreRefused) {
  open_token();
  auto rsa = token_->generate(key_id(1), "r", KeyType::rsa, 2048, false);
  auto edwards = token_->generate(key_id(2), "e", KeyType::ed25519, 0, false);
  ASSERT_TRUE(rsa && edwards);
  auto cause = [&](const KeyRef& key, SignAlgorithm algorithm, Hash hash, std::string_view input) {
    auto out = token_->sign(*session_, key, algorithm, hash, input);
    return out ? Cause::internal : out.error().cause();
  };
  EXPECT_EQ(cause(*rsa, SignAlgorithm::ecdsa, Hash::sha256, input_), Cause::malformed);
  EXPECT_EQ(cause(*rsa, SignAlgorithm::eddsa, Hash::none, input_), Cause::malformed);
  EXPECT_EQ(cause(*rsa, SignAlgorithm::rsa_pkcs1, Hash::sha1, std::string(20, 'x')), Cause::malformed);
  EXPECT_EQ(cause(*rsa, SignAlgorithm::rsa_pkcs1, Hash::none, input_), Cause::malformed);
  EXPECT_EQ(cause(*rsa, SignAlgorithm::rsa_pkcs1, Hash::sha384, input_), Cause::malformed);
  EXPECT_EQ(cause(*edwards, SignAlgorithm::rsa_pkcs1, Hash::sha256, input_), Cause::malformed);
  EXPECT_EQ(cause(*edwards, SignAlgorithm::eddsa, Hash::sha256, input_), Cause::malformed);
  EXPECT_EQ(cause(*edwards, SignAlgorithm::eddsa, Hash::none, ""), Cause::malformed);
  EXPECT_FALSE(token_->generate(key_id(3), "small", KeyType::rsa, 1024, false));
  EXPECT_FALSE(token_->generate(key_id(3), "large", KeyType::rsa, 8192, false));
  EXPECT_FALSE(token_->generate(key_id(3), std::string(300, 'x'), KeyType::ed25519, 0, false));
  EXPECT_EQ(token_->reopened(), 0u);
}

TEST_F(TokenTest, EveryTypeIsImportedAndComesBackByWrappingWhereTheTokenCan) {
  open_token();
  uint8_t n = 1;
  for (KeyType type : kTypes) {
    SCOPED_TRACE(x509::key_type_name(type));
    auto pkcs8 = make_pkcs8(type, 3072);
    ASSERT_TRUE(pkcs8);
    auto key = token_->import(key_id(n++), "imported", *pkcs8, true);
    ASSERT_TRUE(key) << key.error().text();
    EXPECT_EQ(key->spki, read_pkcs8(*pkcs8)->pub.spki());
    signs(*key);
    auto back = token_->wrap(*key);
    if (type == KeyType::ed25519) {
      ASSERT_FALSE(back);
      EXPECT_EQ(back.error().cause(), Cause::misconfigured);
    } else {
      ASSERT_TRUE(back) << back.error().text();
      auto read = read_pkcs8(*back);
      ASSERT_TRUE(read);
      EXPECT_EQ(read->pub.spki(), key->spki);
      auto again = token_->import(key_id(n++), "again", *back, false);
      ASSERT_TRUE(again) << again.error().text();
      signs(*again);
      auto kept = token_->wrap(*again);
      ASSERT_FALSE(kept);
      EXPECT_EQ(kept.error().cause(), Cause::denied);
    }
  }
  EXPECT_EQ(token_->reopened(), 0u);
}

TEST_F(TokenTest, AnIdIsTakenOnlyOnceAndDestroyingIsComplete) {
  open_token();
  auto key = token_->generate(key_id(1), "one", KeyType::ec_p256, 0, false);
  ASSERT_TRUE(key);
  auto second = token_->generate(key_id(1), "two", KeyType::ec_p256, 0, false);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().cause(), Cause::denied);
  signs(*key);
  EXPECT_EQ(token_->strangers({})->size(), 1u);
  EXPECT_TRUE(token_->strangers({key_id(1)})->empty());
  EXPECT_TRUE(token_->destroy(key_id(1)));
  EXPECT_TRUE(token_->destroy(key_id(1)));
  EXPECT_TRUE(token_->strangers({})->empty());
  auto gone = token_->sign(*session_, *key, SignAlgorithm::ecdsa, Hash::sha256, input_);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().cause(), Cause::not_found);
  EXPECT_EQ(token_->find(*key).error().cause(), Cause::not_found);
  EXPECT_EQ(token_->wrap(*key).error().cause(), Cause::not_found);
}

TEST_F(TokenTest, AnotherKeyUnderTheSameIdIsRefused) {
  open_token();
  for (KeyType type : kTypes) {
    SCOPED_TRACE(x509::key_type_name(type));
    auto key = token_->generate(key_id(1), "mail", type, 2048, false);
    ASSERT_TRUE(key);
    signs(*key);
    ASSERT_TRUE(token_->destroy(key_id(1)));
    auto other = token_->generate(key_id(1), "mail", type, 2048, false);
    ASSERT_TRUE(other);
    auto signature = token_->sign(*session_, *key, algorithm_of(type), hash_of(type), input_);
    ASSERT_FALSE(signature);
    EXPECT_EQ(signature.error().cause(), Cause::denied);
    EXPECT_EQ(token_->find(*key).error().cause(), Cause::denied);
    signs(*other);
    ASSERT_TRUE(token_->destroy(key_id(1)));
  }
}

TEST_F(TokenTest, RawDecryptionGivesWhatOpensslEncrypted) {
  open_token();
  auto key = token_->generate(key_id(1), "smime", KeyType::rsa, 2048, false);
  ASSERT_TRUE(key);
  auto spki = reinterpret_cast<const unsigned char*>(key->spki.data());
  EvpKey pub(d2i_PUBKEY(nullptr, &spki, static_cast<long>(key->spki.size())));
  ASSERT_NE(pub, nullptr);
  base::Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new(pub.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_encrypt_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING), 1);
  std::string plain(256, '\0');
  plain[200] = 'x';
  std::string cipher(256, '\0');
  size_t size = cipher.size();
  ASSERT_EQ(EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(cipher.data()), &size,
                             reinterpret_cast<unsigned char*>(plain.data()), plain.size()),
            1);
  auto opened = token_->decrypt_raw(*session_, *key, cipher);
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(opened->view(), plain);
  EXPECT_EQ(token_->decrypt_raw(*session_, *key, std::string(256, '\xff')).error().cause(), Cause::malformed);
  EXPECT_EQ(token_->decrypt_raw(*session_, *key, "short").error().cause(), Cause::malformed);
  EXPECT_EQ(token_->reopened(), 0u);
}

TEST_F(TokenTest, APinIsAskedForAndForgotten) {
  open_token();
  auto key = token_->generate(key_id(1), "k", KeyType::ed25519, 0, false);
  ASSERT_TRUE(key);
  auto wrong = token_->login(Secret("not-the-pin"));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().cause(), Cause::denied);
  // Nothing logs in by itself after that.
  EXPECT_FALSE(token_->sign(*session_, *key, SignAlgorithm::eddsa, Hash::none, input_));
  ASSERT_TRUE(token_->login(user_pin_));
  signs(*key);
  token_->forget();
  auto out = token_->sign(*session_, *key, SignAlgorithm::eddsa, Hash::none, input_);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().cause(), Cause::unavailable);
  ASSERT_TRUE(token_->login(user_pin_));
  signs(*key);
}

TEST_F(TokenTest, ErasingLeavesNothingAndNoLogin) {
  open_token();
  auto key = token_->generate(key_id(1), "k", KeyType::ec_p256, 0, true);
  ASSERT_TRUE(key);
  signs(*key);
  auto wrong = token_->erase(Secret("wrong-so-pin"), {});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().cause(), Cause::denied);
  ASSERT_TRUE(token_->login(user_pin_));
  signs(*key);
  ASSERT_TRUE(token_->erase(so_pin_, {}));
  ASSERT_TRUE(token_->erase(so_pin_, {}));
  auto in = token_->login(user_pin_);
  ASSERT_FALSE(in);
  EXPECT_EQ(in.error().cause(), Cause::denied);
  ASSERT_TRUE(token_->initialise(so_pin_, user_pin_));
  ASSERT_TRUE(token_->login(user_pin_));
  EXPECT_TRUE(token_->strangers({})->empty());
  EXPECT_EQ(token_->sign(*session_, *key, SignAlgorithm::ecdsa, Hash::sha256, input_).error().cause(),
            Cause::not_found);
}

// SoftHSM2 killed in the middle of erasing leaves an empty token.object, and sees no token any more.
TEST_F(TokenTest, ErasingThatWasCutShortIsFinished) {
  open_token();
  ASSERT_TRUE(token_->generate(key_id(1), "k", KeyType::ec_p256, 0, true));
  const std::string serial = token_->identity().serial;
  TearDown();
  std::filesystem::path folder;
  for (const auto& each : std::filesystem::directory_iterator(directory_.options().softhsm_directory)) folder = each;
  std::filesystem::resize_file(folder / "token.object", 0);
  auto opened = Token::open(directory_.options());
  ASSERT_TRUE(opened);
  Token& token = **opened;
  EXPECT_EQ(token.erase(so_pin_, {}).error().cause(), Cause::not_found) << "without its number it may be anybody's";
  EXPECT_EQ(token.erase(so_pin_, "0123456789abcdef").error().cause(), Cause::not_found);
  token.bury(serial);
  EXPECT_FALSE(std::filesystem::is_empty(folder));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(token.erase(so_pin_, serial));
    EXPECT_TRUE(std::filesystem::is_empty(folder));
  }
  token.bury(serial);
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_EQ(token.erase(so_pin_, serial).error().cause(), Cause::not_found);
  ASSERT_TRUE(token.initialise(so_pin_, user_pin_));
  ASSERT_TRUE(token.login(user_pin_));
  EXPECT_TRUE(token.strangers({})->empty());
}

TEST_F(TokenTest, ATokenIsKnownByItsLabelAndSerialNumber) {
  open_token();
  EXPECT_TRUE(token_->present());
  TokenIdentity identity = token_->identity();
  EXPECT_EQ(identity.label, "postern");
  EXPECT_EQ(identity.manufacturer, "SoftHSM project");
  EXPECT_FALSE(identity.serial.empty());
  EXPECT_NE(identity.library, "");
  TearDown();
  directory_.options().serial = "0000000000000000";
  auto opened = Token::open(directory_.options());
  ASSERT_TRUE(opened);
  EXPECT_FALSE((*opened)->present());
  auto in = (*opened)->login(user_pin_);
  ASSERT_FALSE(in);
  EXPECT_EQ(in.error().cause(), Cause::unavailable);
  EXPECT_EQ((*opened)->erase(so_pin_, {}).error().cause(), Cause::not_found);
  opened->reset();
  directory_.options().serial = identity.serial;
  opened = Token::open(directory_.options());
  ASSERT_TRUE(opened);
  EXPECT_TRUE((*opened)->present());
  EXPECT_TRUE((*opened)->login(user_pin_));
}

TEST_F(TokenTest, AModuleThatIsNoneIsRefused) {
  directory_.options().module = "/nonexistent.so";
  EXPECT_EQ(Token::open(directory_.options()).error().cause(), Cause::misconfigured);
  directory_.options().module = "libm.so.6";
  EXPECT_EQ(Token::open(directory_.options()).error().cause(), Cause::misconfigured);
}

// What another process does to the token goes through softhsm's own tool or a forked child with a module of its own.
TEST_F(TokenTest, ATokenMadeAnewBySomebodyElseIsNotMistakenForOurs) {
  open_token();
  auto key = token_->generate(key_id(1), "k", KeyType::ec_p256, 0, true);
  ASSERT_TRUE(key);
  signs(*key);
  auto pkcs8 = token_->wrap(*key);
  ASSERT_TRUE(pkcs8);
  for (auto& entry : std::filesystem::directory_iterator(directory_.path() + "/tokens")) {
    std::filesystem::remove_all(entry.path());
  }
  EXPECT_FALSE(token_->sign(*session_, *key, SignAlgorithm::ecdsa, Hash::sha256, input_));
  EXPECT_FALSE(token_->present());
  std::string make = "SOFTHSM2_CONF=" + directory_.path() + "/softhsm2.conf softhsm2-util --init-token --free" +
                     " --label postern --so-pin " + std::string(so_pin_.view()) + " --pin " +
                     std::string(user_pin_.view()) + " >/dev/null";
  ASSERT_EQ(system(make.c_str()), 0);
  auto gone = token_->sign(*session_, *key, SignAlgorithm::ecdsa, Hash::sha256, input_);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().cause(), Cause::not_found);
  EXPECT_TRUE(token_->present());
  auto again = token_->import(key_id(1), "k", *pkcs8, false);
  ASSERT_TRUE(again) << again.error().text();
  signs(*key);
}

// Each new key is looked for as soon as it is there, while the next one is being made.
TEST_F(TokenTest, FourThreadsFindKeysAndSignWhileOneMakesKeys) {
  open_token();
  std::vector<KeyRef> keys;
  for (uint8_t n = 0; n < 4; ++n) {
    auto key = token_->generate(key_id(n), "k", n == 0 ? KeyType::rsa : kTypes[n % 4], 2048, false);
    ASSERT_TRUE(key) << key.error().text();
    keys.push_back(*key);
  }
  std::mutex keys_mutex;
  std::atomic<bool> stop = false;
  std::atomic<int> good = 0, bad = 0;
  std::vector<std::thread> threads;
  for (size_t n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      auto session = token_->session();
      for (size_t turn = n; !stop; ++turn) {
        KeyRef key;
        {
          std::lock_guard lock(keys_mutex);
          key = turn % 2 == 0 ? keys.back() : keys[turn % keys.size()];
        }
        auto signature = token_->sign(*session, key, algorithm_of(key.type), hash_of(key.type), input_);
        bool fine = signature && verifies(key, algorithm_of(key.type), hash_of(key.type), input_, *signature);
        ++(fine ? good : bad);
      }
    });
  }
  for (uint8_t n = 10; n < 50; ++n) {
    auto key = token_->generate(key_id(n), "more", KeyType::ec_p256, 0, false);
    EXPECT_TRUE(key) << key.error().text();
    if (n % 2 == 0) {
      auto gone = token_->destroy(key_id(n));
      EXPECT_TRUE(gone) << gone.error().text();
    } else if (key) {
      std::lock_guard lock(keys_mutex);
      keys.push_back(*key);
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
  EXPECT_GT(good, 0);
  EXPECT_EQ(token_->reopened(), 0u);
}

}  // namespace
}  // namespace postern::keystore

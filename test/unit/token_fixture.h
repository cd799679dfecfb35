// SPDX-License-Identifier: Apache-2.0
// A SoftHSM2 token in a temporary directory, thrown away afterwards, and keys to put into it.
#pragma once
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "keystore/token/pkcs8.h"
#include "keystore/token/public_key.h"
#include "keystore/token/token.h"
#include "test/support/temporary_directory.h"

namespace postern::keystore {

inline KeyId key_id(uint8_t n) {
  KeyId id{};
  id.fill(n);
  return id;
}

inline std::string digest(x509::Hash hash, std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), out, &size, digest_of(hash), nullptr);
  return {reinterpret_cast<char*>(out), size};
}

// The way a key of `type` signs by default, and what it then takes.
inline x509::SignAlgorithm algorithm_of(x509::KeyType type) {
  switch (type) {
    case x509::KeyType::rsa:
      return x509::SignAlgorithm::rsa_pkcs1;
    case x509::KeyType::ed25519:
      return x509::SignAlgorithm::eddsa;
    default:
      return x509::SignAlgorithm::ecdsa;
  }
}
inline x509::Hash hash_of(x509::KeyType type) {
  return type == x509::KeyType::ed25519 ? x509::Hash::none : x509::Hash::sha256;
}

inline bool verifies(const KeyRef& key, x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view input,
                     std::string_view signature) {
  auto pub = PublicKey::from_spki(key.spki);
  return pub && pub->verify(algorithm, hash, input, signature);
}

class TokenDirectory {
 public:
  TokenDirectory() {
    options_.softhsm_directory = path_ / "tokens";
    options_.scratch = path_.path();
    options_.retry = std::chrono::milliseconds(0);
#ifdef __SANITIZE_ADDRESS__
    // SoftHSM2 itself leaks; the mock keeps that from the sanitizer.
    options_.module = POSTERN_PKCS11_MOCK;
#endif
  }

  const std::string& path() const { return path_.path(); }
  TokenOptions& options() { return options_; }

 private:
  const test::TemporaryDirectory path_;
  TokenOptions options_;
};

class TokenTest : public testing::Test {
 protected:
  // open_token opens the module and gives a fresh token its PINs.
  void open_token() {
    auto opened = Token::open(directory_.options());
    ASSERT_TRUE(opened) << opened.error().text();
    token_ = std::move(*opened);
    auto made = token_->initialise(so_pin_, user_pin_);
    ASSERT_TRUE(made) << made.error().text();
    auto in = token_->login(user_pin_);
    ASSERT_TRUE(in) << in.error().text();
    session_ = token_->session();
  }
  void TearDown() override {
    session_.reset();
    token_.reset();
  }

  // signs asks for a signature in the key's usual way and checks it.
  void signs(const KeyRef& key) {
    auto signature = token_->sign(*session_, key, algorithm_of(key.type), hash_of(key.type), input_);
    ASSERT_TRUE(signature) << signature.error().text();
    EXPECT_TRUE(verifies(key, algorithm_of(key.type), hash_of(key.type), input_, *signature));
  }

  TokenDirectory directory_;
  Secret so_pin_{"a-security-officer-pin"};
  Secret user_pin_{"a-user-pin-of-some-length"};
  std::unique_ptr<Token> token_;
  std::unique_ptr<Session> session_;
  std::string input_ = digest(x509::Hash::sha256, "what is signed");
};

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// A library context with the provider built in and keys in memory behind it.
#pragma once
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <memory>
#include <string>

#include "keystore/provider/builtin.h"
#include "test/support/soft_keys.h"
#include "test/unit/x509_support.h"

namespace postern::keystore::test {

using x509::KeyType;

inline const char* const kNames[] = {"rsa", "p256", "p384", "ed25519"};

struct ProviderTest : testing::Test {
  static void SetUpTestSuite() {
    keys = std::make_shared<postern::test::SoftKeys>();
    keys->generate("rsa", KeyType::rsa);
    keys->generate("p256", KeyType::ec_p256);
    keys->generate("p384", KeyType::ec_p384);
    keys->generate("ed25519", KeyType::ed25519);
    keys->generate("other-rsa", KeyType::rsa);
    keys->generate("other-p256", KeyType::ec_p256);
    library = KeyLibrary::create(keys).value();
  }
  static void TearDownTestSuite() {
    library.reset();
    keys.reset();
  }
  void TearDown() override {
    keys->failure.reset();
    ERR_clear_error();
  }

  static std::string spki(const std::string& name) { return keys->describe(name, {})->spki; }
  static x509::KeyHandle key(const std::string& name) { return library->key(name).value(); }
  static x509::KeyHandle public_key(const std::string& name) { return x509::load_public_key(spki(name)).value(); }
  static OSSL_LIB_CTX* context() { return library->context(); }

  // errors takes the whole queue as text.
  static std::string errors() {
    std::string all;
    const char* data = nullptr;
    int flags = 0;
    while (const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
      std::array<char, 256> text{};
      ERR_error_string_n(code, text.data(), text.size());
      all += std::string(text.data()) + ":" + ((flags & ERR_TXT_STRING) != 0 ? data : "") + "\n";
    }
    return all;
  }

  static inline std::shared_ptr<postern::test::SoftKeys> keys;
  static inline std::unique_ptr<KeyLibrary> library;
};

}  // namespace postern::keystore::test

// SPDX-License-Identifier: Apache-2.0
// Signing and decrypting through EVP with keys that only fipsd has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <array>
#include <thread>

#include "test/unit/provider_support.h"

namespace postern::keystore {
namespace {

using testing::HasSubstr;
using x509::DigestContext;
using x509::KeyContext;
using x509::KeyHandle;

const unsigned char* bytes_of(std::string_view text) { return x509::bytes_of(text); }

struct Signing : test::ProviderTest {
  // digest_sign signs `message` in pieces; `prepare` may set parameters. Empty when it failed.
  template <class F>
  static std::string digest_sign(EVP_PKEY* key, const char* digest, std::string_view message, F prepare) {
    const DigestContext running(EVP_MD_CTX_new());
    EVP_PKEY_CTX* parameters = nullptr;
    if (EVP_DigestSignInit_ex(running.get(), &parameters, digest, context(), nullptr, key, nullptr) != 1) return {};
    if (!prepare(parameters)) return {};
    std::string out;
    size_t size = 0;
    if (EVP_PKEY_is_a(key, "ED25519") == 1) {
      if (EVP_DigestSign(running.get(), nullptr, &size, bytes_of(message), message.size()) != 1) return {};
      out.resize(size);
      if (EVP_DigestSign(running.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes_of(message),
                         message.size()) != 1)
        return {};
    } else {
      for (const char c : message) {
        if (EVP_DigestSignUpdate(running.get(), &c, 1) != 1) return {};
      }
      if (EVP_DigestSignFinal(running.get(), nullptr, &size) != 1) return {};
      out.resize(size);
      if (EVP_DigestSignFinal(running.get(), reinterpret_cast<unsigned char*>(out.data()), &size) != 1) return {};
    }
    out.resize(size);
    return out;
  }
  static std::string digest_sign(EVP_PKEY* key, const char* digest, std::string_view message) {
    return digest_sign(key, digest, message, [](EVP_PKEY_CTX*) { return true; });
  }
  static bool good(const std::string& name, x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view message,
                   std::string_view signature) {
    return x509::verify_signature(public_key(name).get(), algorithm, hash, *x509::digest(hash, message), signature);
  }
};

TEST_F(Signing, EveryAlgorithm) {
  using enum x509::SignAlgorithm;
  using x509::Hash;
  struct Case {
    const char* name;
    const char* digest;
    x509::SignAlgorithm algorithm;
    Hash hash;
  };
  const Case cases[] = {
      {"rsa", "SHA256", rsa_pkcs1, Hash::sha256},  {"rsa", "SHA2-384", rsa_pkcs1, Hash::sha384},
      {"rsa", "SHA-512", rsa_pkcs1, Hash::sha512}, {"rsa", nullptr, rsa_pkcs1, Hash::sha256},
      {"p256", "SHA256", ecdsa, Hash::sha256},     {"p256", "SHA512", ecdsa, Hash::sha512},
      {"p384", "SHA384", ecdsa, Hash::sha384},     {"p384", nullptr, ecdsa, Hash::sha256},
      {"ed25519", nullptr, eddsa, Hash::none},
  };
  for (const Case& one : cases) {
    const KeyHandle signer = key(one.name);
    for (const std::string& message : {std::string(), std::string("hello"), std::string(5000, 'x')}) {
      const std::string signature = digest_sign(signer.get(), one.digest, message);
      ASSERT_FALSE(signature.empty()) << one.name << " " << errors();
      EXPECT_TRUE(good(one.name, one.algorithm, one.hash, message, signature)) << one.name;
    }
  }
}

TEST_F(Signing, Pss) {
  const KeyHandle signer = key("rsa");
  const auto pss = [&](const char* digest, int salt, const EVP_MD* mask = nullptr) {
    return digest_sign(signer.get(), digest, "hello", [&](EVP_PKEY_CTX* parameters) {
      return EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
             (mask == nullptr || EVP_PKEY_CTX_set_rsa_mgf1_md(parameters, mask) == 1) &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, salt) == 1;
    });
  };
  for (const int salt : {RSA_PSS_SALTLEN_DIGEST, RSA_PSS_SALTLEN_AUTO, 32}) {
    EXPECT_TRUE(good("rsa", x509::SignAlgorithm::rsa_pss, x509::Hash::sha256, "hello", pss("SHA256", salt)))
        << salt << errors();
  }
  EXPECT_TRUE(good("rsa", x509::SignAlgorithm::rsa_pss, x509::Hash::sha512, "hello", pss("SHA512", 64, EVP_sha512())))
      << errors();
  for (const int salt : {RSA_PSS_SALTLEN_MAX, 20, 0}) {
    ERR_clear_error();
    EXPECT_EQ(pss("SHA256", salt), "") << salt;
    EXPECT_THAT(errors(), HasSubstr("salt"));
  }
  EXPECT_EQ(pss("SHA256", RSA_PSS_SALTLEN_DIGEST, EVP_sha512()), "");
  EXPECT_THAT(errors(), HasSubstr("two digests"));
}

TEST_F(Signing, WhatIsAskedCanBeRead) {
  const KeyHandle signer = key("rsa");
  const DigestContext running(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  ASSERT_EQ(EVP_DigestSignInit_ex(running.get(), &parameters, "SHA384", context(), nullptr, signer.get(), nullptr), 1);
  const EVP_MD* digest = nullptr;
  EXPECT_EQ(EVP_PKEY_CTX_get_signature_md(parameters, &digest), 1);
  EXPECT_EQ(EVP_MD_get_type(digest), NID_sha384);
  int padding = 0;
  EXPECT_GT(EVP_PKEY_CTX_get_rsa_padding(parameters, &padding), 0);
  EXPECT_EQ(padding, RSA_PKCS1_PADDING);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING), 1);
  EXPECT_GT(EVP_PKEY_CTX_get_rsa_padding(parameters, &padding), 0);
  EXPECT_EQ(padding, RSA_PKCS1_PSS_PADDING);
  int salt = 0;
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, 48), 1);
  EXPECT_GT(EVP_PKEY_CTX_get_rsa_pss_saltlen(parameters, &salt), 0);
  EXPECT_EQ(salt, 48);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_AUTO), 1);
  EXPECT_GT(EVP_PKEY_CTX_get_rsa_pss_saltlen(parameters, &salt), 0);
  EXPECT_EQ(salt, RSA_PSS_SALTLEN_DIGEST);
  EXPECT_EQ(EVP_PKEY_CTX_get_rsa_mgf1_md(parameters, &digest), 1);
  EXPECT_EQ(EVP_MD_get_type(digest), NID_sha384);
  for (const int refused : {RSA_NO_PADDING, RSA_X931_PADDING, RSA_PKCS1_OAEP_PADDING}) {
    EXPECT_NE(EVP_PKEY_CTX_set_rsa_padding(parameters, refused), 1) << refused;
  }
  EXPECT_EQ(EVP_PKEY_get_size(signer.get()), 256);
  EXPECT_EQ(EVP_PKEY_get_bits(signer.get()), 2048);
}

TEST_F(Signing, RefusedWithReason) {
  const KeyHandle rsa = key("rsa");
  const auto raw = [&](const KeyHandle& signer, const char* digest, std::string_view input, size_t room) {
    const KeyContext one(EVP_PKEY_CTX_new_from_pkey(context(), signer.get(), nullptr));
    std::string out(room, '\0');
    size_t size = out.size();
    const x509::DigestHandle md(digest != nullptr ? EVP_MD_fetch(context(), digest, nullptr) : nullptr);
    return EVP_PKEY_sign_init(one.get()) == 1 &&
           (digest == nullptr || EVP_PKEY_CTX_set_signature_md(one.get(), md.get()) == 1) &&
           EVP_PKEY_sign(one.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes_of(input),
                         input.size()) == 1;
  };
  const std::string input(32, 'x');
  EXPECT_TRUE(raw(rsa, "SHA256", input, 256));
  EXPECT_FALSE(raw(rsa, nullptr, input, 256));
  EXPECT_THAT(errors(), HasSubstr("bare RSA"));
  EXPECT_FALSE(raw(rsa, "SHA256", std::string(33, 'x'), 256));
  EXPECT_THAT(errors(), HasSubstr("wrong length"));
  EXPECT_FALSE(raw(rsa, "MD5", std::string(16, 'x'), 256));
  EXPECT_THAT(errors(), HasSubstr("digest MD5"));
  EXPECT_FALSE(raw(rsa, "SHA256", input, 255));
  EXPECT_FALSE(raw(key("ed25519"), nullptr, input, 64));
  EXPECT_EQ(digest_sign(key("ed25519").get(), "SHA256", "x"), "");
  EXPECT_EQ(digest_sign(key("ed25519").get(), nullptr, std::string(crypto::kMaxSignInput + 1, 'x')), "");
  EXPECT_THAT(errors(), HasSubstr("48 KiB"));

  keys->failure = base::Error(base::Cause::denied, "the socket may not");
  EXPECT_EQ(digest_sign(rsa.get(), "SHA256", "x"), "");
  EXPECT_THAT(errors(), HasSubstr("fipsd does not allow it:rsa: the socket may not"));
  keys->failure = base::Error(base::Cause::unavailable, "nobody listens");
  EXPECT_EQ(digest_sign(rsa.get(), "SHA256", "x"), "");
  EXPECT_THAT(errors(), HasSubstr("fipsd does not answer:rsa: nobody listens"));
  keys->failure.reset();
  EXPECT_NE(digest_sign(rsa.get(), "SHA256", "x"), "");
}

// The reference says which key is meant; fipsd has another one under the name.
TEST_F(Signing, AnotherKeyUnderTheNameIsNoticed) {
  for (const auto& [name, other] : {std::pair{"rsa", "other-rsa"}, {"p256", "other-p256"}}) {
    const KeyHandle swapped = library->key(name, spki(other)).value();
    EXPECT_EQ(digest_sign(swapped.get(), "SHA256", "x"), "");
    EXPECT_THAT(errors(), HasSubstr("fipsd has another key under this name"));
  }
}

TEST_F(Signing, Copies) {
  const KeyHandle signer = key("p256");
  const DigestContext first(EVP_MD_CTX_new());
  ASSERT_EQ(EVP_DigestSignInit_ex(first.get(), nullptr, "SHA256", context(), nullptr, signer.get(), nullptr), 1);
  ASSERT_EQ(EVP_DigestSignUpdate(first.get(), "a", 1), 1);
  const DigestContext second(EVP_MD_CTX_new());
  ASSERT_EQ(EVP_MD_CTX_copy_ex(second.get(), first.get()), 1);
  ASSERT_EQ(EVP_DigestSignUpdate(first.get(), "b", 1), 1);
  ASSERT_EQ(EVP_DigestSignUpdate(second.get(), "c", 1), 1);
  for (const auto& [running, message] : {std::pair{first.get(), "ab"}, {second.get(), "ac"}}) {
    std::string out(100, '\0');
    size_t size = out.size();
    ASSERT_EQ(EVP_DigestSignFinal(running, reinterpret_cast<unsigned char*>(out.data()), &size), 1);
    out.resize(size);
    EXPECT_TRUE(good("p256", x509::SignAlgorithm::ecdsa, x509::Hash::sha256, message, out));
  }
}

TEST_F(Signing, VerifiesWithThePublicHalf) {
  for (const char* name : test::kNames) {
    const KeyHandle signer = key(name);
    const bool plain = std::string_view(name) == "ed25519";
    const std::string signature = digest_sign(signer.get(), plain ? nullptr : "SHA256", "hello");
    for (const bool right : {true, false}) {
      const DigestContext verifier(EVP_MD_CTX_new());
      ASSERT_EQ(EVP_DigestVerifyInit_ex(verifier.get(), nullptr, plain ? nullptr : "SHA256", context(), nullptr,
                                        signer.get(), nullptr),
                1)
          << errors();
      const std::string_view message = right ? "hello" : "hallo";
      EXPECT_EQ(EVP_DigestVerify(verifier.get(), bytes_of(signature), signature.size(), bytes_of(message),
                                 message.size()) == 1,
                right)
          << name;
    }
  }
}

TEST_F(Signing, Decrypts) {
  const KeyHandle receiver = key("rsa");
  struct Case {
    int padding;
    const EVP_MD* digest;
    const EVP_MD* mask;
    bool label;
    bool works;
  };
  const Case cases[] = {
      {RSA_PKCS1_PADDING, nullptr, nullptr, false, true},
      {RSA_PKCS1_OAEP_PADDING, nullptr, nullptr, false, true},
      {RSA_PKCS1_OAEP_PADDING, EVP_sha256(), nullptr, false, true},
      {RSA_PKCS1_OAEP_PADDING, EVP_sha256(), EVP_sha256(), true, true},
      {RSA_PKCS1_OAEP_PADDING, EVP_sha256(), EVP_sha1(), false, false},
  };
  for (const Case& one : cases) {
    const auto set = [&](EVP_PKEY_CTX* parameters) {
      if (EVP_PKEY_CTX_set_rsa_padding(parameters, one.padding) != 1) return false;
      if (one.digest != nullptr && EVP_PKEY_CTX_set_rsa_oaep_md(parameters, one.digest) != 1) return false;
      if (one.mask != nullptr && EVP_PKEY_CTX_set_rsa_mgf1_md(parameters, one.mask) != 1) return false;
      return !one.label || EVP_PKEY_CTX_set0_rsa_oaep_label(parameters, OPENSSL_memdup("lab", 3), 3) == 1;
    };
    const KeyHandle sender = public_key("rsa");
    const KeyContext encrypting(EVP_PKEY_CTX_new(sender.get(), nullptr));
    std::string box(256, '\0');
    size_t size = box.size();
    ASSERT_EQ(EVP_PKEY_encrypt_init(encrypting.get()), 1);
    ASSERT_TRUE(set(encrypting.get()));
    ASSERT_EQ(
        EVP_PKEY_encrypt(encrypting.get(), reinterpret_cast<unsigned char*>(box.data()), &size, bytes_of("secret"), 6),
        1);
    const KeyContext decrypting(EVP_PKEY_CTX_new_from_pkey(context(), receiver.get(), nullptr));
    ASSERT_EQ(EVP_PKEY_decrypt_init(decrypting.get()), 1) << errors();
    ASSERT_TRUE(set(decrypting.get())) << errors();
    size_t room = 0;
    ASSERT_EQ(EVP_PKEY_decrypt(decrypting.get(), nullptr, &room, bytes_of(box), box.size()), 1);
    EXPECT_EQ(room, 256u);
    std::string plain(room, '\0');
    const bool done = EVP_PKEY_decrypt(decrypting.get(), reinterpret_cast<unsigned char*>(plain.data()), &room,
                                       bytes_of(box), box.size()) == 1;
    EXPECT_EQ(done, one.works) << errors();
    EXPECT_EQ(plain.substr(0, done ? room : 0), done ? "secret" : "");
  }
  const KeyContext refused(EVP_PKEY_CTX_new_from_pkey(context(), receiver.get(), nullptr));
  ASSERT_EQ(EVP_PKEY_decrypt_init(refused.get()), 1);
  EXPECT_NE(EVP_PKEY_CTX_set_rsa_padding(refused.get(), RSA_NO_PADDING), 1);
  EXPECT_NE(EVP_PKEY_CTX_set_rsa_padding(refused.get(), RSA_PKCS1_WITH_TLS_PADDING), 1);
}

TEST_F(Signing, ManyThreads) {
  std::array<KeyHandle, 4> shared;
  for (size_t i = 0; i < 4; ++i) shared[i] = key(test::kNames[i]);
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < 40; ++i) {
        const size_t which = i % 4;
        if (digest_sign(shared[which].get(), which == 3 ? nullptr : "SHA256", "hello").empty()) ++bad;
        if (i % 10 == 0 && !library->key(test::kNames[which])) ++bad;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
}

}  // namespace
}  // namespace postern::keystore

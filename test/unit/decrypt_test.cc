// SPDX-License-Identifier: Apache-2.0
// Unpadding: every good PKCS#1 block gives its message, every bad one the same made-up message each time; OAEP agrees
// with OpenSSL for each hash and label and fails in one way only. Ends with both through a token key.
#include "keystore/decrypt.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <set>

#include "token_fixture.h"

namespace postern::keystore {
namespace {

using base::Cause;
using x509::Hash;

const std::string kSecret(32, 's');
constexpr std::string_view kSpki = "the public half";

std::string padded(size_t size, std::string_view message) {
  std::string out("\x00\x02", 2);
  out.append(size - 3 - message.size(), '\x7f');
  out += '\0';
  return out.append(message);
}

std::string unpadded(const std::string& block, const std::string& ciphertext) {
  auto out = unpad_pkcs1(Secret(block), kSecret, kSpki, ciphertext);
  EXPECT_TRUE(out);
  return std::string(out->view());
}

TEST(Unpad, EveryLengthOfMessageComesOut) {
  for (size_t size : {256u, 257u, 384u, 511u, 512u}) {
    std::string cipher(size, 'c');
    for (size_t length = 0; length <= size - 11; ++length) {
      std::string message(length, 'm');
      for (size_t i = 0; i < length; ++i) message[i] = static_cast<char>(i * 7);
      ASSERT_EQ(unpadded(padded(size, message), cipher), message) << size << " " << length;
    }
  }
}

TEST(Unpad, BadPaddingGivesAMessageMadeUpFromSecretKeyAndCiphertext) {
  const std::string cipher(256, 'c');
  std::string good = padded(256, "message");
  std::vector<std::string> bad;
  for (auto [at, value] : {std::pair<size_t, char>{0, 1}, {1, 1}, {1, 0}, {2, 0}, {9, 0}}) {
    std::string block = good;
    block[at] = value;
    bad.push_back(block);
  }
  bad.push_back(std::string("\x00\x02", 2) + std::string(254, '\x01'));  // no zero at all
  bad.push_back(std::string(256, '\0'));
  bad.push_back(std::string(256, '\xff'));
  const std::string invented = unpadded(bad[0], cipher);
  for (const std::string& block : bad) EXPECT_EQ(unpadded(block, cipher), invented);
  EXPECT_NE(invented, "message");
  EXPECT_LE(invented.size(), 245u);
  EXPECT_NE(unpadded(bad[0], std::string(256, 'd')), invented);
  EXPECT_NE(unpad_pkcs1(Secret(bad[0]), std::string(32, 't'), kSpki, cipher)->view(), invented);
  EXPECT_NE(unpad_pkcs1(Secret(bad[0]), kSecret, "another key", cipher)->view(), invented);
  // The first place where the zero may stand.
  std::string shortest = good;
  shortest[10] = 0;
  EXPECT_EQ(unpadded(shortest, cipher), shortest.substr(11));
}

TEST(Unpad, InventedLengthsAreSpreadOverAllThatCanBe) {
  std::set<size_t> lengths;
  size_t below_half = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string cipher(256, 'c');
    cipher.replace(0, 4, std::to_string(1000 + i));
    size_t length = unpadded(std::string(256, '\0'), cipher).size();
    ASSERT_LE(length, 245u);
    lengths.insert(length);
    below_half += length < 123 ? 1 : 0;
  }
  EXPECT_GT(lengths.size(), 230u);
  EXPECT_GT(below_half, 800u);
  EXPECT_LT(below_half, 1200u);
}

TEST(Unpad, LengthsThatCannotBeAreRefused) {
  EXPECT_FALSE(unpad_pkcs1(Secret(std::string(256, 'x')), kSecret, kSpki, std::string(255, 'c')));
  EXPECT_FALSE(unpad_pkcs1(Secret(std::string(64, 'x')), kSecret, kSpki, std::string(64, 'c')));
  EXPECT_FALSE(unpad_pkcs1(Secret(std::string(1024, 'x')), kSecret, kSpki, std::string(1024, 'c')));
  EXPECT_FALSE(unpad_pkcs1(Secret(std::string(256, 'x')), "short", kSpki, std::string(256, 'c')));
  EXPECT_FALSE(unpad_oaep(Secret(std::string(64, 'x')), Hash::sha256, ""));
  EXPECT_FALSE(unpad_oaep(Secret(std::string(256, '\0')), Hash::none, ""));
}

class DecryptTest : public TokenTest {
 protected:
  // seal encrypts with OpenSSL.
  std::string seal(const KeyRef& key, int padding, Hash hash, std::string_view label, std::string_view plain) {
    auto at = reinterpret_cast<const unsigned char*>(key.spki.data());
    EvpKey pub(d2i_PUBKEY(nullptr, &at, static_cast<long>(key.spki.size())));
    base::Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new(pub.get(), nullptr));
    EXPECT_EQ(EVP_PKEY_encrypt_init(context.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), padding), 1);
    if (padding == RSA_PKCS1_OAEP_PADDING) {
      EXPECT_EQ(EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), digest_of(hash)), 1);
      EXPECT_EQ(EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), digest_of(hash)), 1);
      if (!label.empty()) {
        void* copy = OPENSSL_memdup(label.data(), label.size());
        EXPECT_EQ(EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), copy, static_cast<int>(label.size())), 1);
      }
    }
    std::string out(512, '\0');
    size_t size = out.size();
    EXPECT_EQ(EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                               reinterpret_cast<const unsigned char*>(plain.data()), plain.size()),
              1);
    out.resize(size);
    return out;
  }
};

TEST_F(DecryptTest, WhatOpensslEncryptsComesOutThroughTheToken) {
  open_token();
  auto key = token_->generate(key_id(1), "smime", x509::KeyType::rsa, 2048, false);
  ASSERT_TRUE(key);
  std::string cipher = seal(*key, RSA_PKCS1_PADDING, Hash::none, "", "a session key");
  auto raw = token_->decrypt_raw(*session_, *key, cipher);
  ASSERT_TRUE(raw);
  EXPECT_EQ(unpad_pkcs1(*raw, kSecret, key->spki, cipher)->view(), "a session key");
  for (Hash hash : {Hash::sha1, Hash::sha256, Hash::sha384, Hash::sha512}) {
    for (std::string_view label : {"", "a label"}) {
      raw = token_->decrypt_raw(*session_, *key, seal(*key, RSA_PKCS1_OAEP_PADDING, hash, label, "a session key"));
      ASSERT_TRUE(raw);
      auto plain = unpad_oaep(*raw, hash, label);
      ASSERT_TRUE(plain) << plain.error().text();
      EXPECT_EQ(plain->view(), "a session key");
      auto wrong_label = unpad_oaep(*raw, hash, "another label");
      auto wrong_hash = unpad_oaep(*raw, hash == Hash::sha1 ? Hash::sha256 : Hash::sha1, label);
      Secret changed(raw->view());
      changed.data()[0] ^= 1;
      auto wrong_block = unpad_oaep(changed, hash, label);
      ASSERT_FALSE(wrong_label || wrong_hash || wrong_block);
      EXPECT_EQ(wrong_label.error().text(), wrong_hash.error().text());
      EXPECT_EQ(wrong_label.error().text(), wrong_block.error().text());
      EXPECT_EQ(wrong_label.error().cause(), Cause::malformed);
    }
  }
}

}  // namespace
}  // namespace postern::keystore

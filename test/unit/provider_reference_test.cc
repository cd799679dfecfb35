// SPDX-License-Identifier: Apache-2.0
// Key references: written, read, damaged; and loading keys by reference and by name.
#include "keystore/provider/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include "engine/x509/der.h"
#include "test/unit/provider_support.h"

namespace postern::keystore {
namespace {

using testing::HasSubstr;
using x509::Bio;
using x509::der_element;
using x509::der_integer;
using x509::KeyHandle;
using x509::KeyType;
using x509::memory_bio;
using x509::Tag;

struct References : test::ProviderTest {
  static KeyHandle load_pem(const std::string& pem) {
    const Bio bio = memory_bio(pem);
    return KeyHandle(PEM_read_bio_PrivateKey_ex(bio.get(), nullptr, nullptr, nullptr, context(), nullptr));
  }
};

TEST_F(References, WrittenAndRead) {
  for (const char* name : test::kNames) {
    const std::string der = write_reference(name, spki(name));
    const auto reference = read_reference(der);
    ASSERT_TRUE(reference.has_value()) << reference.error().text();
    EXPECT_EQ(reference->name, name);
    EXPECT_EQ(reference->spki, spki(name));
    const std::string pem = write_reference_pem(name, spki(name));
    EXPECT_THAT(pem, testing::StartsWith("-----BEGIN PRIVATE KEY-----\n"));
  }
}

TEST_F(References, OtherAndDamagedOnes) {
  const std::string der = write_reference("rsa", spki("rsa"));
  const auto cause = [](std::string_view bytes) { return read_reference(bytes).error().cause(); };
  EXPECT_EQ(cause(""), base::Cause::not_found);
  EXPECT_EQ(cause("junk"), base::Cause::not_found);
  EXPECT_EQ(cause(x509::encode<i2d_PrivateKey>(x509::test::make_key().get())), base::Cause::not_found);
  EXPECT_EQ(cause(der + "x"), base::Cause::malformed);
  const auto composed = [](std::string_view version, std::string_view name, std::string_view rest) {
    const std::string content = der_element(
        Tag::sequence, der_element(Tag::integer, version) + der_element(Tag::utf8_string, name) + std::string(rest));
    return der_element(Tag::sequence, der_integer(0) +
                                          der_element(Tag::sequence, der_element(Tag::oid, kReferenceOid)) +
                                          der_element(Tag::octet_string, content));
  };
  EXPECT_TRUE(read_reference(composed("\x01", "rsa", spki("rsa"))).has_value());
  EXPECT_EQ(cause(composed("\x02", "rsa", spki("rsa"))), base::Cause::misconfigured);
  EXPECT_EQ(cause(composed("\x01", "a/b", spki("rsa"))), base::Cause::malformed);
  EXPECT_EQ(cause(composed("\x01", "", spki("rsa"))), base::Cause::malformed);
  EXPECT_EQ(cause(composed("\x01", "rsa", "")), base::Cause::malformed);
  EXPECT_EQ(cause(composed("\x01", "rsa", spki("rsa") + "x")), base::Cause::malformed);
  EXPECT_EQ(cause(composed("\x01", "rsa", der_element(Tag::sequence, std::string(kMaxReference, 'x')))),
            base::Cause::malformed);
  // Every byte changed and every prefix: read as the same structure with other content, or refused; never more.
  for (size_t i = 0; i < der.size(); ++i) {
    EXPECT_FALSE(read_reference(std::string_view(der).substr(0, i)).has_value());
    for (const int bit : {0, 3, 7}) {
      std::string damaged = der;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const auto reference = read_reference(damaged);
      if (!reference) continue;
      EXPECT_LE(reference->name.size() + reference->spki.size(), damaged.size());
      (void)load_pem(write_reference_pem(reference->name, reference->spki));
      ERR_clear_error();
    }
  }
}

TEST_F(References, LoadingAsksNobody) {
  const unsigned before = keys->describe_calls;
  keys->failure = base::Error(base::Cause::unavailable, "down");
  std::vector<std::string> spkis;
  keys->failure.reset();
  for (const char* name : test::kNames) spkis.push_back(spki(name));
  keys->failure = base::Error(base::Cause::unavailable, "down");
  const unsigned asked = keys->describe_calls;
  EXPECT_EQ(asked, before + 4);
  for (size_t i = 0; i < 4; ++i) {
    const KeyHandle loaded = load_pem(write_reference_pem(test::kNames[i], spkis[i]));
    ASSERT_NE(loaded, nullptr) << errors();
    EXPECT_EQ(EVP_PKEY_eq(loaded.get(), x509::load_public_key(spkis[i]).value().get()), 1);
    // As Postfix does for files with several keys and certificates.
    const std::string der = write_reference(test::kNames[i], spkis[i]);
    const unsigned char* at = x509::bytes_of(der);
    const base::Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(
        d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
    ASSERT_NE(info, nullptr);
    const KeyHandle again(EVP_PKCS82PKEY_ex(info.get(), context(), nullptr));
    ASSERT_NE(again, nullptr) << errors();
    EXPECT_EQ(EVP_PKEY_eq(loaded.get(), again.get()), 1);
  }
  EXPECT_EQ(keys->describe_calls, asked);
}

TEST_F(References, WithoutTheProviderNothingLoads) {
  const std::string pem = write_reference_pem("rsa", spki("rsa"));
  const Bio bio = memory_bio(pem);
  EXPECT_EQ(KeyHandle(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr)), nullptr);
}

TEST_F(References, SoftKeysStillLoad) {
  for (const KeyType type : {KeyType::rsa, KeyType::ec_p256, KeyType::ed25519}) {
    const KeyHandle soft = x509::test::make_key(type);
    const Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(bio.get(), soft.get(), nullptr, nullptr, 0, nullptr, nullptr);
    const KeyHandle loaded = load_pem(x509::bio_text(bio.get()));
    ASSERT_NE(loaded, nullptr) << errors();
    EXPECT_EQ(EVP_PKEY_eq(soft.get(), loaded.get()), 1);
    const Bio out(BIO_new(BIO_s_mem()));
    EXPECT_EQ(PEM_write_bio_PrivateKey(out.get(), loaded.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  }
}

TEST_F(References, Store) {
  const auto open = [&](const std::string& uri, int expect) {
    KeyHandle found;
    OSSL_STORE_CTX* store =
        OSSL_STORE_open_ex(uri.c_str(), context(), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
    if (store == nullptr) return found;
    if (expect != 0) OSSL_STORE_expect(store, expect);
    while (OSSL_STORE_eof(store) == 0) {
      OSSL_STORE_INFO* info = OSSL_STORE_load(store);
      if (info == nullptr) break;
      if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) found.reset(OSSL_STORE_INFO_get1_PKEY(info));
      OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return found;
  };
  for (const char* name : test::kNames) {
    const KeyHandle found = open(std::string("fipsd:") + name, OSSL_STORE_INFO_PKEY);
    ASSERT_NE(found, nullptr) << errors();
    EXPECT_EQ(EVP_PKEY_eq(found.get(), public_key(name).get()), 1);
  }
  const unsigned before = keys->describe_calls;
  EXPECT_EQ(open("fipsd:rsa", OSSL_STORE_INFO_CERT), nullptr);
  EXPECT_EQ(keys->describe_calls, before);
  ERR_clear_error();
  EXPECT_EQ(open("fipsd:../x", 0), nullptr);
  EXPECT_THAT(errors(), HasSubstr("no name of a key"));
  EXPECT_EQ(open("fipsd:absent", 0), nullptr);
  EXPECT_THAT(errors(), HasSubstr("no such key at fipsd:absent: no such key"));
  keys->failure = base::Error(base::Cause::unavailable, "nobody\nlistens");
  EXPECT_EQ(open("fipsd:rsa", 0), nullptr);
  EXPECT_THAT(errors(), HasSubstr("fipsd does not answer:rsa: nobody\\x0alistens"));
}

TEST_F(References, PrivateHalfIsNowhere) {
  for (const char* name : test::kNames) {
    const KeyHandle one = key(name);
    unsigned char* der = nullptr;
    EXPECT_LE(i2d_PrivateKey(one.get(), &der), 0);
    std::array<unsigned char, 64> raw{};
    size_t size = raw.size();
    EXPECT_NE(EVP_PKEY_get_raw_private_key(one.get(), raw.data(), &size), 1);
    for (const char* secret : {OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_PRIV_KEY}) {
      BIGNUM* number = nullptr;
      EXPECT_NE(EVP_PKEY_get_bn_param(one.get(), secret, &number), 1) << secret;
    }
    OSSL_PARAM* params = nullptr;
    EXPECT_NE(EVP_PKEY_todata(one.get(), EVP_PKEY_KEYPAIR, &params), 1);
    ERR_clear_error();
    // The public half may go anywhere.
    EXPECT_EQ(x509::encode<i2d_PUBKEY>(one.get()), spki(name));
    const Bio out(BIO_new(BIO_s_mem()));
    EXPECT_EQ(PEM_write_bio_PUBKEY(out.get(), one.get()), 1) << errors();
    EXPECT_EQ(x509::bio_text(out.get()), x509::public_key_pem(spki(name)));
  }
}

}  // namespace
}  // namespace postern::keystore

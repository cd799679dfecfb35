// SPDX-License-Identifier: Apache-2.0
// Secret: moved, cut and wiped; PKCS#8 that is not one of our keys is refused.
#include <openssl/core_names.h>
#include <openssl/x509.h>

#include "token_fixture.h"

namespace postern::keystore {
namespace {

using base::Cause;
using x509::KeyType;

TEST(Secret, IsMovedNotCopiedAndCutWithTheRestWiped) {
  Secret a("a secret of some length");
  const char* where = a.data();
  Secret b = std::move(a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(b.data(), where);
  b.shrink(8);
  EXPECT_EQ(b.view(), "a secret");
  // Still its own page: what was cut off is zero.
  EXPECT_EQ(std::string_view(where + 8, 15), std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15));
  b.shrink(100);
  EXPECT_EQ(b.size(), 8u);
  b = Secret("other");
  EXPECT_EQ(b.view(), "other");
  b.wipe();
  EXPECT_TRUE(b.empty());
  EXPECT_TRUE(Secret("").empty());
  Secret large = Secret::sized(100000);
  EXPECT_EQ(large.view().find_first_not_of('\0'), std::string_view::npos);
}

TEST(Secret, WipedTextIsGone) {
  std::string text = "a password that is long enough to be on the heap";
  const char* where = text.data();
  wipe(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(where[3], '\0');
  char owned[] = "bytes";
  wipe_view({owned, 5});
  EXPECT_EQ(std::string_view(owned, 5), std::string_view("\0\0\0\0\0", 5));
  EXPECT_TRUE(equal_in_constant_time("same", "same"));
  EXPECT_FALSE(equal_in_constant_time("same", "sama"));
  EXPECT_FALSE(equal_in_constant_time("same", "same."));
  EXPECT_TRUE(equal_in_constant_time("", ""));
}

Secret pkcs8_of(EVP_PKEY* owned) {
  EvpKey key(owned);
  base::Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(key.get()));
  unsigned char* der = nullptr;
  int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &der);
  Secret out(std::string_view(reinterpret_cast<char*>(der), static_cast<size_t>(size)));
  OPENSSL_free(der);
  return out;
}

TEST(Pkcs8, OnlyOurTypesAndSizesAreTaken) {
  for (KeyType type : {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519}) {
    auto made = make_pkcs8(type, 2048);
    ASSERT_TRUE(made);
    auto read = read_pkcs8(*made);
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(read->pub.type(), type);
    // Nothing behind it, nothing missing.
    EXPECT_FALSE(read_pkcs8(Secret(std::string(made->view()) + '\0')));
    EXPECT_FALSE(read_pkcs8(Secret(made->view().substr(0, made->size() - 1))));
  }
  EXPECT_FALSE(read_pkcs8(Secret{}));
  EXPECT_FALSE(read_pkcs8(Secret("not a key")));
  EXPECT_FALSE(read_pkcs8(pkcs8_of(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{1024}))));
  EXPECT_FALSE(read_pkcs8(pkcs8_of(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-521"))));
  EXPECT_FALSE(read_pkcs8(pkcs8_of(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "secp256k1"))));
  EXPECT_FALSE(read_pkcs8(pkcs8_of(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"))));
  EXPECT_FALSE(read_pkcs8(pkcs8_of(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448"))));
  EXPECT_FALSE(make_pkcs8(KeyType::rsa, 1024));
}

TEST(Pkcs8, NoChangedByteOfAKeyMakesAnotherKey) {
  auto made = make_pkcs8(KeyType::ec_p256, 0);
  ASSERT_TRUE(made);
  auto original = read_pkcs8(*made);
  ASSERT_TRUE(original);
  for (size_t at = 0; at < made->size(); ++at) {
    Secret changed(made->view());
    changed.data()[at] ^= 0x40;
    auto read = read_pkcs8(changed);
    if (read && read->pub.spki() != original->pub.spki()) {
      ADD_FAILURE() << "byte " << at;
    }
  }
}

TEST(Pkcs8, ACurveSpelledOutOrAPointCompressedIsTheSameKey) {
  EvpKey key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  auto plain = PublicKey::of(key.get());
  ASSERT_TRUE(plain);
  for (auto [name, value] : {std::pair{OSSL_PKEY_PARAM_EC_ENCODING, "explicit"},
                             {OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"}}) {
    EvpKey other(EVP_PKEY_dup(key.get()));
    ASSERT_EQ(EVP_PKEY_set_utf8_string_param(other.get(), name, value), 1);
    unsigned char* der = nullptr;
    int size = i2d_PUBKEY(other.get(), &der);
    std::string spki(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    EXPECT_NE(spki, plain->spki());
    auto read = PublicKey::from_spki(spki);
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(read->spki(), plain->spki());
  }
}

TEST(Pkcs8, AWrappedKeyThatWasChangedIsRefused) {
  Secret key(std::string(32, 'k'));
  EXPECT_EQ(unwrap_key(key, std::string(72, 'x')).error().cause(), Cause::malformed);
  EXPECT_FALSE(unwrap_key(key, ""));
  EXPECT_FALSE(unwrap_key(key, std::string(71, 'x')));
  EXPECT_FALSE(unwrap_key(Secret("short"), std::string(72, 'x')));
}

}  // namespace
}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// The key-encryption key: PINs, sealing, authentication, and when it may be used at all. Derivation is checked against
// HKDF done by hand with HMAC.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "keystore/encoding.h"
#include "keystore/state.h"
#include "test/unit/vault_support.h"

namespace postern::keystore {
namespace {

using base::Cause;
using test::failed_with;
using test::slurp;
using test::spill;
using test::succeeded;
using test::VaultDirectory;

std::string hmac(std::string_view key, std::string_view data) {
  std::string out(32, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const uint8_t*>(data.data()),
       data.size(), reinterpret_cast<uint8_t*>(out.data()), nullptr);
  return out;
}

// RFC 5869 for one block of output.
std::string hkdf(std::string_view key, std::string_view info) {
  return hmac(hmac("postern fipsd 1", key), std::string(info) + "\x01");
}

TEST(VaultKek, PinsAreHkdfOfTheFileAndTheCredential) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  for (const std::string credential : {"", "sealed by a TPM"}) {
    const auto kek = Kek::create(*directory, credential);
    ASSERT_TRUE(succeeded(kek));
    const std::string file = slurp(place / "kek");
    ASSERT_EQ(file.size(), 32u);
    const std::string root = credential.empty() ? file : file + sha256(credential);
    EXPECT_EQ(kek->user_pin().view(), to_base64(hkdf(root, "token user pin"), Base64::url));
    EXPECT_EQ(kek->so_pin().view(), to_base64(hkdf(root, "token so pin"), Base64::url));
    EXPECT_EQ(kek->user_pin().size(), 43u);
    EXPECT_EQ(to_hex(kek->mac("x", "data")), to_hex(hmac(hkdf(root, "mac x"), "data")));
  }
}

TEST(VaultKek, AnInterruptedInitialisationKeepsItAnOperationalDirectoryMakesNone) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  const auto first = Kek::create(*directory, "");
  ASSERT_TRUE(succeeded(first));
  const auto again = Kek::create(*directory, "");
  ASSERT_TRUE(succeeded(again));
  EXPECT_EQ(first->so_pin().view(), again->so_pin().view());
  ASSERT_TRUE(succeeded(directory->set_durable(Condition::operational)));
  EXPECT_TRUE(failed_with(Cause::denied, Kek::create(*directory, "")));
  const auto loaded = Kek::load(*directory, "");
  ASSERT_TRUE(succeeded(loaded));
  EXPECT_EQ(loaded->user_pin().view(), first->user_pin().view());
  EXPECT_NE(Kek::load(*directory, "other")->user_pin().view(), first->user_pin().view());

  ASSERT_TRUE(succeeded(directory->mark(loaded->so_pin())));
  EXPECT_TRUE(failed_with(Cause::denied, Kek::load(*directory, ""))) << "no use of a key once zeroising has begun";
  EXPECT_TRUE(failed_with(Cause::denied, Kek::create(*directory, "")));
}

TEST(VaultKek, ADamagedFileIsNoKey) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  EXPECT_TRUE(failed_with(Cause::not_found, Kek::load(*directory, "")));
  spill(place / "kek", "short");
  EXPECT_TRUE(failed_with(Cause::malformed, Kek::load(*directory, "")));
  EXPECT_TRUE(failed_with(Cause::malformed, Kek::create(*directory, "")));
  spill(place / "kek", std::string(33, 'x'));
  EXPECT_TRUE(failed_with(Cause::limit, Kek::load(*directory, "")));
}

TEST(VaultKek, SealedIsOpenedForItsPurposeOnlyAndEveryChangeIsSeen) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  const auto kek = Kek::create(*directory, "");
  ASSERT_TRUE(succeeded(kek));
  for (const std::string& plain : {std::string(), std::string("x"), std::string(5000, 'k')}) {
    const auto sealed = kek->seal("escrow dkim-1", plain);
    ASSERT_TRUE(succeeded(sealed));
    EXPECT_EQ(sealed->size(), plain.size() + 29);
    const auto opened = kek->open("escrow dkim-1", *sealed);
    ASSERT_TRUE(succeeded(opened));
    EXPECT_EQ(opened->view(), plain);
    EXPECT_TRUE(failed_with(Cause::malformed, kek->open("escrow dkim-2", *sealed)));
    EXPECT_NE(*kek->seal("escrow dkim-1", plain), *sealed) << "a nonce of its own each time";
  }
  const std::string sealed = *kek->seal("c", "a private key");
  for (size_t i = 0; i < sealed.size(); ++i) {
    for (const int bit : {1, 128}) {
      std::string changed = sealed;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      EXPECT_TRUE(failed_with(Cause::malformed, kek->open("c", changed))) << i;
    }
    EXPECT_TRUE(failed_with(Cause::malformed, kek->open("c", sealed.substr(0, i))));
  }
  EXPECT_TRUE(failed_with(Cause::malformed, kek->open("c", sealed + "x")));
}

TEST(VaultKek, MacsDependOnContextDataAndKey) {
  const VaultDirectory place;
  auto directory = StateDirectory::open(place.path());
  ASSERT_TRUE(succeeded(directory));
  const auto kek = Kek::create(*directory, "");
  ASSERT_TRUE(succeeded(kek));
  EXPECT_EQ(kek->mac("a", "b"), kek->mac("a", "b"));
  EXPECT_NE(kek->mac("a", "b"), kek->mac("a", "c"));
  EXPECT_NE(kek->mac("a", "bc"), kek->mac("ab", "c"));
}

}  // namespace
}  // namespace postern::keystore

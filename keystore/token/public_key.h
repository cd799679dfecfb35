// SPDX-License-Identifier: Apache-2.0
// PublicKey: the public half of a token key as OpenSSL has it: made from PKCS#11 attributes or a SubjectPublicKeyInfo,
// compared, and used to check signatures. Immutable once made; any thread.
#pragma once
#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "engine/x509/algorithms.h"

namespace postern::keystore {

using EvpKey = base::Handle<EVP_PKEY, EVP_PKEY_free>;

inline constexpr uint32_t kMinRsaBits = 2048;
inline constexpr uint32_t kMaxRsaBits = 4096;

class PublicKey {
 public:
  // from_spki reads a SubjectPublicKeyInfo (DER, nothing behind it) of one of our types; malformed for anything else.
  static base::Result<PublicKey> from_spki(std::string_view der);
  // from_rsa takes big-endian numbers; from_point the curve's point, with or without its OCTET STRING around it.
  static base::Result<PublicKey> from_rsa(std::string_view modulus, std::string_view exponent);
  static base::Result<PublicKey> from_point(x509::KeyType type, std::string_view point);
  // of takes the public half of a key pair.
  static base::Result<PublicKey> of(const EVP_PKEY* pair);

  x509::KeyType type() const { return type_; }
  uint32_t bits() const { return bits_; }
  // spki returns the canonical encoding (curves named, points uncompressed): equal keys have equal bytes.
  const std::string& spki() const { return spki_; }
  // size returns the length of a raw signature, which for RSA is that of the modulus.
  size_t size() const;
  // modulus and exponent of an RSA key, big-endian without leading zeros; point of a curve key (04 x y, or 32 bytes).
  const std::string& modulus() const { return modulus_; }
  const std::string& exponent() const { return exponent_; }
  const std::string& point() const { return point_; }

  // verify tells whether `signature` (as Token::sign returns it) is right.
  bool verify(x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view input, std::string_view signature) const;

 private:
  PublicKey() = default;
  base::Result<void> fill();

  std::shared_ptr<EVP_PKEY> key_;
  x509::KeyType type_ = x509::KeyType::rsa;
  uint32_t bits_ = 0;
  std::string spki_, modulus_, exponent_, point_;
};

// digest_of returns OpenSSL's digest; null for none.
const EVP_MD* digest_of(x509::Hash hash);

// ecdsa_to_der turns r||s of equal lengths into DER; empty when either is zero or the length is not `size`.
std::string ecdsa_to_der(std::string_view raw, size_t size);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// Public keys as SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7): which type and size they have, their fingerprints,
// PEM, and checking signatures with them. Structures from outside are taken apart by our strict reader before OpenSSL
// sees them; elliptic curves given by parameters instead of by name are refused. Pure functions.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"
#include "engine/x509/openssl.h"

namespace postern::x509 {

inline constexpr size_t kMaxSpki = 2200;       // an RSA key of 16384 bits
inline constexpr uint32_t kMaxRsaBits = 8192;  // of keys we calculate with

struct PublicKey {
  KeyType type = KeyType::rsa;
  uint32_t bits = 0;
};

// read_spki tells type and size of a key in DER; malformed for anything but the four types of algorithms.h in their one
// DER encoding.
base::Result<PublicKey> read_spki(std::string_view spki, OSSL_LIB_CTX* context = nullptr);

// load_public_key gives the key to calculate with: RSA within the bounds above and an exponent of at most 64 bits, the
// curves of NIST and Brainpool, Ed25519 and Ed448. Safe to use from several threads.
base::Result<KeyHandle> load_public_key(std::string_view spki, OSSL_LIB_CTX* context = nullptr);

// check_spki_structure and check_key_bounds are the two halves of that: what must hold before OpenSSL reads the bytes,
// and after.
bool check_spki_structure(std::string_view spki);
bool check_key_bounds(const EVP_PKEY* key);

// key_type tells which of our types an OpenSSL key is.
std::optional<KeyType> key_type(const EVP_PKEY* key);

// sha256 returns the 32 bytes, hex writes bytes as lower-case hexadecimal, unhex reads it in either case.
std::string sha256(std::string_view bytes);
std::string hex(std::string_view bytes);
std::optional<std::string> unhex(std::string_view text);

// spki_hash is the fingerprint of a key: SHA-256 of its SubjectPublicKeyInfo, in hex.
std::string spki_hash(std::string_view spki);

// canonical_spki writes a key the one usual way, whatever encoding it came in (a compressed point, RSA under the
// identifier of RSASSA-PSS), so that a key cannot get round a fingerprint. Empty on failure.
std::string canonical_spki(const EVP_PKEY* key);

// public_key_pem returns "-----BEGIN PUBLIC KEY-----…".
std::string public_key_pem(std::string_view spki);

// verify_signature tells whether `signature` over `input` (the digest; for eddsa the message) is good. PSS salts of any
// length are accepted.
bool verify_signature(EVP_PKEY* key, SignAlgorithm algorithm, Hash hash, std::string_view input,
                      std::string_view signature, OSSL_LIB_CTX* context = nullptr);

// digest returns the digest of `bytes`; `bytes` themselves for Hash::none.
base::Result<std::string> digest(Hash hash, std::string_view bytes);

// openssl_digest_name is the name OpenSSL fetches `hash` by; nullptr for none. hash_from_openssl is the way back, for
// any of a digest's names.
const char* openssl_digest_name(Hash hash);
std::optional<Hash> hash_from_openssl(const EVP_MD* md);

}  // namespace postern::x509

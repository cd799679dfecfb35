// SPDX-License-Identifier: Apache-2.0
// Private keys outside the token: PKCS#8 (RFC 5208, RFC 5958) taken apart for C_CreateObject, made anew, and what a
// token wrapped opened (AES key wrap with padding, RFC 5649). Everything private is in Secrets; what OpenSSL holds for
// a moment it wipes itself.
#pragma once
#include <string>
#include <string_view>

#include "keystore/token/public_key.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

// PrivateParts is what a private key object needs. RSA: all eight numbers; curves: `value` (the scalar at the curve's
// width, or the Ed25519 seed).
struct PrivateParts {
  Secret exponent, prime1, prime2, exponent1, exponent2, coefficient;
  Secret value;
};

struct PrivateKey {
  PublicKey pub;
  PrivateParts parts;
};

// read_pkcs8 takes RSA of 2048 to 4096 bits (two primes), P-256, P-384 and Ed25519, whose halves must belong together;
// malformed otherwise.
base::Result<PrivateKey> read_pkcs8(const Secret& der);

// make_pkcs8 makes a new key in this process: for types a token cannot give back (see Token::wrap).
base::Result<Secret> make_pkcs8(x509::KeyType type, uint32_t bits);

// unwrap_key opens AES-KWP under `key` (32 bytes) and returns the one DER value in it; malformed when its check fails.
// Some tokens (SoftHSM2 2.6) count the padding as part of what they wrapped: up to seven zero bytes are cut.
base::Result<Secret> unwrap_key(const Secret& key, std::string_view wrapped);

}  // namespace postern::keystore

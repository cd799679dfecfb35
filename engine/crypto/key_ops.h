// SPDX-License-Identifier: Apache-2.0
// KeyOps: what the rest of Postern may ask of a private key it never sees: sign, decrypt, tell the public half. The
// implementation is keystore/client, which asks fipsd; tests may use keys in memory. Keys go by the name the
// administrator gave them.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"

namespace postern::crypto {

using x509::DecryptAlgorithm;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

// KeyInfo is the public side of a key.
struct KeyInfo {
  std::string name;
  KeyType type = KeyType::rsa;
  uint32_t bits = 0;  // RSA: of the modulus
  std::string spki;   // SubjectPublicKeyInfo, DER
};

// SignRequest asks for one signature. `input` is the digest (its length is checked against `hash`) or, for eddsa, the
// message, at most kMaxSignInput bytes. The views need to live only as long as the call.
struct SignRequest {
  std::string_view key;
  SignAlgorithm algorithm = SignAlgorithm::rsa_pkcs1;
  Hash hash = Hash::sha256;
  std::string_view input;
};
inline constexpr size_t kMaxSignInput = 48u << 10;

using Deadline = std::chrono::steady_clock::time_point;

// KeyOps is thread-safe; calls block until answered or `deadline`. Errors: unavailable (nobody answers, busy, token
// gone: try again later), denied (this client may not), not_found (no such key), misconfigured (zeroised, not
// initialised, not allowed by the FIPS policy), malformed (the request itself).
class KeyOps {
 public:
  virtual ~KeyOps() = default;

  // sign makes all `requests` at once, so that several signatures of one message cost one wait; the answers are in the
  // same order, each a signature or why there is none.
  virtual std::vector<base::Result<std::string>> sign(std::span<const SignRequest> requests, Deadline deadline) = 0;

  // decrypt opens `ciphertext` with an RSA key.
  virtual base::Result<std::string> decrypt(std::string_view key, DecryptAlgorithm algorithm, Hash hash,
                                            std::string_view label, std::string_view ciphertext, Deadline deadline) = 0;

  // describe returns the public half of `key`.
  virtual base::Result<KeyInfo> describe(std::string_view key, Deadline deadline) = 0;
};

}  // namespace postern::crypto

// SPDX-License-Identifier: Apache-2.0
// Certificate requests (PKCS#10, RFC 2986) and self-signed certificates (RFC 5280) for a key that is somewhere else:
// what is to be signed is put together here, the signature comes from a callback, and the result is checked with the
// public key before it is returned. RSA signs with PKCS#1 and SHA-256, P-256 with SHA-256, P-384 with SHA-384, Ed25519
// as it is.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"

namespace postern::x509 {

inline constexpr size_t kMaxRequestNames = 100;
inline constexpr uint32_t kMaxDays = 36500;

// Signer makes a signature: `input` is the digest or, for eddsa, the message.
using Signer = std::function<base::Result<std::string>(SignAlgorithm algorithm, Hash hash, std::string_view input)>;

// Subject is whom a certificate is for: an RFC 4514 name, and host names, addresses and mailboxes for subjectAltName.
// One of the two may be empty.
struct Subject {
  std::string name;
  std::vector<std::string> names;
};

// split_names reads "a.example,192.0.2.1,who@example.org".
std::vector<std::string> split_names(std::string_view text);

// make_request returns a request in DER.
base::Result<std::string> make_request(const Subject& subject, std::string_view spki, const Signer& sign);

// self_sign returns a certificate in DER, good from one hour before `now` (Unix time; clocks differ) for `days` days,
// for TLS and S/MIME, not an authority.
base::Result<std::string> self_sign(const Subject& subject, std::string_view spki, int64_t now, uint32_t days,
                                    const Signer& sign);

// request_pem writes a request as PEM.
std::string request_pem(std::string_view der);

}  // namespace postern::x509

// SPDX-License-Identifier: Apache-2.0
// What a domain publishes of a DKIM key (RFC 6376 section 3.6.1, RFC 8463 section 4.2), read as strictly as verifiers
// do, and compared with a key. Total: any text gives a record or an error. Pure functions.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::auth {

// KeyRecord is one record. `key` is what p= holds, decoded; empty: the key was revoked.
struct KeyRecord {
  std::string type = "rsa";           // k=, lower case
  std::string key;                    // for rsa a SubjectPublicKeyInfo or RSAPublicKey in DER, for ed25519 32 bytes
  std::vector<std::string> hashes;    // h=; empty: any
  std::vector<std::string> services;  // s=; empty: any
  bool testing = false;               // t=y
  bool strict = false;                // t=s: i= must not name a domain below d=

  bool allows_hash(std::string_view hash) const;
  bool allows_service(std::string_view service) const;
};

// parse_key_record reads the text of a TXT record. Cause::malformed says what is wrong with it.
base::Result<KeyRecord> parse_key_record(std::string_view record);

// holds_key tells whether the record publishes the key whose SubjectPublicKeyInfo (DER) is `spki`.
bool holds_key(const KeyRecord& record, std::string_view spki);

}  // namespace postern::auth

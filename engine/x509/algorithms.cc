// SPDX-License-Identifier: Apache-2.0
// The words for key types and digests.
#include "engine/x509/algorithms.h"

namespace postern::x509 {

std::string_view key_type_name(KeyType type) {
  switch (type) {
    case KeyType::rsa:
      return "rsa";
    case KeyType::ec_p256:
      return "p256";
    case KeyType::ec_p384:
      return "p384";
    case KeyType::ed25519:
      return "ed25519";
  }
  return "unknown";
}

std::optional<KeyType> key_type_from(std::string_view name) {
  for (const KeyType type : {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519}) {
    if (key_type_name(type) == name) return type;
  }
  return std::nullopt;
}

std::string_view hash_name(Hash hash) {
  switch (hash) {
    case Hash::none:
      return "none";
    case Hash::sha1:
      return "sha1";
    case Hash::sha256:
      return "sha256";
    case Hash::sha384:
      return "sha384";
    case Hash::sha512:
      return "sha512";
  }
  return "unknown";
}

size_t hash_size(Hash hash) {
  switch (hash) {
    case Hash::none:
      return 0;
    case Hash::sha1:
      return 20;
    case Hash::sha256:
      return 32;
    case Hash::sha384:
      return 48;
    case Hash::sha512:
      return 64;
  }
  return 0;
}

}  // namespace postern::x509

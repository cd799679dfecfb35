// SPDX-License-Identifier: Apache-2.0
// Keys from outside: PKCS#8, SubjectPublicKeyInfo and what a token says is a point or a wrapped key. What is taken must
// have one canonical public half that reads back as itself, and all of its private numbers.
#include <stdint.h>
#include <stdlib.h>

#include <string_view>

#include "keystore/token/pkcs8.h"
#include "keystore/token/public_key.h"

using namespace postern::keystore;
using postern::x509::KeyType;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  Secret secret(text);
  if (auto key = read_pkcs8(secret)) {
    auto again = PublicKey::from_spki(key->pub.spki());
    if (!again || again->spki() != key->pub.spki() || again->type() != key->pub.type()) abort();
    bool rsa = key->pub.type() == KeyType::rsa;
    if (rsa != key->parts.value.empty() || rsa == key->parts.coefficient.empty()) abort();
  }
  if (auto pub = PublicKey::from_spki(text)) {
    auto again = PublicKey::from_spki(pub->spki());
    if (!again || again->spki() != pub->spki()) abort();
    if (pub->verify(postern::x509::SignAlgorithm::rsa_pkcs1, postern::x509::Hash::sha256, "x", text)) abort();
  }
  for (KeyType type : {KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519}) {
    if (auto pub = PublicKey::from_point(type, text)) {
      if (pub->type() != type || pub->point().empty()) abort();
    }
  }
  Secret key_bytes(std::string_view("01234567890123456789012345678901"));
  if (auto opened = unwrap_key(key_bytes, text); opened && opened->size() > size) abort();
  return 0;
}

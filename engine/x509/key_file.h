// SPDX-License-Identifier: Apache-2.0
// Key files: a private key and its certificates taken out of PEM (plain or encrypted) or PKCS#12, for import into the
// token. The only place where Postern's own programs read a private key; what is read is wiped when it goes.
#pragma once
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"

namespace postern::x509 {

inline constexpr size_t kMaxKeyFile = 1u << 20;

// KeyFile is what was found. Move only; wipes the key.
class KeyFile {
 public:
  KeyFile() = default;
  KeyFile(KeyFile&& other) noexcept;
  KeyFile& operator=(KeyFile&& other) noexcept;
  KeyFile(const KeyFile&) = delete;
  KeyFile& operator=(const KeyFile&) = delete;
  ~KeyFile();

  std::string pkcs8;  // PrivateKeyInfo, DER
  KeyType type = KeyType::rsa;
  uint32_t bits = 0;
  std::string spki;
  std::string chain;  // PEM: the certificate of this key, then who issued it, and so on; may be empty
  size_t unused = 0;  // certificates in the file that are no part of that chain
};

// read_key_file reads `content`. Errors: denied for a wrong or missing password, malformed for what is no key file or
// holds several keys or a type of key that is not used here.
base::Result<KeyFile> read_key_file(std::string_view content, std::string_view password);

// needs_password tells whether `content` is encrypted, so that a password is asked for only then.
bool needs_password(std::string_view content);

}  // namespace postern::x509

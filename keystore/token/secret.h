// SPDX-License-Identifier: Apache-2.0
// Secret: memory for keys and passwords, of engine/base, under the names that the keystore uses; and the comparison of
// two secrets, which is OpenSSL's.
#pragma once
#include <openssl/crypto.h>

#include <string_view>

#include "engine/base/secret.h"

namespace postern::keystore {

using base::Secret;
using base::wipe;
using base::wipe_view;

// equal_in_constant_time compares without telling where two secrets differ.
inline bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace postern::keystore

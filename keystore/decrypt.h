// SPDX-License-Identifier: Apache-2.0
// Unpadding what Token::decrypt_raw gives (RFC 8017 section 7). It is done here and not in the token, because a client
// that can tell good padding from bad can decrypt anything with enough questions. Pure functions, any thread.
#pragma once
#include <string_view>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

// unpad_pkcs1 removes PKCS#1 v1.5 encryption padding. Bad padding is no error: the answer is then a message made up
// from `secret` (32 bytes or more that nobody else knows, the same for the life of the key), the key's public half and
// the ciphertext, so that asking twice tells nothing (implicit rejection). Which of the two it was can be seen neither
// from the time nor from the memory touched. malformed only for lengths that cannot be.
base::Result<Secret> unpad_pkcs1(const Secret& padded, std::string_view secret, std::string_view spki,
                                 std::string_view ciphertext);

// unpad_oaep removes OAEP padding with `hash` for the label and for MGF1. Every failure is the same error (malformed).
base::Result<Secret> unpad_oaep(const Secret& padded, x509::Hash hash, std::string_view label);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// What the vault's files share among themselves.
#pragma once
#include <string>
#include <string_view>

#include "engine/x509/algorithms.h"
#include "keystore/officer.h"
#include "keystore/token/token.h"

namespace postern::keystore {

inline constexpr std::string_view kZeroisedText =
    "that was the third wrong officer password in a row: all keys and certificates have been destroyed";

// wrong_password_text says what a wrong password cost.
std::string wrong_password_text(const Attempt& attempt);

// new_key_id makes the id of a key pair from the kernel's random generator.
base::Result<KeyId> new_key_id();

// escrow_context is what a sealed copy of a key is bound to.
std::string escrow_context(const KeyId& id);

// algorithm_name gives "rsa-pkcs1", "rsa-pss", "ecdsa", "eddsa".
std::string_view algorithm_name(x509::SignAlgorithm algorithm);

}  // namespace postern::keystore

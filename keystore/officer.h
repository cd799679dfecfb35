// SPDX-License-Identifier: Apache-2.0
// Officer: the password that guards keys, and the counting of wrong ones. A failure is on disk before the password is
// looked at, so no crash, kill or parallel attempt gives a free guess; the third in a row zeroises. Used by the officer
// thread alone, which takes attempts one after another.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "keystore/state.h"

namespace postern::keystore {

// PasswordHash is how a password is kept: scrypt, or PBKDF2-HMAC-SHA-256 under strict FIPS policy (both in
// OpenSSL 3.0).
enum class PasswordHash : uint8_t { scrypt, pbkdf2 };

// check_password_policy refuses passwords under 12 characters, over kMaxPassword bytes, with the account name in them
// (any case), of one repeated character, or with control characters; the text says which.
base::Result<void> check_password_policy(std::string_view password, std::string_view account);

// hash_password makes the line stored in the file `officer`; verify_password tells whether `password` is the one
// (constant time). Parameters read from the line are bounded.
base::Result<std::string> hash_password(std::string_view password, PasswordHash kind);
base::Result<bool> verify_password(std::string_view password, std::string_view line);
// is_password_line tells whether verify_password can read `line`.
bool is_password_line(std::string_view line);

// store_password writes the hash of `password` to the file `officer`.
base::Result<void> store_password(StateDirectory& directory, std::string_view password, PasswordHash kind);

// Attempt is the outcome of one login attempt. `failures` is the count after it; `zeroise` says that this was the
// third.
struct Attempt {
  bool accepted = false;
  bool zeroise = false;
  uint32_t failures = 0;
  uint32_t left = kMaxFailures;
  uint32_t delay_seconds = 0;  // to wait before the answer: 1 after the first failure, 5 after the second
};

// attempt counts, checks, and sets the counter back when the password was right. An error means that nobody is logged
// in and that no guess was made: the state is not operational, the hash line is damaged, the attempt could not be
// counted or the password not hashed; or that it was right and the disk did not take the counter's return to 0 (this
// process counts from 0 all the same). With kMaxFailures already on record (a crash in the last attempt) the answer is
// `zeroise` without looking at the password.
base::Result<Attempt> attempt(StateDirectory& directory, std::string_view password);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// The outside of a backup file: one XML element with exactly one spelling, its key derivation and its encryption.
// PROTOCOL.md, "Backup file", has the format in words. What is read is written again and compared with the file, so no
// second spelling of anything is taken. Pure functions; memory and time are bounded by the limits below before a
// password is looked at.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "keystore/officer.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

// Bounds of the costs a file may name. scrypt: 2 to the power of `ln`, blocks of 8, so 16 MiB to 256 MiB.
inline constexpr uint32_t kLeastScryptLn = 14;
inline constexpr uint32_t kMostScryptLn = 18;
inline constexpr uint32_t kLeastRounds = 100'000;
inline constexpr uint32_t kMostRounds = 10'000'000;

inline constexpr size_t kEnvelopeSalt = 32;
inline constexpr size_t kEnvelopeNonce = 12;
inline constexpr size_t kEnvelopeTag = 16;

// EnvelopeHeader is what the start tag says. Every byte of it is authenticated.
struct EnvelopeHeader {
  std::string created;  // RFC 3339, UTC, as in the file
  PasswordHash kdf = PasswordHash::scrypt;
  uint32_t cost = 0;  // scrypt: ln; PBKDF2: rounds
  std::string salt;
  std::string nonce;

  // text is the start tag, which is the associated data.
  std::string text() const;
};

struct Envelope {
  EnvelopeHeader header;
  std::string sealed;  // ciphertext and tag
};

// new_header has a random salt and nonce and today's costs.
base::Result<EnvelopeHeader> new_header(PasswordHash kdf, int64_t created);

// write_envelope makes the whole file.
std::string write_envelope(const Envelope& envelope);
// read_envelope takes a file apart. Errors as read_backup.
base::Result<Envelope> read_envelope(std::string_view file);

// derive_key makes the file's key from the password; Cause::unavailable when there is not enough memory for it.
base::Result<Secret> derive_key(const EnvelopeHeader& header, const Secret& password);

// seal_envelope encrypts `plain`; open_envelope gives it back, or denied when key or any byte is not the one.
base::Result<Envelope> seal_envelope(EnvelopeHeader header, const Secret& key, std::string_view plain);
base::Result<Secret> open_envelope(const Envelope& envelope, const Secret& key);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// Backup: all keys that may leave the token, with names, uses, certificates and the distrust list, as one encrypted,
// authenticated XML file. The format is in PROTOCOL.md. Reading goes the other way round: the envelope is read by a
// strict scanner that knows nothing but this one form (no DTD, no entities, no other parser), its header is bound into
// the authentication, and only what was authenticated is looked at further.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "keystore/catalogue.h"
#include "keystore/officer.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

inline constexpr uint32_t kBackupVersion = 1;

// BackupKey is one object: its catalogue entry and, for keys, the PKCS#8.
struct BackupKey {
  KeyEntry entry;
  Secret pkcs8;
};

struct BackupContent {
  int64_t created = 0;
  std::string token_serial;
  std::vector<BackupKey> keys;
  std::vector<std::string> distrust;
};

// write_backup encrypts under `password` (AES-256-GCM; key by scrypt, or PBKDF2 where `kind` says so).
base::Result<std::string> write_backup(const BackupContent& content, const Secret& password, PasswordHash kind);

// read_backup checks and opens. Errors say which: not a backup file or damaged (malformed), an older or newer format
// version (misconfigured), wrong password or changed content (denied; the two cannot be told apart), cost parameters
// out of bounds (limit). Any change of any byte of the file is one of these.
base::Result<BackupContent> read_backup(std::string_view file, const Secret& password);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// The inside of a backup file: what write_backup encrypts and read_backup finds. Reading trusts nothing, although what
// it reads has been authenticated: who made the file knew the password, not more. Pure functions.
#pragma once
#include "engine/base/error.h"
#include "keystore/backup.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

base::Result<Secret> write_payload(const BackupContent& content);
base::Result<BackupContent> read_payload(const Secret& payload);

}  // namespace postern::keystore

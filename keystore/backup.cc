// SPDX-License-Identifier: Apache-2.0
// Backup files: the payload, encrypted under a key from the password, in its envelope.
#include "keystore/backup.h"

#include <fmt/format.h>

#include "keystore/backup_envelope.h"
#include "keystore/backup_payload.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {
namespace {

using base::Cause;
using base::fail;

base::Result<void> check_password(const Secret& password) {
  if (password.empty() || password.size() > kMaxPassword)
    return fail(Cause::malformed, fmt::format("a backup's password has 1 to {} bytes", kMaxPassword));
  return {};
}

}  // namespace

base::Result<std::string> write_backup(const BackupContent& content, const Secret& password, PasswordHash kind) {
  if (auto good = check_password(password); !good) return std::unexpected(std::move(good.error()));
  const auto payload = write_payload(content);
  if (!payload) return std::unexpected(payload.error());
  auto header = new_header(kind, content.created);
  if (!header) return std::unexpected(std::move(header.error()));
  const auto key = derive_key(*header, password);
  if (!key) return std::unexpected(key.error());
  const auto envelope = seal_envelope(std::move(*header), *key, payload->view());
  if (!envelope) return std::unexpected(envelope.error());
  std::string file = write_envelope(*envelope);
  if (file.size() > kMaxBlob)
    return fail(Cause::limit, "there is more to back up than a backup file may hold (16 MiB)");
  return file;
}

base::Result<BackupContent> read_backup(std::string_view file, const Secret& password) {
  if (auto good = check_password(password); !good) return std::unexpected(std::move(good.error()));
  const auto envelope = read_envelope(file);
  if (!envelope) return std::unexpected(envelope.error());
  const auto key = derive_key(envelope->header, password);
  if (!key) return std::unexpected(key.error());
  const auto payload = open_envelope(*envelope, *key);
  if (!payload) return std::unexpected(payload.error());
  return read_payload(*payload);
}

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// fipsconfig backup and restore. The file is made and read by fipsd; here it is moved, and a new one is opened once
// with its password (and what was in it wiped) so that a backup which cannot be opened is noticed now.
#include <fmt/format.h>

#include "engine/base/text.h"
#include "keystore/backup_envelope.h"
#include "keystore/fipsconfig/session.h"

namespace postern::keystore::fipsconfig {
namespace {

std::string names_in(const Json& list) {
  std::string names;
  for (const Json& name : list) {
    const auto* text = name.get_ptr<const std::string*>();
    if (text != nullptr) names += (names.empty() ? "" : ", ") + shown(*text);
  }
  return names;
}

Answer<std::string> fetch(Session& session, uint64_t size) {
  std::string file;
  file.reserve(size);
  while (file.size() < size) {
    BlobPiece question;
    question.offset = static_cast<uint32_t>(file.size());
    const auto text = session.ask(Verb::blob_get, question.encode());
    if (!text) return std::unexpected(text.error());
    const auto piece = BlobPiece::decode(*text);
    if (!piece) return stop(kUnavailable, piece.error().text());
    if (piece->offset != file.size() || piece->total != size || piece->data.empty() ||
        piece->data.size() > size - file.size()) {
      return stop(kUnavailable, "fipsd sent another piece of the backup than it was asked for");
    }
    file += piece->data;
  }
  return file;
}

// Opens a backup file as a restore would.
Answer<int> try_open(std::string_view file, const Secret& password) {
  const auto envelope = read_envelope(file);
  if (!envelope) return stop_for(envelope.error());
  const auto key = derive_key(envelope->header, password);
  if (!key) return stop_for(key.error());
  const auto payload = open_envelope(*envelope, *key);
  if (!payload) return stop_for(payload.error());
  return kDone;
}

Answer<int> backup(const Common& common, const std::string& path) {
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto password = secrets.fresh_for_backup("Password for the backup: ");
  if (!password) return std::unexpected(password.error());
  const Secret body = secret_body(password->view());
  const auto answer = session->ask_json(Verb::backup, body.view());
  if (!answer) return std::unexpected(answer.error());
  const uint64_t size = number_of(*answer, "size");
  if (size == 0 || size > kMaxBlob) return stop(kUnavailable, "fipsd's answer is not understood");
  const auto file = fetch(*session, size);
  if (!file) return std::unexpected(file.error());
  if (const auto opened = try_open(*file, *password); !opened) return opened;
  if (const auto written = write_file(path, *file, 0600); !written) return written;
  say(fmt::format("{}: {} keys, {} bytes, readable with its password", path, number_of(*answer, "keys"), size));
  if (const std::string left = names_in(member(*answer, "left_out")); !left.empty())
    say("warning: not in the backup, since they may not leave the token: " + left);
  return kDone;
}

Answer<int> restore(const Common& common, const std::string& path) {
  const auto file = read_file(path, kMaxBlob);
  if (!file) return std::unexpected(file.error());
  // What is no backup file needs no password to be refused.
  if (const auto envelope = read_envelope(*file); !envelope) {
    const auto why = stop_for(envelope.error());
    return stop(kBadData, path + ": " + why.error().text);
  }
  Secrets secrets(common);
  auto session = Session::officer(common, secrets);
  if (!session) return std::unexpected(session.error());
  const auto password = secrets.for_backup("Password of the backup: ");
  if (!password) return std::unexpected(password.error());
  for (size_t at = 0; at < file->size(); at += kMaxChunk) {
    BlobPiece piece;
    piece.offset = static_cast<uint32_t>(at);
    piece.total = static_cast<uint32_t>(file->size());
    piece.data = std::string_view(*file).substr(at, kMaxChunk);
    const auto taken = session->ask(Verb::blob_put, piece.encode());
    if (!taken) return std::unexpected(taken.error());
  }
  const Secret body = secret_body(password->view());
  const auto answer = session->ask_json(Verb::restore, body.view());
  if (!answer) return std::unexpected(answer.error());
  say(fmt::format("{} keys restored", number_of(*answer, "keys")));
  return kDone;
}

}  // namespace

int run_backup(const Common& common, const std::string& file) { return finish(backup(common, file)); }
int run_restore(const Common& common, const std::string& file) { return finish(restore(common, file)); }

}  // namespace postern::keystore::fipsconfig

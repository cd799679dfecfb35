// SPDX-License-Identifier: Apache-2.0
// Backup and restore of the vault's content. A restore is all or nothing: every key is in the token and tested before
// one write of the catalogue names them all; before that write they are pending, and a crash removes them.
#include <algorithm>
#include <ctime>
#include <utility>

#include "engine/base/text.h"
#include "keystore/events.h"
#include "keystore/vault.h"
#include "keystore/vault_internal.h"

namespace postern::keystore {

base::Result<Vault::BackupMade> Vault::backup(const Secret& password, const By& by) {
  if (auto ready = need_working(); !ready) return std::unexpected(std::move(ready.error()));
  const auto now = catalogue();
  BackupContent content;
  content.created = std::time(nullptr);
  content.token_serial = token_->identity().serial;
  content.distrust = now->distrust;
  BackupMade made;
  for (const auto& [name, entry] : now->entries) {
    if (entry.has_key && !entry.backup) {
      made.left_out.push_back(name);
      continue;
    }
    BackupKey key;
    key.entry = entry;
    key.entry.escrow.clear();
    if (entry.has_key) {
      auto pkcs8 =
          entry.escrow.empty() ? token_->wrap(entry.ref) : kek_->open(escrow_context(entry.ref.id), entry.escrow);
      if (!pkcs8) return std::unexpected(std::move(pkcs8.error()).in("key '" + name + "'"));
      key.pkcs8 = std::move(*pkcs8);
      made.keys.push_back(name);
    }
    content.keys.push_back(std::move(key));
  }
  if (auto noted = record(Weight::officer, "backup", by, {{"keys", std::to_string(made.keys.size())}}); !noted) {
    return std::unexpected(std::move(noted.error()));
  }
  auto file = write_backup(content, password, password_hash());
  if (!file) return std::unexpected(std::move(file.error()));
  made.file = std::move(*file);
  return made;
}

base::Result<void> Vault::backup_kept(const std::vector<std::string>& keys, const By& by) {
  if (auto ready = need_working(); !ready) return ready;
  Catalogue next = *catalogue();
  for (const std::string& name : keys) {
    if (const auto it = next.entries.find(name); it != next.entries.end()) it->second.backed_up = true;
  }
  if (auto saved = publish(std::move(next)); !saved) return saved;
  base::emit(event(Event::backup_made),
             {{"keys", std::to_string(keys.size())}, {"uid", std::to_string(by.uid)}, {"pid", std::to_string(by.pid)}});
  return {};
}

base::Result<size_t> Vault::restore(std::string_view file, const Secret& password, const By& by) {
  if (auto ready = need_working(); !ready) return std::unexpected(std::move(ready.error()));
  if (auto noted = record(Weight::officer, "restore", by, {{"bytes", std::to_string(file.size())}}); !noted) {
    return std::unexpected(std::move(noted.error()));
  }
  auto content = read_backup(file, password);
  if (!content) {
    (void)record(Weight::officer, "restore-failed", by, {{"reason", content.error().text()}});
    return std::unexpected(std::move(content.error()));
  }
  Catalogue next = *catalogue();
  for (const BackupKey& key : content->keys) {
    const KeyEntry* have = next.find(key.entry.name);
    if (have != nullptr && have->has_key && key.entry.has_key && have->ref.spki != key.entry.ref.spki) {
      return base::fail(base::Cause::denied,
                        "there is another key called '" + key.entry.name + "' here; nothing was restored");
    }
    if (!key.entry.has_key) continue;
    if (auto allowed = check_new_key(settings()->fips, key.entry.ref.type, key.entry.bits, key.entry.uses); !allowed) {
      return std::unexpected(std::move(allowed.error()).in("key '" + key.entry.name + "'; nothing was restored"));
    }
  }
  // Ids first, on disk, so that a crash from here on leaves nothing of this behind.
  std::vector<KeyId> ids;
  for (const BackupKey& key : content->keys) {
    auto id = new_key_id();
    if (!id) return std::unexpected(std::move(id.error()));
    ids.push_back(*id);
    if (key.entry.has_key) next.pending.push_back(*id);
  }
  if (auto saved = publish(next); !saved) return std::unexpected(std::move(saved.error()));
  next = *catalogue();

  size_t restored = 0;
  base::Result<void> outcome;
  for (size_t i = 0; i < content->keys.size() && outcome; ++i) {
    BackupKey& from = content->keys[i];
    const KeyEntry* have = next.find(from.entry.name);
    if (have != nullptr && (have->has_key || !from.entry.has_key)) continue;  // here already
    KeyEntry entry = std::move(from.entry);
    if (entry.has_key) {
      const NewKey key{entry.name, entry.ref.type, entry.bits, entry.uses, true};
      auto made = put_into_token(key, &from.pkcs8, ids[i]);
      if (!made) {
        outcome = std::unexpected(std::move(made.error()).in("key '" + entry.name + "'"));
        break;
      }
      if (made->ref.spki != entry.ref.spki) {
        outcome =
            base::fail(base::Cause::malformed, "key '" + entry.name + "' and its public half do not belong together");
        break;
      }
      made->imported = entry.imported;
      made->created = entry.created;
      made->backed_up = true;
      made->chain = std::move(entry.chain);
      entry = std::move(*made);
      ++restored;
    }
    next.entries.insert_or_assign(entry.name, std::move(entry));
  }
  if (!outcome) {
    Catalogue before = *catalogue();
    for (const KeyId& id : ids) {
      if (token_->destroy(id)) std::erase(before.pending, id);
    }
    (void)publish(std::move(before));
    (void)record(Weight::officer, "restore-failed", by, {{"reason", outcome.error().text()}});
    return std::unexpected(std::move(outcome.error()).in("nothing was restored"));
  }
  for (const KeyId& id : ids) std::erase(next.pending, id);
  for (const std::string& entry : content->distrust) {
    if (std::ranges::find(next.distrust, entry) == next.distrust.end()) next.distrust.push_back(entry);
  }
  if (auto saved = publish(std::move(next)); !saved) return std::unexpected(std::move(saved.error()));
  base::emit(event(Event::restored),
             {{"keys", std::to_string(restored)}, {"created", base::format_time(content->created)}});
  return restored;
}

}  // namespace postern::keystore

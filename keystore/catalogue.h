// SPDX-License-Identifier: Apache-2.0
// Catalogue: the names of keys and certificates and what belongs to them: id and public key in the token, uses, whether
// a backup may hold it and whether one does, certificate chain, and the distrust list. One file, authenticated with the
// key-encryption key and replaced as a whole, so a restore or rename is all or nothing. An operation that makes token
// objects first notes their ids as `pending`; what is pending at the next start and belongs to no key is destroyed.
// Immutable snapshots: readers take a shared_ptr, the officer thread alone makes a new one.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "keystore/state.h"
#include "keystore/token/token.h"

namespace postern::keystore {

// KeyEntry is one named object. A certificate alone (no key of ours) has `has_key` false.
struct KeyEntry {
  std::string name;
  bool has_key = true;
  KeyRef ref;
  uint32_t bits = 0;
  uint32_t uses = 0;       // bits of Use
  bool backup = true;      // may stand in a backup
  bool backed_up = false;  // a backup made since holds it
  bool imported = false;
  int64_t created = 0;  // Unix time
  std::string escrow;   // PKCS#8 sealed with the key-encryption key, where the token cannot wrap this type
  std::string chain;    // PEM, leaf first; may be empty
};

struct Catalogue {
  std::map<std::string, KeyEntry, std::less<>> entries;
  std::vector<std::string> distrust;  // entries as in DistrustBody
  std::vector<KeyId> pending;
  uint64_t generation = 0;  // grows with each save

  const KeyEntry* find(std::string_view name) const;
  size_t keys_without_backup() const;
};

// Bounds of a catalogue; save_catalogue refuses what load_catalogue would not read again (Cause::limit).
inline constexpr size_t kMaxEntries = 16384;
inline constexpr size_t kMaxDistrust = 16384;
inline constexpr size_t kMaxPending = 16384;
inline constexpr size_t kMaxCatalogue = 64u << 20;

// load reads and checks the file; not_found where there is none, malformed when it was changed or damaged.
base::Result<Catalogue> load_catalogue(const StateDirectory& directory, const Kek& kek);
// save writes `catalogue` with generation + 1, and leaves it with that number when it is on disk.
base::Result<void> save_catalogue(StateDirectory& directory, const Kek& kek, Catalogue& catalogue);

// write_catalogue and read_catalogue are the JSON text inside the authenticated file. The reader takes nothing that the
// writer would not have written: every field of every entry, each once, no other, within bounds.
base::Result<std::string> write_catalogue(const Catalogue& catalogue);
base::Result<Catalogue> read_catalogue(std::string_view text);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// A data key belongs to a name and to the very key that had it then: a key made anew under an old name gets a data key
// of its own. Gateways that share a database and make one at the same moment: the first one's stays, the others take
// it.
#include "engine/store/key_ring.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <ctime>

#include "engine/store/columns.h"
#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"

namespace postern::store {

using base::Cause;
using base::fail;
using base::Result;
using base::Secret;
using Clock = std::chrono::steady_clock;

namespace {

// The label binds a wrapped data key to its id and to this purpose: the same key may open other things, too.
std::string label_of(const std::string& id) { return "postern store key 1 " + id; }

// Whether an error is an answer, and not the want of one.
bool is_final(const base::Error& error) {
  return error.cause() == Cause::denied || error.cause() == Cause::misconfigured;
}

}  // namespace

KeyRing::Key KeyRing::known(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(loaded_, [&](const Loaded& loaded) { return loaded.key->id == id; });
  return found == loaded_.end() ? nullptr : found->key;
}

void KeyRing::remember(const Loaded& loaded, bool current) {
  const std::lock_guard lock(mutex_);
  const bool there = std::ranges::any_of(loaded_, [&](const Loaded& one) { return one.key->id == loaded.key->id; });
  if (!there) loaded_.push_back(loaded);
  if (current) current_ = loaded.key;
}

void KeyRing::forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::erase_if(loaded_, [&](const Loaded& loaded) { return loaded.name == name; });
  if (name == name_) current_.reset();
}

std::vector<KeyRing::Key> KeyRing::loaded() const {
  const std::lock_guard lock(mutex_);
  std::vector<Key> out;
  for (const Loaded& loaded : loaded_) out.push_back(loaded.key);
  return out;
}

// unwrap opens a row of id and wrapped key.
Result<KeyRing::Loaded> KeyRing::unwrap(const Row& row, std::string name, std::string fingerprint) {
  const std::string& id = row.text(0);
  const auto wrapped = x509::unhex(row.text(1));
  if (!wrapped) return fail(Cause::internal, fmt::format("the store's data key {} is damaged", id));
  auto secret = keys_->unwrap(name, label_of(id), *wrapped);
  if (!secret) return std::unexpected(std::move(secret.error()).in(fmt::format("the store's data key {}", id)));
  if (secret->size() != kDataKeySize) return fail(Cause::internal, fmt::format("the store's data key {} is none", id));
  auto key = std::make_shared<const DataKey>(DataKey{id, std::move(*secret)});
  return Loaded{std::move(key), std::move(name), std::move(fingerprint)};
}

// make finds or makes the data key of the configured name. One that was just made is unwrapped, too, before anything is
// encrypted with it: what could not be read again is never written.
Result<KeyRing::Loaded> KeyRing::make(const Ask& ask) {
  auto fingerprint = keys_->fingerprint(name_);
  if (!fingerprint) return std::unexpected(std::move(fingerprint.error()));
  const auto find = [&] {
    return ask("SELECT id, wrapped FROM store_key WHERE name = $1 AND fingerprint = $2", {name_, *fingerprint});
  };
  auto rows = find();
  if (rows && rows->empty()) {
    const std::string id = random_name();
    Secret secret = Secret::sized(kDataKeySize);
    if (id.empty() ||
        RAND_priv_bytes(reinterpret_cast<unsigned char*>(secret.data()), static_cast<int>(secret.size())) != 1) {
      return std::unexpected(x509::openssl_error(Cause::internal, "random bytes"));
    }
    auto wrapped = keys_->wrap(name_, label_of(id), secret);
    if (!wrapped) return std::unexpected(std::move(wrapped.error()));
    auto made =
        ask("INSERT INTO store_key (id, name, fingerprint, wrapped, created) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT (name, fingerprint) DO NOTHING",
            {id, name_, *fingerprint, x509::hex(*wrapped), static_cast<int64_t>(std::time(nullptr))});
    if (!made) return std::unexpected(std::move(made.error()));
    rows = find();
  }
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(Cause::unavailable, "the store's data key was removed while it was made");
  return unwrap(rows->front(), name_, std::move(*fingerprint));
}

Result<KeyRing::Key> KeyRing::current(const Ask& ask) {
  if (name_.empty()) return nullptr;
  const auto ready = [this]() -> std::optional<Result<Key>> {
    const std::lock_guard lock(mutex_);
    if (current_ != nullptr) return current_;
    if (failure_ && Clock::now() - failed_ < retry_) return std::unexpected(*failure_);
    return std::nullopt;
  };
  if (auto answer = ready()) return *answer;
  const std::lock_guard turn(asking_);
  if (auto answer = ready()) return *answer;
  auto made = keys_ == nullptr ? fail(Cause::misconfigured, "nobody is named who has keys") : make(ask);
  if (made) {
    remember(*made, true);
    return made->key;
  }
  const std::lock_guard lock(mutex_);
  failure_ = std::move(made.error());
  failed_ = Clock::now();
  return std::unexpected(*failure_);
}

Result<KeyRing::Key> KeyRing::find(const Ask& ask, const std::string& id) {
  if (Key key = known(id)) return key;
  const std::lock_guard turn(asking_);
  if (Key key = known(id)) return key;
  auto rows = ask("SELECT id, wrapped, name, fingerprint FROM store_key WHERE id = $1", {id});
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(Cause::internal, fmt::format("the store does not know the data key {}", shown(id)));
  if (keys_ == nullptr) return fail(Cause::misconfigured, "nobody is named who has keys");
  const Row& row = rows->front();
  auto loaded = unwrap(row, row.text(2), row.text(3));
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  remember(*loaded, false);
  return loaded->key;
}

Result<void> KeyRing::check(const Ask& ask) {
  std::vector<Loaded> all;
  {
    const std::lock_guard lock(mutex_);
    all = loaded_;
  }
  Result<void> gone;
  for (const Loaded& loaded : all) {
    const auto fingerprint = keys_->fingerprint(loaded.name);
    if (fingerprint ? *fingerprint == loaded.fingerprint : !is_final(fingerprint.error())) continue;
    forget(loaded.name);
    if (!fingerprint && loaded.name == name_) gone = std::unexpected(fingerprint.error());
  }
  if (!gone) return gone;
  auto key = current(ask);
  if (!key) return std::unexpected(std::move(key.error()));
  return {};
}

}  // namespace postern::store

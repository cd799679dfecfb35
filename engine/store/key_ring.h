// SPDX-License-Identifier: Apache-2.0
// KeyRing: the data keys of one store. They lie in its table store_key, wrapped with keys that somebody else keeps
// (ContentKeys); each is unwrapped when it is first needed and then stays in memory. New contents take the key that
// lies under the configured name, which is made where there is none. Private to the store; may be used from any thread,
// by one that has no connection in hand.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/store/content_keys.h"
#include "engine/store/database.h"
#include "engine/store/sealed.h"

namespace postern::store {

class KeyRing {
 public:
  using Key = std::shared_ptr<const DataKey>;
  // Ask runs one statement on a connection of its own.
  using Ask = std::function<base::Result<Rows>(std::string_view sql, const Values& values)>;

  // `name` is the key that new data keys are wrapped with; empty: new contents are stored as they are. After a failure
  // nothing is asked for `retry`: who comes then has the failure at once.
  KeyRing(std::shared_ptr<ContentKeys> keys, std::string name, std::chrono::nanoseconds retry)
      : keys_(std::move(keys)), name_(std::move(name)), retry_(retry) {}

  // current returns the key for new contents; nullptr where they are stored as they are.
  base::Result<Key> current(const Ask& ask);
  // find returns the key of a content that is there.
  base::Result<Key> find(const Ask& ask, const std::string& id);
  // check looks whether the keys that are in memory may still be used, and forgets those that may not: what would be
  // encrypted with them could never be read again. Whoever is to be asked being away is no reason.
  base::Result<void> check(const Ask& ask);
  // loaded returns all keys in memory.
  std::vector<Key> loaded() const;

 private:
  struct Loaded {
    Key key;
    std::string name;
    std::string fingerprint;
  };
  base::Result<Loaded> make(const Ask& ask);
  base::Result<Loaded> unwrap(const Row& row, std::string name, std::string fingerprint);
  Key known(const std::string& id) const;
  void remember(const Loaded& loaded, bool current);
  void forget(const std::string& name);

  const std::shared_ptr<ContentKeys> keys_;
  const std::string name_;
  const std::chrono::nanoseconds retry_;
  std::mutex asking_;         // held while somebody is asked: the others wait for the outcome
  mutable std::mutex mutex_;  // of what follows; never held for long
  std::vector<Loaded> loaded_;
  Key current_;
  std::optional<base::Error> failure_;  // of the last attempt at current()
  std::chrono::steady_clock::time_point failed_;
};

}  // namespace postern::store

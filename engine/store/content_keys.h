// SPDX-License-Identifier: Apache-2.0
// ContentKeys: who keeps the keys under which the store's own data keys lie, so that contents can be encrypted without
// the store knowing where keys are kept. A data key is wrapped once, when it is made, and unwrapped once in the life of
// a process; contents are never sent anywhere.
#pragma once
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/secret.h"

namespace postern::store {

// ContentKeys is called from any thread, without a connection of the store in hand; calls may wait some seconds.
// Errors: unavailable (nobody can be asked now), denied, misconfigured (there is no such key any more, it cannot be
// used, or it is another one than it was).
class ContentKeys {
 public:
  virtual ~ContentKeys() = default;

  // fingerprint tells which key goes by `name` now: another key under the same name has another one.
  virtual base::Result<std::string> fingerprint(const std::string& name) = 0;
  // wrap encrypts `secret` to the key `name`; `label` must be the same for unwrap. Any bytes are returned.
  virtual base::Result<std::string> wrap(const std::string& name, std::string_view label,
                                         const base::Secret& secret) = 0;
  virtual base::Result<base::Secret> unwrap(const std::string& name, std::string_view label,
                                            std::string_view wrapped) = 0;
};

}  // namespace postern::store

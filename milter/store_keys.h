// SPDX-License-Identifier: Apache-2.0
// StoreKeys: the store's data keys lie wrapped with an RSA key that only fipsd has. Wrapping is done here, to the
// public half (RSA-OAEP with SHA-256); unwrapping is one request to fipsd. Any thread.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "engine/crypto/key_ops.h"
#include "engine/store/content_keys.h"
#include "engine/store/store.h"
#include "milter/settings.h"

namespace postern::milter {

class StoreKeys final : public store::ContentKeys {
 public:
  StoreKeys(std::shared_ptr<crypto::KeyOps> ops, std::chrono::seconds patience)
      : ops_(std::move(ops)), patience_(patience) {}

  base::Result<std::string> fingerprint(const std::string& name) override;
  base::Result<std::string> wrap(const std::string& name, std::string_view label, const base::Secret& secret) override;
  base::Result<base::Secret> unwrap(const std::string& name, std::string_view label, std::string_view wrapped) override;

 private:
  base::Result<crypto::KeyInfo> describe(const std::string& name);
  crypto::Deadline deadline() const { return std::chrono::steady_clock::now() + patience_; }

  const std::shared_ptr<crypto::KeyOps> ops_;
  const std::chrono::seconds patience_;
};

// store_place is the store that `settings` name, and how its contents are encrypted.
store::Store::Open store_place(const Settings& settings, bool create, size_t connections);

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// SoftKeys: crypto::KeyOps with keys in memory, for tests of what signs. Never part of an installed program.
// Thread-safe once filled.
#pragma once
#include <openssl/evp.h>

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/handle.h"
#include "engine/crypto/key_ops.h"

namespace postern::test {

class SoftKeys final : public crypto::KeyOps {
 public:
  // generate makes a key; `bits` is for rsa.
  void generate(const std::string& name, crypto::KeyType type, unsigned bits = 2048);
  // keep is generate for a key that stays in the file `path` (PEM) from run to run.
  void keep(const std::string& name, crypto::KeyType type, const std::string& path);
  // add_ed25519 takes the 32 bytes of a private key.
  void add_ed25519(const std::string& name, std::string_view secret);

  // record returns the TXT record that publishes `name` ("v=DKIM1; k=rsa; p=…").
  std::string record(const std::string& name) const;
  // verify tells whether `signature` is right for `input` as given to sign().
  bool verify(const std::string& name, std::string_view input, std::string_view signature) const;

  // While set, every call fails with this.
  std::optional<base::Error> failure;
  std::atomic<unsigned> sign_calls{0};
  std::atomic<unsigned> describe_calls{0};

  std::vector<base::Result<std::string>> sign(std::span<const crypto::SignRequest> requests,
                                              crypto::Deadline deadline) override;
  base::Result<std::string> decrypt(std::string_view key, crypto::DecryptAlgorithm algorithm, crypto::Hash hash,
                                    std::string_view label, std::string_view ciphertext,
                                    crypto::Deadline deadline) override;
  base::Result<crypto::KeyInfo> describe(std::string_view key, crypto::Deadline deadline) override;

 private:
  struct Key {
    crypto::KeyType type;
    base::Handle<EVP_PKEY, EVP_PKEY_free> pkey;
  };
  base::Result<std::string> sign_one(const crypto::SignRequest& request) const;
  std::map<std::string, Key, std::less<>> keys_;
};

// base64 writes standard base64 in one line.
std::string base64(std::string_view bytes);

}  // namespace postern::test

// SPDX-License-Identifier: Apache-2.0
// ProviderKey: a key as OpenSSL sees it: a name at fipsd and its public half. Immutable and reference-counted; any
// thread.
#pragma once
#include <atomic>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"
#include "keystore/provider/provider.h"

namespace postern::keystore {

class ProviderKey {
 public:
  // make reads the public half. The new key is referred to once.
  static base::Result<ProviderKey*> make(Provider& provider, std::string_view name, std::string_view spki);

  ProviderKey* share() {
    references_.fetch_add(1, std::memory_order_relaxed);
    return this;
  }
  static void drop(ProviderKey* key) {
    if (key != nullptr && key->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete key;
  }

  Provider& provider() const { return provider_; }
  const std::string& name() const { return name_; }
  x509::KeyType type() const { return public_.type; }
  uint32_t bits() const { return public_.bits; }
  EVP_PKEY* public_key() const { return key_.get(); }
  // signature_size is the longest signature this key makes, or the longest plaintext.
  size_t signature_size() const { return static_cast<size_t>(EVP_PKEY_get_size(key_.get())); }

  // sign has fipsd sign, and checks the signature with the public half: what another key made under this name, or a
  // faulty token, does not leave here. The error is raised; empty then.
  std::string sign(x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view input) const;

 private:
  ProviderKey(Provider& provider, std::string_view name, x509::PublicKey facts, x509::KeyHandle key)
      : provider_(provider), name_(name), public_(facts), key_(std::move(key)) {}

  Provider& provider_;
  const std::string name_;
  const x509::PublicKey public_;
  const x509::KeyHandle key_;  // in the inner context
  std::atomic<uint32_t> references_{1};
};

using ProviderKeyHandle = base::Handle<ProviderKey, ProviderKey::drop>;

// openssl_key_type is the name OpenSSL knows a type by.
const char* openssl_key_type(x509::KeyType type);

// hand_over gives a fresh key to a loader's callback as an object reference; whoever loads it takes it over, and what
// nobody took is dropped.
int hand_over(ProviderKeyHandle key, OSSL_CALLBACK* callback, void* argument);

}  // namespace postern::keystore

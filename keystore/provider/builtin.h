// SPDX-License-Identifier: Apache-2.0
// KeyLibrary: an OpenSSL library context of one's own with the default provider and the provider "fipsd" built in, for
// CMS, TLS and LDAP in a program of ours. Nothing is read from openssl.cnf and nothing in the process's default context
// changes. Every object that is to work with such keys must be made with context(): X509_new_ex, SSL_CTX_new_ex,
// CMS_sign_ex and so on; and go before the library does. Thread-safe once created.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/crypto/key_ops.h"
#include "engine/x509/openssl.h"
#include "keystore/provider/provider.h"

namespace postern::keystore {

class KeyLibrary {
 public:
  // create uses `keys` for every operation, each with `timeout`; the other form makes a client for `socket`.
  static base::Result<std::unique_ptr<KeyLibrary>> create(std::shared_ptr<crypto::KeyOps> keys,
                                                          std::chrono::milliseconds timeout = kDefaultTimeout);
  static base::Result<std::unique_ptr<KeyLibrary>> create(const std::string& socket,
                                                          std::chrono::milliseconds timeout = kDefaultTimeout);

  OSSL_LIB_CTX* context() const { return context_.get(); }

  // key gives the key called `name`. Without a public key fipsd is asked for it; with one (SPKI, from the certificate,
  // say) nobody is asked, and operations fail when fipsd's key is another one.
  base::Result<x509::KeyHandle> key(std::string_view name) const;
  base::Result<x509::KeyHandle> key(std::string_view name, std::string_view spki) const;

 private:
  KeyLibrary() = default;
  std::shared_ptr<crypto::KeyOps> keys_;
  std::chrono::milliseconds timeout_{};
  base::Handle<OSSL_LIB_CTX, OSSL_LIB_CTX_free> context_;
  base::Handle<OSSL_PROVIDER, OSSL_PROVIDER_unload> default_;
  base::Handle<OSSL_PROVIDER, OSSL_PROVIDER_unload> fipsd_;
};

}  // namespace postern::keystore

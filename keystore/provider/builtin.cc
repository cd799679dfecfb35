// SPDX-License-Identifier: Apache-2.0
// The provider inside a program. OpenSSL 3.0 gives a built-in provider no parameters, so what it needs is laid out in a
// thread-local variable while it is loaded, which happens in the call.
#include "keystore/provider/builtin.h"

#include <openssl/decoder.h>

#include "keystore/client/client.h"
#include "keystore/provider/reference.h"

namespace postern::keystore {

namespace {

struct Start {
  std::shared_ptr<crypto::KeyOps> keys;
  std::chrono::milliseconds timeout{};
};
thread_local const Start* pending = nullptr;

extern "C" int start_builtin(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* in, const OSSL_DISPATCH** out,
                             void** context) {
  if (pending == nullptr) return 0;
  return start_provider(handle, in, out, context, pending->keys, pending->timeout);
}

}  // namespace

base::Result<std::unique_ptr<KeyLibrary>> KeyLibrary::create(std::shared_ptr<crypto::KeyOps> keys,
                                                             std::chrono::milliseconds timeout) {
  std::unique_ptr<KeyLibrary> library(new KeyLibrary());
  library->keys_ = keys;
  library->timeout_ = timeout;
  library->context_.reset(OSSL_LIB_CTX_new());
  OSSL_LIB_CTX* context = library->context_.get();
  if (context == nullptr || OSSL_PROVIDER_add_builtin(context, kProviderName, start_builtin) != 1) {
    return std::unexpected(x509::openssl_error(base::Cause::internal, "library context"));
  }
  // The default provider first: of two that offer an algorithm OpenSSL takes the one loaded first.
  library->default_.reset(OSSL_PROVIDER_load(context, "default"));
  const Start start{std::move(keys), timeout};
  pending = &start;
  library->fipsd_.reset(OSSL_PROVIDER_load(context, kProviderName));
  pending = nullptr;
  if (!library->default_ || !library->fipsd_) {
    return std::unexpected(x509::openssl_error(base::Cause::internal, "loading providers"));
  }
  return library;
}

base::Result<std::unique_ptr<KeyLibrary>> KeyLibrary::create(const std::string& socket,
                                                             std::chrono::milliseconds timeout) {
  ClientOptions options;
  options.socket = socket;
  return create(std::make_shared<Client>(std::move(options)), timeout);
}

base::Result<x509::KeyHandle> KeyLibrary::key(std::string_view name) const {
  const auto info = keys_->describe(name, std::chrono::steady_clock::now() + timeout_);
  if (!info) return std::unexpected(info.error());
  return key(name, info->spki);
}

base::Result<x509::KeyHandle> KeyLibrary::key(std::string_view name, std::string_view spki) const {
  const std::string der = write_reference(name, spki);
  EVP_PKEY* raw = nullptr;
  const base::Handle<OSSL_DECODER_CTX, OSSL_DECODER_CTX_free> decoder(OSSL_DECODER_CTX_new_for_pkey(
      &raw, "DER", "PrivateKeyInfo", nullptr, EVP_PKEY_KEYPAIR, context_.get(), "provider=fipsd"));
  const unsigned char* at = x509::bytes_of(der);
  size_t size = der.size();
  const bool done = decoder && OSSL_DECODER_from_data(decoder.get(), &at, &size) == 1;
  x509::KeyHandle key(raw);
  if (!done || !key) return std::unexpected(x509::openssl_error(base::Cause::malformed, "key " + std::string(name)));
  return key;
}

}  // namespace postern::keystore

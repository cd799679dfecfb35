// SPDX-License-Identifier: Apache-2.0
// The OpenSSL 3 provider "fipsd": keys that are names, operations that fipsd does. One Provider object per library
// context that loads it. It makes no thread, holds no lock during a call to fipsd but those of its client, and its
// calls return by a deadline. Everything public about a key (sizes, export, matching, checking signatures) is left to
// OpenSSL's own provider in an inner library context, so nothing here recurses into the program's context.
//
// Exports of private halves are refused. That is not only the point of the thing: OpenSSL 3.0 tries every operation
// with the default provider first and comes back to us only when the key cannot be exported to it.
#pragma once
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "engine/crypto/key_ops.h"

namespace postern::keystore {

inline constexpr const char* kProviderName = "fipsd";
inline constexpr const char* kDefaultSocket = "/run/fipsd/postfix.sock";
inline constexpr std::chrono::milliseconds kDefaultTimeout{5000};
inline constexpr std::chrono::milliseconds kMaxTimeout{120000};

// Reason is what a program's error queue shows; the text behind it says more.
enum class Reason : int {
  unavailable = 1,
  denied,
  no_such_key,
  misconfigured,
  unsupported,
  wrong_key,
  bad_reference,
  failed,
};

class Provider {
 public:
  // create reads the provider's section of openssl.cnf by the core's upcalls; `keys` (may be null) replaces the client
  // that would be made from it.
  static base::Result<std::unique_ptr<Provider>> create(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* upcalls,
                                                        std::shared_ptr<crypto::KeyOps> keys,
                                                        std::chrono::milliseconds timeout);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  OSSL_LIB_CTX* inner() const { return inner_.get(); }
  crypto::KeyOps& keys() const { return *keys_; }
  crypto::Deadline deadline() const { return std::chrono::steady_clock::now() + timeout_; }

  // raise puts an error on the program's queue; the Error form chooses the reason by its cause.
  void raise(Reason reason, std::string_view text) const;
  void raise(const base::Error& error) const;

  // read takes everything out of the core's BIO, at most `most` bytes; more is nullopt-like: an empty string.
  std::string read(OSSL_CORE_BIO* bio, size_t most) const;

 private:
  Provider() = default;

  const OSSL_CORE_HANDLE* handle_ = nullptr;
  OSSL_FUNC_core_new_error_fn* new_error_ = nullptr;
  OSSL_FUNC_core_set_error_debug_fn* set_error_debug_ = nullptr;
  OSSL_FUNC_core_vset_error_fn* vset_error_ = nullptr;
  OSSL_FUNC_BIO_read_ex_fn* bio_read_ = nullptr;
  base::Handle<OSSL_LIB_CTX, OSSL_LIB_CTX_free> inner_;
  base::Handle<OSSL_PROVIDER, OSSL_PROVIDER_unload> default_;  // goes before its context
  std::shared_ptr<crypto::KeyOps> keys_;
  std::chrono::milliseconds timeout_ = kDefaultTimeout;
};

// start_provider is what OSSL_provider_init does; 1 when done.
int start_provider(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* upcalls, const OSSL_DISPATCH** out,
                   void** context, std::shared_ptr<crypto::KeyOps> keys, std::chrono::milliseconds timeout);

// Border is a function as OpenSSL may call it: no exception leaves it, instead it returns 0 or null.
template <auto F>
struct Border;
template <class R, class... A, R (*F)(A...)>
struct Border<F> {
  static R call(A... arguments) noexcept {
    try {
      return F(arguments...);
    } catch (...) {
      return R();
    }
  }
};

// entry makes one row of a dispatch table; Expected is OpenSSL's type of the function, which the compiler compares.
template <class Expected, auto F>
OSSL_DISPATCH entry(int id) {
  static_assert(std::is_same_v<Expected*, decltype(F)>);
  return {id, reinterpret_cast<void (*)()>(&Border<F>::call)};
}

// The implementations of the operations, each in a file of its own; ended by an empty row.
extern const OSSL_ALGORITHM kKeyManagement[];
extern const OSSL_ALGORITHM kSignatures[];
extern const OSSL_ALGORITHM kAsymmetricCiphers[];
extern const OSSL_ALGORITHM kStores[];
extern const OSSL_ALGORITHM kDecoders[];

}  // namespace postern::keystore

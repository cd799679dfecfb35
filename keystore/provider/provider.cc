// SPDX-License-Identifier: Apache-2.0
// Starting and ending the provider, its parameters and errors.
#include "keystore/provider/provider.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <array>
#include <cstdarg>
#include <cstring>

#include "engine/base/text.h"
#include "keystore/client/client.h"

namespace postern::keystore {

namespace {

using base::Cause;

constexpr OSSL_ITEM kReasons[] = {
    {static_cast<unsigned int>(Reason::unavailable), const_cast<char*>("fipsd does not answer")},
    {static_cast<unsigned int>(Reason::denied), const_cast<char*>("fipsd does not allow it")},
    {static_cast<unsigned int>(Reason::no_such_key), const_cast<char*>("no such key at fipsd")},
    {static_cast<unsigned int>(Reason::misconfigured), const_cast<char*>("fipsd cannot do it as it is set up")},
    {static_cast<unsigned int>(Reason::unsupported), const_cast<char*>("not supported with keys at fipsd")},
    {static_cast<unsigned int>(Reason::wrong_key), const_cast<char*>("fipsd has another key under this name")},
    {static_cast<unsigned int>(Reason::bad_reference), const_cast<char*>("bad key reference")},
    {static_cast<unsigned int>(Reason::failed), const_cast<char*>("operation failed")},
    {0, nullptr},
};

Reason reason_of(Cause cause) {
  switch (cause) {
    case Cause::unavailable:
      return Reason::unavailable;
    case Cause::denied:
      return Reason::denied;
    case Cause::not_found:
      return Reason::no_such_key;
    case Cause::misconfigured:
      return Reason::misconfigured;
    case Cause::malformed:
    case Cause::limit:
      return Reason::unsupported;
    case Cause::internal:
      break;
  }
  return Reason::failed;
}

void teardown(void* context) { delete static_cast<Provider*>(context); }

const OSSL_PARAM* gettable_params(void* /*context*/) {
  static const OSSL_PARAM kParams[] = {
      OSSL_PARAM_DEFN(OSSL_PROV_PARAM_NAME, OSSL_PARAM_UTF8_PTR, nullptr, 0),
      OSSL_PARAM_DEFN(OSSL_PROV_PARAM_VERSION, OSSL_PARAM_UTF8_PTR, nullptr, 0),
      OSSL_PARAM_DEFN(OSSL_PROV_PARAM_BUILDINFO, OSSL_PARAM_UTF8_PTR, nullptr, 0),
      OSSL_PARAM_DEFN(OSSL_PROV_PARAM_STATUS, OSSL_PARAM_INTEGER, nullptr, 0),
      OSSL_PARAM_END,
  };
  return kParams;
}

int get_params(void* /*context*/, OSSL_PARAM params[]) {
  const auto text = [&](const char* key, const char* value) {
    OSSL_PARAM* at = OSSL_PARAM_locate(params, key);
    return at == nullptr || OSSL_PARAM_set_utf8_ptr(at, value) == 1;
  };
  OSSL_PARAM* status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
  return text(OSSL_PROV_PARAM_NAME, "Postern fipsd provider") && text(OSSL_PROV_PARAM_VERSION, POSTERN_VERSION) &&
                 text(OSSL_PROV_PARAM_BUILDINFO, POSTERN_VERSION) &&
                 (status == nullptr || OSSL_PARAM_set_int(status, 1) == 1)
             ? 1
             : 0;
}

const OSSL_ALGORITHM* query_operation(void* /*context*/, int operation, int* no_cache) {
  *no_cache = 0;
  switch (operation) {
    case OSSL_OP_KEYMGMT:
      return kKeyManagement;
    case OSSL_OP_SIGNATURE:
      return kSignatures;
    case OSSL_OP_ASYM_CIPHER:
      return kAsymmetricCiphers;
    case OSSL_OP_STORE:
      return kStores;
    case OSSL_OP_DECODER:
      return kDecoders;
    default:
      return nullptr;
  }
}

const OSSL_ITEM* reason_strings(void* /*context*/) { return kReasons; }

template <class F>
void pick(F*& target, const OSSL_DISPATCH& upcall) {
  target = reinterpret_cast<F*>(upcall.function);
}

// vset passes printf-like arguments on to the core's error function.
void vset(OSSL_FUNC_core_vset_error_fn* function, const OSSL_CORE_HANDLE* handle, uint32_t reason, const char* format,
          ...) {
  va_list arguments;
  va_start(arguments, format);
  function(handle, reason, format, arguments);
  va_end(arguments);
}

}  // namespace

base::Result<std::unique_ptr<Provider>> Provider::create(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* upcalls,
                                                         std::shared_ptr<crypto::KeyOps> keys,
                                                         std::chrono::milliseconds timeout) {
  std::unique_ptr<Provider> provider(new Provider());
  provider->handle_ = handle;
  provider->timeout_ = timeout;
  OSSL_FUNC_core_get_params_fn* core_get_params = nullptr;
  for (const OSSL_DISPATCH* upcall = upcalls; upcall->function_id != 0; ++upcall) {
    switch (upcall->function_id) {
      case OSSL_FUNC_CORE_GET_PARAMS:
        pick(core_get_params, *upcall);
        break;
      case OSSL_FUNC_CORE_NEW_ERROR:
        pick(provider->new_error_, *upcall);
        break;
      case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
        pick(provider->set_error_debug_, *upcall);
        break;
      case OSSL_FUNC_CORE_VSET_ERROR:
        pick(provider->vset_error_, *upcall);
        break;
      case OSSL_FUNC_BIO_READ_EX:
        pick(provider->bio_read_, *upcall);
        break;
      default:
        break;
    }
  }
  provider->inner_.reset(OSSL_LIB_CTX_new_from_dispatch(handle, upcalls));
  if (!provider->inner_) return base::fail(Cause::internal, "no library context");
  provider->default_.reset(OSSL_PROVIDER_load(provider->inner_.get(), "default"));
  if (!provider->default_) return base::fail(Cause::internal, "OpenSSL's default provider does not load");
  if (keys != nullptr) {
    provider->keys_ = std::move(keys);
    return provider;
  }
  char* socket = nullptr;
  char* seconds = nullptr;
  std::array<OSSL_PARAM, 3> wanted = {OSSL_PARAM_construct_utf8_ptr("socket", &socket, 0),
                                      OSSL_PARAM_construct_utf8_ptr("timeout", &seconds, 0),
                                      OSSL_PARAM_construct_end()};
  if (core_get_params == nullptr || core_get_params(handle, wanted.data()) != 1) {
    return base::fail(Cause::internal, "the provider's parameters cannot be read");
  }
  if (seconds != nullptr) {
    const auto duration = base::parse_duration(seconds);
    if (!duration || *duration == 0 || std::chrono::seconds(*duration) > kMaxTimeout) {
      return base::fail(Cause::misconfigured, "timeout: a time such as 5s, at most 120s");
    }
    provider->timeout_ = std::chrono::seconds(*duration);
  }
  ClientOptions options;
  options.socket = socket != nullptr ? socket : kDefaultSocket;
  provider->keys_ = std::make_shared<Client>(std::move(options));
  return provider;
}

Provider::~Provider() = default;

void Provider::raise(Reason reason, std::string_view text) const {
  if (new_error_ == nullptr || vset_error_ == nullptr) return;
  new_error_(handle_);
  if (set_error_debug_ != nullptr) set_error_debug_(handle_, "fipsd", 0, kProviderName);
  vset(vset_error_, handle_, static_cast<uint32_t>(reason), "%s", base::escape_for_log(text).c_str());
}

void Provider::raise(const base::Error& error) const { raise(reason_of(error.cause()), error.text()); }

std::string Provider::read(OSSL_CORE_BIO* bio, size_t most) const {
  std::string bytes(most + 1, '\0');
  size_t filled = 0;
  size_t got = 0;
  while (filled < bytes.size() && bio_read_ != nullptr &&
         bio_read_(bio, bytes.data() + filled, bytes.size() - filled, &got) == 1 && got > 0) {
    filled += got;
  }
  bytes.resize(filled > most ? 0 : filled);
  return bytes;
}

int start_provider(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* upcalls, const OSSL_DISPATCH** out,
                   void** context, std::shared_ptr<crypto::KeyOps> keys, std::chrono::milliseconds timeout) {
  static const OSSL_DISPATCH kTable[] = {
      entry<OSSL_FUNC_provider_teardown_fn, teardown>(OSSL_FUNC_PROVIDER_TEARDOWN),
      entry<OSSL_FUNC_provider_gettable_params_fn, gettable_params>(OSSL_FUNC_PROVIDER_GETTABLE_PARAMS),
      entry<OSSL_FUNC_provider_get_params_fn, get_params>(OSSL_FUNC_PROVIDER_GET_PARAMS),
      entry<OSSL_FUNC_provider_query_operation_fn, query_operation>(OSSL_FUNC_PROVIDER_QUERY_OPERATION),
      entry<OSSL_FUNC_provider_get_reason_strings_fn, reason_strings>(OSSL_FUNC_PROVIDER_GET_REASON_STRINGS),
      {0, nullptr},
  };
  try {
    auto provider = Provider::create(handle, upcalls, std::move(keys), timeout);
    if (!provider) {
      // The program's own library is the one we are linked to; before the provider exists there is no other way.
      ERR_raise_data(ERR_LIB_PROV, ERR_R_INIT_FAIL, "fipsd provider: %s", provider.error().text().c_str());
      return 0;
    }
    *out = kTable;
    *context = provider->release();
    return 1;
  } catch (...) {
    return 0;
  }
}

}  // namespace postern::keystore

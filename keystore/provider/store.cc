// SPDX-License-Identifier: Apache-2.0
// The loader for "fipsd:NAME", which asks fipsd for the public half; and the decoder for key references (reference.h),
// which asks nobody.
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>

#include <cstring>

#include "keystore/protocol/protocol.h"
#include "keystore/provider/key.h"
#include "keystore/provider/reference.h"

namespace postern::keystore {

namespace {

constexpr std::string_view kScheme = "fipsd:";

struct Loader {
  Provider& provider;
  std::string name;
  bool done = false;
};

Loader* loader_of(void* context) { return static_cast<Loader*>(context); }

void* open(void* context, const char* uri) {
  auto& provider = *static_cast<Provider*>(context);
  std::string_view name = uri;
  if (!name.starts_with(kScheme)) return nullptr;
  name.remove_prefix(kScheme.size());
  if (!is_object_name(name)) {
    provider.raise(Reason::no_such_key, "\"" + std::string(name.substr(0, 80)) + "\" is no name of a key");
    return nullptr;
  }
  return new Loader{provider, std::string(name)};
}

const OSSL_PARAM* settable_params(void* /*provider*/) {
  static const OSSL_PARAM kParams[] = {
      OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, nullptr),
      OSSL_PARAM_END,
  };
  return kParams;
}

// What is wanted that we do not have is not worth a question.
int set_params(void* context, const OSSL_PARAM params[]) {
  const OSSL_PARAM* expected = params != nullptr ? OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT) : nullptr;
  int what = 0;
  if (expected == nullptr) return 1;
  if (OSSL_PARAM_get_int(expected, &what) != 1) return 0;
  const bool ours = what == 0 || what == OSSL_STORE_INFO_PKEY || what == OSSL_STORE_INFO_PUBKEY;
  if (!ours) loader_of(context)->done = true;
  return 1;
}

int load(void* context, OSSL_CALLBACK* callback, void* argument, OSSL_PASSPHRASE_CALLBACK* /*password*/,
         void* /*password_argument*/) {
  Loader& loader = *loader_of(context);
  loader.done = true;
  const auto info = loader.provider.keys().describe(loader.name, loader.provider.deadline());
  if (!info) {
    loader.provider.raise(base::Error(info.error()).in(loader.name));
    return 0;
  }
  auto key = ProviderKey::make(loader.provider, loader.name, info->spki);
  if (!key) {
    loader.provider.raise(std::move(key).error());
    return 0;
  }
  return hand_over(ProviderKeyHandle(*key), callback, argument);
}

int eof(void* context) { return loader_of(context)->done ? 1 : 0; }

int close(void* context) {
  delete loader_of(context);
  return 1;
}

const OSSL_DISPATCH kStore[] = {
    entry<OSSL_FUNC_store_open_fn, open>(OSSL_FUNC_STORE_OPEN),
    entry<OSSL_FUNC_store_settable_ctx_params_fn, settable_params>(OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS),
    entry<OSSL_FUNC_store_set_ctx_params_fn, set_params>(OSSL_FUNC_STORE_SET_CTX_PARAMS),
    entry<OSSL_FUNC_store_load_fn, load>(OSSL_FUNC_STORE_LOAD),
    entry<OSSL_FUNC_store_eof_fn, eof>(OSSL_FUNC_STORE_EOF),
    entry<OSSL_FUNC_store_close_fn, close>(OSSL_FUNC_STORE_CLOSE),
    {0, nullptr},
};

void* new_decoder(void* provider) { return provider; }

void free_decoder(void* /*provider*/) {}

int does_selection(void* /*provider*/, int selection) {
  return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? 1 : 0;
}

// decode gives 1 also when the bytes are not for it: then others have their turn.
template <int Kind>
int decode(void* context, OSSL_CORE_BIO* bio, int /*selection*/, OSSL_CALLBACK* callback, void* argument,
           OSSL_PASSPHRASE_CALLBACK* /*password*/, void* /*password_argument*/) {
  auto& provider = *static_cast<Provider*>(context);
  constexpr const char* kTypes[] = {"RSA", "EC", "ED25519"};
  const std::string bytes = provider.read(bio, kMaxReference);
  const auto reference = read_reference(bytes);
  if (!reference) {
    if (reference.error().cause() != base::Cause::not_found) {
      provider.raise(Reason::bad_reference, reference.error().text());
    }
    return 1;
  }
  auto key = ProviderKey::make(provider, reference->name, reference->spki);
  if (!key) {
    provider.raise(Reason::bad_reference, key.error().text());
    return 1;
  }
  ProviderKeyHandle owner(*key);
  if (std::strcmp(openssl_key_type(owner->type()), kTypes[Kind]) != 0) return 1;
  return hand_over(std::move(owner), callback, argument);
}

template <int Kind>
const OSSL_DISPATCH kDecoder[] = {
    entry<OSSL_FUNC_decoder_newctx_fn, new_decoder>(OSSL_FUNC_DECODER_NEWCTX),
    entry<OSSL_FUNC_decoder_freectx_fn, free_decoder>(OSSL_FUNC_DECODER_FREECTX),
    entry<OSSL_FUNC_decoder_does_selection_fn, does_selection>(OSSL_FUNC_DECODER_DOES_SELECTION),
    entry<OSSL_FUNC_decoder_decode_fn, decode<Kind>>(OSSL_FUNC_DECODER_DECODE),
    {0, nullptr},
};

constexpr const char* kProperties = "provider=fipsd,input=der,structure=PrivateKeyInfo";

}  // namespace

const OSSL_ALGORITHM kStores[] = {
    {"fipsd", "provider=fipsd", kStore, "Keys at fipsd by name"},
    {nullptr, nullptr, nullptr, nullptr},
};

const OSSL_ALGORITHM kDecoders[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", kProperties, kDecoder<0>, "References to RSA keys"},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", kProperties, kDecoder<1>, "References to EC keys"},
    {"ED25519:1.3.101.112", kProperties, kDecoder<2>, "References to Ed25519 keys"},
    {nullptr, nullptr, nullptr, nullptr},
};

}  // namespace postern::keystore

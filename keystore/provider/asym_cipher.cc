// SPDX-License-Identifier: Apache-2.0
// Decryption with RSA: PKCS#1 v1.5 (fipsd answers a bad padding with made-up bytes, never with an error) and OAEP with
// one digest for label and mask. The key transport of TLS 1.2 without forward secrecy is not offered.
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <cstring>
#include <optional>

#include "keystore/protocol/protocol.h"
#include "keystore/provider/key.h"

namespace postern::keystore {

namespace {

using x509::Hash;

struct Decryption {
  explicit Decryption(Provider& its_provider) : provider(its_provider) {}

  Provider& provider;
  ProviderKeyHandle key;
  bool oaep = false;
  Hash hash = Hash::sha1;  // OAEP's default
  std::optional<Hash> mask_hash;
  std::string label;

  int refuse(std::string_view text) const {
    provider.raise(Reason::unsupported, key != nullptr ? key->name() + ": " + std::string(text) : std::string(text));
    return 0;
  }
};

Decryption* decryption_of(void* context) { return static_cast<Decryption*>(context); }

std::optional<Hash> hash_of(const Decryption& decryption, const OSSL_PARAM* param) {
  const char* name = nullptr;
  if (OSSL_PARAM_get_utf8_string_ptr(param, &name) != 1) return std::nullopt;
  const x509::DigestHandle md(EVP_MD_fetch(decryption.provider.inner(), name, nullptr));
  return md ? x509::hash_from_openssl(md.get()) : std::nullopt;
}

int set_params(void* context, const OSSL_PARAM params[]) {
  Decryption& decryption = *decryption_of(context);
  if (params == nullptr) return 1;
  if (const OSSL_PARAM* padding = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE)) {
    int mode = 0;
    const char* text = nullptr;
    if (padding->data_type == OSSL_PARAM_UTF8_STRING) {
      if (OSSL_PARAM_get_utf8_string_ptr(padding, &text) != 1) return 0;
      if (std::strcmp(text, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0) mode = RSA_PKCS1_PADDING;
      if (std::strcmp(text, OSSL_PKEY_RSA_PAD_MODE_OAEP) == 0) mode = RSA_PKCS1_OAEP_PADDING;
    } else if (OSSL_PARAM_get_int(padding, &mode) != 1) {
      return 0;
    }
    if (mode != RSA_PKCS1_PADDING && mode != RSA_PKCS1_OAEP_PADDING) return decryption.refuse("this RSA padding");
    decryption.oaep = mode == RSA_PKCS1_OAEP_PADDING;
  }
  if (const OSSL_PARAM* digest = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST)) {
    const auto hash = hash_of(decryption, digest);
    if (!hash) return decryption.refuse("this OAEP digest");
    decryption.hash = *hash;
  }
  if (const OSSL_PARAM* mask = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST)) {
    decryption.mask_hash = hash_of(decryption, mask);
    if (!decryption.mask_hash) return decryption.refuse("this MGF1 digest");
  }
  if (const OSSL_PARAM* label = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL)) {
    const void* bytes = nullptr;
    size_t size = 0;
    if (OSSL_PARAM_get_octet_string_ptr(label, &bytes, &size) != 1 || size > kMaxLabel) {
      return decryption.refuse("this OAEP label");
    }
    decryption.label.assign(static_cast<const char*>(bytes), size);
  }
  return 1;
}

const OSSL_PARAM* settable_params(void* /*context*/, void* /*provider*/) {
  static const OSSL_PARAM kParams[] = {
      OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, nullptr, 0),
      OSSL_PARAM_END,
  };
  return kParams;
}

void* new_context(void* provider) { return new Decryption(*static_cast<Provider*>(provider)); }

void free_context(void* context) { delete decryption_of(context); }

void* duplicate_context(void* context) {
  const Decryption& from = *decryption_of(context);
  auto copy = std::make_unique<Decryption>(from.provider);
  if (from.key != nullptr) copy->key.reset(from.key->share());
  copy->oaep = from.oaep;
  copy->hash = from.hash;
  copy->mask_hash = from.mask_hash;
  copy->label = from.label;
  return copy.release();
}

int decrypt_init(void* context, void* key, const OSSL_PARAM params[]) {
  Decryption& decryption = *decryption_of(context);
  if (key != nullptr) decryption.key.reset(static_cast<ProviderKey*>(key)->share());
  return decryption.key != nullptr ? set_params(context, params) : 0;
}

int decrypt(void* context, unsigned char* out, size_t* size, size_t room, const unsigned char* input,
            size_t input_size) {
  Decryption& decryption = *decryption_of(context);
  if (decryption.key == nullptr) return 0;
  if (out == nullptr) {
    *size = decryption.key->signature_size();
    return 1;
  }
  if (decryption.oaep && decryption.mask_hash && *decryption.mask_hash != decryption.hash) {
    return decryption.refuse("OAEP with two digests");
  }
  auto plain = decryption.provider.keys().decrypt(
      decryption.key->name(), decryption.oaep ? x509::DecryptAlgorithm::rsa_oaep : x509::DecryptAlgorithm::rsa_pkcs1,
      decryption.oaep ? decryption.hash : Hash::none, decryption.label,
      {reinterpret_cast<const char*>(input), input_size}, decryption.provider.deadline());
  if (!plain) {
    decryption.provider.raise(std::move(plain).error().in(decryption.key->name()));
    return 0;
  }
  const bool fits = plain->size() <= room;
  if (fits) {
    std::memcpy(out, plain->data(), plain->size());
    *size = plain->size();
  }
  OPENSSL_cleanse(plain->data(), plain->size());
  return fits ? 1 : decryption.refuse("no room for the plaintext");
}

const OSSL_DISPATCH kRsa[] = {
    entry<OSSL_FUNC_asym_cipher_newctx_fn, new_context>(OSSL_FUNC_ASYM_CIPHER_NEWCTX),
    entry<OSSL_FUNC_asym_cipher_freectx_fn, free_context>(OSSL_FUNC_ASYM_CIPHER_FREECTX),
    entry<OSSL_FUNC_asym_cipher_dupctx_fn, duplicate_context>(OSSL_FUNC_ASYM_CIPHER_DUPCTX),
    entry<OSSL_FUNC_asym_cipher_decrypt_init_fn, decrypt_init>(OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT),
    entry<OSSL_FUNC_asym_cipher_decrypt_fn, decrypt>(OSSL_FUNC_ASYM_CIPHER_DECRYPT),
    entry<OSSL_FUNC_asym_cipher_set_ctx_params_fn, set_params>(OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS),
    entry<OSSL_FUNC_asym_cipher_settable_ctx_params_fn, settable_params>(OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS),
    {0, nullptr},
};

}  // namespace

const OSSL_ALGORITHM kAsymmetricCiphers[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=fipsd", kRsa, "RSA decryption by fipsd"},
    {nullptr, nullptr, nullptr, nullptr},
};

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// Signatures: RSA (PKCS#1 v1.5 and PSS, RFC 8017), ECDSA, Ed25519 (one piece, RFC 8032). Digests are computed here,
// fipsd gets the digest. A PSS salt has the digest's length; "auto" means that, "max" and other lengths are refused,
// since fipsd chooses the salt. Checking signatures is done with the public half.
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <array>
#include <cstring>
#include <optional>

#include "engine/base/text.h"
#include "keystore/provider/algorithm_id.h"
#include "keystore/provider/key.h"

namespace postern::keystore {

namespace {

using x509::Hash;
using x509::SignAlgorithm;

// Signing is one signature or check in the making; one thread.
struct Signing {
  explicit Signing(Provider& its_provider) : provider(its_provider) {}

  Provider& provider;
  ProviderKeyHandle key;
  bool pss = false;
  std::optional<Hash> hash;
  std::optional<Hash> mask_hash;
  int salt = RSA_PSS_SALTLEN_DIGEST;
  x509::DigestContext running;

  SignAlgorithm algorithm() const {
    switch (key->type()) {
      case x509::KeyType::rsa:
        return pss ? SignAlgorithm::rsa_pss : SignAlgorithm::rsa_pkcs1;
      case x509::KeyType::ed25519:
        return SignAlgorithm::eddsa;
      case x509::KeyType::ec_p256:
      case x509::KeyType::ec_p384:
        break;
    }
    return SignAlgorithm::ecdsa;
  }
  int refuse(std::string_view text) const {
    provider.raise(Reason::unsupported, key != nullptr ? key->name() + ": " + std::string(text) : std::string(text));
    return 0;
  }
  bool is_rsa() const { return key != nullptr && key->type() == x509::KeyType::rsa; }
  // salt_length is what fipsd will do, if that is what was asked for.
  std::optional<int> salt_length() const {
    const int length = hash ? static_cast<int>(hash_size(*hash)) : 0;
    if (salt == RSA_PSS_SALTLEN_DIGEST || salt == length) return length;
    return std::nullopt;
  }
  // RSA_PSS_SALTLEN_AUTO_DIGEST_MAX of OpenSSL 3.1.
  static constexpr int kAutoDigestMax = -4;
};

Signing* signing_of(void* context) { return static_cast<Signing*>(context); }

std::optional<Hash> hash_by_name(const Provider& provider, const char* name) {
  const x509::DigestHandle md(EVP_MD_fetch(provider.inner(), name, nullptr));
  return md ? x509::hash_from_openssl(md.get()) : std::nullopt;
}

int set_hash(Signing& signing, std::optional<Hash>& target, const char* name) {
  const auto hash = hash_by_name(signing.provider, name);
  if (!hash) return signing.refuse("digest " + base::escape_for_log(name, 40));
  target = hash;
  return 1;
}

const char* text_of(const OSSL_PARAM* param) {
  const char* text = nullptr;
  if (OSSL_PARAM_get_utf8_ptr(param, &text) == 1) return text;
  return OSSL_PARAM_get_utf8_string_ptr(param, &text) == 1 ? text : nullptr;
}

int set_padding(Signing& signing, const OSSL_PARAM* param) {
  int mode = 0;
  if (param->data_type == OSSL_PARAM_UTF8_STRING) {
    const char* text = text_of(param);
    if (text != nullptr && std::strcmp(text, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0) mode = RSA_PKCS1_PADDING;
    if (text != nullptr && std::strcmp(text, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0) mode = RSA_PKCS1_PSS_PADDING;
  } else if (OSSL_PARAM_get_int(param, &mode) != 1) {
    return 0;
  }
  if (mode != RSA_PKCS1_PADDING && mode != RSA_PKCS1_PSS_PADDING) return signing.refuse("this RSA padding");
  signing.pss = mode == RSA_PKCS1_PSS_PADDING;
  return 1;
}

int set_salt(Signing& signing, const OSSL_PARAM* param) {
  if (param->data_type != OSSL_PARAM_UTF8_STRING) {
    if (OSSL_PARAM_get_int(param, &signing.salt) != 1) return 0;
    // Whoever writes down the parameters of a signature reads the length back, so it must be what will be.
    if (signing.salt == RSA_PSS_SALTLEN_AUTO || signing.salt == Signing::kAutoDigestMax) {
      signing.salt = RSA_PSS_SALTLEN_DIGEST;
    }
    return 1;
  }
  const char* text = text_of(param);
  if (text == nullptr) return 0;
  const std::string_view word = text;
  if (word == OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST || word == OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO) {
    signing.salt = RSA_PSS_SALTLEN_DIGEST;
  } else if (word == OSSL_PKEY_RSA_PSS_SALT_LEN_MAX) {
    signing.salt = RSA_PSS_SALTLEN_MAX;
  } else if (!word.empty() && word.size() < 6 && word.find_first_not_of("0123456789") == std::string_view::npos) {
    signing.salt = std::atoi(text);
  } else {
    return signing.refuse("this salt length");
  }
  return 1;
}

int set_params(void* context, const OSSL_PARAM params[]) {
  Signing& signing = *signing_of(context);
  if (params == nullptr) return 1;
  const auto locate = [&](const char* key) { return OSSL_PARAM_locate_const(params, key); };
  if (const OSSL_PARAM* digest = locate(OSSL_SIGNATURE_PARAM_DIGEST)) {
    const char* name = text_of(digest);
    if (name == nullptr || set_hash(signing, signing.hash, name) != 1) return 0;
  }
  if (const OSSL_PARAM* mask = locate(OSSL_SIGNATURE_PARAM_MGF1_DIGEST)) {
    const char* name = text_of(mask);
    if (name == nullptr || set_hash(signing, signing.mask_hash, name) != 1) return 0;
  }
  if (const OSSL_PARAM* padding = locate(OSSL_SIGNATURE_PARAM_PAD_MODE)) {
    if (set_padding(signing, padding) != 1) return 0;
  }
  if (const OSSL_PARAM* salt = locate(OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) {
    if (set_salt(signing, salt) != 1) return 0;
  }
  return 1;
}

int get_params(void* context, OSSL_PARAM params[]) {
  const Signing& signing = *signing_of(context);
  if (signing.key == nullptr) return 0;
  const auto text = [&](const char* key, const char* value) {
    OSSL_PARAM* at = OSSL_PARAM_locate(params, key);
    return at == nullptr || (value != nullptr && OSSL_PARAM_set_utf8_string(at, value) == 1);
  };
  const auto number = [&](const char* key, int value, const char* word) {
    OSSL_PARAM* at = OSSL_PARAM_locate(params, key);
    if (at == nullptr) return true;
    return at->data_type == OSSL_PARAM_UTF8_STRING ? OSSL_PARAM_set_utf8_string(at, word) == 1
                                                   : OSSL_PARAM_set_int(at, value) == 1;
  };
  if (OSSL_PARAM* at = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID); at != nullptr) {
    const std::string id = algorithm_id(signing.algorithm(), signing.hash.value_or(Hash::none));
    if (id.empty() || OSSL_PARAM_set_octet_string(at, id.data(), id.size()) != 1) return 0;
  }
  const char* digest = signing.hash ? x509::openssl_digest_name(*signing.hash) : nullptr;
  const char* mask = signing.mask_hash ? x509::openssl_digest_name(*signing.mask_hash) : digest;
  const bool done = text(OSSL_SIGNATURE_PARAM_DIGEST, digest) && text(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, mask) &&
                    number(OSSL_SIGNATURE_PARAM_PAD_MODE, signing.pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING,
                           signing.pss ? OSSL_PKEY_RSA_PAD_MODE_PSS : OSSL_PKEY_RSA_PAD_MODE_PKCSV15) &&
                    number(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, signing.salt,
                           signing.salt == RSA_PSS_SALTLEN_DIGEST ? OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST
                                                                  : std::to_string(signing.salt).c_str());
  return done ? 1 : 0;
}

const OSSL_PARAM* settable_params(void* /*context*/, void* /*provider*/) {
  static const OSSL_PARAM kParams[] = {
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, nullptr, 0),
      OSSL_PARAM_END,
  };
  return kParams;
}

const OSSL_PARAM* gettable_params(void* /*context*/, void* /*provider*/) {
  static const OSSL_PARAM kParams[] = {
      OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, nullptr, 0),
      OSSL_PARAM_END,
  };
  return kParams;
}

void* new_context(void* provider, const char* /*properties*/) { return new Signing(*static_cast<Provider*>(provider)); }

void free_context(void* context) { delete signing_of(context); }

void* duplicate_context(void* context) {
  const Signing& from = *signing_of(context);
  auto copy = std::make_unique<Signing>(from.provider);
  if (from.key != nullptr) copy->key.reset(from.key->share());
  copy->pss = from.pss;
  copy->hash = from.hash;
  copy->mask_hash = from.mask_hash;
  copy->salt = from.salt;
  if (from.running) {
    copy->running.reset(EVP_MD_CTX_new());
    if (!copy->running || EVP_MD_CTX_copy_ex(copy->running.get(), from.running.get()) != 1) return nullptr;
  }
  return copy.release();
}

// init: without a key the one before is kept.
int init(void* context, void* key, const OSSL_PARAM params[]) {
  Signing& signing = *signing_of(context);
  if (key != nullptr) signing.key.reset(static_cast<ProviderKey*>(key)->share());
  if (signing.key == nullptr) return 0;
  signing.running.reset();
  return set_params(context, params);
}

int digest_init(void* context, const char* digest, void* key, const OSSL_PARAM params[]) {
  Signing& signing = *signing_of(context);
  if (init(context, key, nullptr) != 1) return 0;
  const bool named = digest != nullptr && *digest != '\0';
  if (signing.key->type() == x509::KeyType::ed25519) {
    if (named) return signing.refuse("Ed25519 signs without a digest");
    return set_params(context, params);
  }
  if (named) {
    if (set_hash(signing, signing.hash, digest) != 1) return 0;
  } else if (!signing.hash) {
    signing.hash = Hash::sha256;
  }
  if (set_params(context, params) != 1) return 0;
  const x509::DigestHandle md(
      EVP_MD_fetch(signing.provider.inner(), x509::openssl_digest_name(*signing.hash), nullptr));
  signing.running.reset(EVP_MD_CTX_new());
  return md && signing.running && EVP_DigestInit_ex2(signing.running.get(), md.get(), nullptr) == 1 ? 1 : 0;
}

int digest_update(void* context, const unsigned char* data, size_t size) {
  Signing& signing = *signing_of(context);
  return signing.running && EVP_DigestUpdate(signing.running.get(), data, size) == 1 ? 1 : 0;
}

std::optional<std::string> digest_end(Signing& signing) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  if (!signing.running ||
      EVP_DigestFinal_ex(signing.running.get(), reinterpret_cast<unsigned char*>(digest.data()), &size) != 1) {
    return std::nullopt;
  }
  digest.resize(size);
  return digest;
}

// suits checks everything that may have been set in any order.
bool suits(const Signing& signing, size_t input) {
  if (signing.key == nullptr) return false;
  if (signing.algorithm() == SignAlgorithm::eddsa) return true;
  if (!signing.hash) return signing.refuse("a digest must be named: bare RSA is not offered") == 1;
  if (input != hash_size(*signing.hash)) return signing.refuse("a digest of the wrong length") == 1;
  if (!signing.is_rsa() || !signing.pss) return true;
  if (signing.mask_hash && signing.mask_hash != signing.hash) {
    return signing.refuse("PSS with two digests") == 1;
  }
  if (!signing.salt_length()) return signing.refuse("a PSS salt of another length than the digest") == 1;
  return true;
}

// make_signature answers a question for the size, or signs.
int make_signature(Signing& signing, unsigned char* out, size_t* size, size_t room, std::string_view input) {
  if (out == nullptr) {
    *size = signing.key->signature_size();
    return 1;
  }
  if (!suits(signing, input.size())) return 0;
  const bool plain = signing.algorithm() == SignAlgorithm::eddsa;
  const std::string signature = signing.key->sign(signing.algorithm(), plain ? Hash::none : *signing.hash, input);
  if (signature.empty()) return 0;
  if (signature.size() > room) return signing.refuse("no room for the signature");
  std::memcpy(out, signature.data(), signature.size());
  *size = signature.size();
  return 1;
}

std::string_view view_of(const unsigned char* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

int sign(void* context, unsigned char* out, size_t* size, size_t room, const unsigned char* input, size_t input_size) {
  Signing& signing = *signing_of(context);
  if (signing.key == nullptr) return 0;
  return make_signature(signing, out, size, room, view_of(input, input_size));
}

int digest_final(void* context, unsigned char* out, size_t* size, size_t room) {
  Signing& signing = *signing_of(context);
  if (signing.key == nullptr) return 0;
  if (out == nullptr) return make_signature(signing, nullptr, size, 0, {});
  const auto digest = digest_end(signing);
  return digest ? make_signature(signing, out, size, room, *digest) : 0;
}

int check(const Signing& signing, std::string_view signature, std::string_view input) {
  if (signing.key == nullptr) return 0;
  if (signing.algorithm() != SignAlgorithm::eddsa && !signing.hash) return signing.refuse("a digest must be named");
  return x509::verify_signature(signing.key->public_key(), signing.algorithm(), signing.hash.value_or(Hash::none),
                                input, signature, signing.provider.inner())
             ? 1
             : 0;
}

int verify(void* context, const unsigned char* signature, size_t signature_size, const unsigned char* input,
           size_t input_size) {
  return check(*signing_of(context), view_of(signature, signature_size), view_of(input, input_size));
}

int digest_verify_final(void* context, const unsigned char* signature, size_t size) {
  Signing& signing = *signing_of(context);
  const auto digest = digest_end(signing);
  return digest ? check(signing, view_of(signature, size), *digest) : 0;
}

const OSSL_DISPATCH kNew = entry<OSSL_FUNC_signature_newctx_fn, new_context>(OSSL_FUNC_SIGNATURE_NEWCTX);
const OSSL_DISPATCH kFree = entry<OSSL_FUNC_signature_freectx_fn, free_context>(OSSL_FUNC_SIGNATURE_FREECTX);
const OSSL_DISPATCH kDuplicate = entry<OSSL_FUNC_signature_dupctx_fn, duplicate_context>(OSSL_FUNC_SIGNATURE_DUPCTX);
const OSSL_DISPATCH kSignInit =
    entry<OSSL_FUNC_signature_digest_sign_init_fn, digest_init>(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT);
const OSSL_DISPATCH kVerifyInit =
    entry<OSSL_FUNC_signature_digest_verify_init_fn, digest_init>(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT);
const OSSL_DISPATCH kGet = entry<OSSL_FUNC_signature_get_ctx_params_fn, get_params>(OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS);
const OSSL_DISPATCH kGettable =
    entry<OSSL_FUNC_signature_gettable_ctx_params_fn, gettable_params>(OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS);

// For RSA and ECDSA: of a digest, or of a message in pieces.
const OSSL_DISPATCH kDigests[] = {
    kNew,
    kFree,
    kDuplicate,
    entry<OSSL_FUNC_signature_sign_init_fn, init>(OSSL_FUNC_SIGNATURE_SIGN_INIT),
    entry<OSSL_FUNC_signature_sign_fn, sign>(OSSL_FUNC_SIGNATURE_SIGN),
    entry<OSSL_FUNC_signature_verify_init_fn, init>(OSSL_FUNC_SIGNATURE_VERIFY_INIT),
    entry<OSSL_FUNC_signature_verify_fn, verify>(OSSL_FUNC_SIGNATURE_VERIFY),
    kSignInit,
    entry<OSSL_FUNC_signature_digest_sign_update_fn, digest_update>(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE),
    entry<OSSL_FUNC_signature_digest_sign_final_fn, digest_final>(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL),
    kVerifyInit,
    entry<OSSL_FUNC_signature_digest_verify_update_fn, digest_update>(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE),
    entry<OSSL_FUNC_signature_digest_verify_final_fn, digest_verify_final>(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL),
    kGet,
    kGettable,
    entry<OSSL_FUNC_signature_set_ctx_params_fn, set_params>(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS),
    entry<OSSL_FUNC_signature_settable_ctx_params_fn, settable_params>(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS),
    {0, nullptr},
};

// For Ed25519: of a whole message.
const OSSL_DISPATCH kMessages[] = {
    kNew,
    kFree,
    kDuplicate,
    kSignInit,
    entry<OSSL_FUNC_signature_digest_sign_fn, sign>(OSSL_FUNC_SIGNATURE_DIGEST_SIGN),
    kVerifyInit,
    entry<OSSL_FUNC_signature_digest_verify_fn, verify>(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY),
    kGet,
    kGettable,
    {0, nullptr},
};

}  // namespace

const OSSL_ALGORITHM kSignatures[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=fipsd", kDigests, "RSA signatures by fipsd"},
    {"ECDSA", "provider=fipsd", kDigests, "ECDSA signatures by fipsd"},
    {"ED25519:1.3.101.112", "provider=fipsd", kMessages, "Ed25519 signatures by fipsd"},
    {nullptr, nullptr, nullptr, nullptr},
};

}  // namespace postern::keystore

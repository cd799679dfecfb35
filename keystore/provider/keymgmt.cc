// SPDX-License-Identifier: Apache-2.0
// Key management: what OpenSSL may know of a key, which is its public half and that there is a private one.
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "keystore/provider/key.h"

namespace postern::keystore {

namespace {

ProviderKey* key_of(void* key) { return static_cast<ProviderKey*>(key); }
const ProviderKey* key_of(const void* key) { return static_cast<const ProviderKey*>(key); }

// load takes over what hand_over() offers.
void* load(const void* reference, size_t size) {
  if (size != sizeof(ProviderKey*)) return nullptr;
  auto** offered = static_cast<ProviderKey**>(const_cast<void*>(reference));
  return std::exchange(*offered, nullptr);
}

void free_key(void* key) { ProviderKey::drop(key_of(key)); }

// has: both halves and the parameters.
int has(const void* key, int /*selection*/) { return key != nullptr ? 1 : 0; }

int match(const void* a, const void* b, int /*selection*/) {
  return EVP_PKEY_eq(key_of(a)->public_key(), key_of(b)->public_key()) == 1 ? 1 : 0;
}

int get_params(void* key, OSSL_PARAM params[]) { return EVP_PKEY_get_params(key_of(key)->public_key(), params); }

const OSSL_PARAM* gettable_params(void* /*context*/) {
  static const OSSL_PARAM kParams[] = {
      OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, nullptr),
      OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, nullptr),
      OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, nullptr),
      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0),
      OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_X, nullptr, 0),
      OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_Y, nullptr, 0),
      OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, nullptr, 0),
      OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, nullptr, 0),
      OSSL_PARAM_END,
  };
  return kParams;
}

int export_key(void* key, int selection, OSSL_CALLBACK* callback, void* argument) {
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0) return 0;
  OSSL_PARAM* params = nullptr;
  if (EVP_PKEY_todata(key_of(key)->public_key(), selection, &params) != 1) return 0;
  const int done = callback(params, argument);
  OSSL_PARAM_free(params);
  return done;
}

const OSSL_PARAM* export_types(int selection) {
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0) return nullptr;
  return gettable_params(nullptr);
}

const char* ec_operation(int operation) { return operation == OSSL_OP_SIGNATURE ? "ECDSA" : nullptr; }

const OSSL_DISPATCH kLoad = entry<OSSL_FUNC_keymgmt_load_fn, load>(OSSL_FUNC_KEYMGMT_LOAD);
const OSSL_DISPATCH kFree = entry<OSSL_FUNC_keymgmt_free_fn, free_key>(OSSL_FUNC_KEYMGMT_FREE);
const OSSL_DISPATCH kHas = entry<OSSL_FUNC_keymgmt_has_fn, has>(OSSL_FUNC_KEYMGMT_HAS);
const OSSL_DISPATCH kMatch = entry<OSSL_FUNC_keymgmt_match_fn, match>(OSSL_FUNC_KEYMGMT_MATCH);
const OSSL_DISPATCH kGetParams = entry<OSSL_FUNC_keymgmt_get_params_fn, get_params>(OSSL_FUNC_KEYMGMT_GET_PARAMS);
const OSSL_DISPATCH kGettable =
    entry<OSSL_FUNC_keymgmt_gettable_params_fn, gettable_params>(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS);
const OSSL_DISPATCH kExport = entry<OSSL_FUNC_keymgmt_export_fn, export_key>(OSSL_FUNC_KEYMGMT_EXPORT);
const OSSL_DISPATCH kExportTypes =
    entry<OSSL_FUNC_keymgmt_export_types_fn, export_types>(OSSL_FUNC_KEYMGMT_EXPORT_TYPES);

const OSSL_DISPATCH kPlain[] = {kLoad, kFree, kHas, kMatch, kGetParams, kGettable, kExport, kExportTypes, {0, nullptr}};
const OSSL_DISPATCH kEc[] = {
    kLoad,
    kFree,
    kHas,
    kMatch,
    kGetParams,
    kGettable,
    kExport,
    kExportTypes,
    entry<OSSL_FUNC_keymgmt_query_operation_name_fn, ec_operation>(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME),
    {0, nullptr}};

}  // namespace

const OSSL_ALGORITHM kKeyManagement[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=fipsd", kPlain, "RSA keys at fipsd"},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=fipsd", kEc, "EC keys at fipsd"},
    {"ED25519:1.3.101.112", "provider=fipsd", kPlain, "Ed25519 keys at fipsd"},
    {nullptr, nullptr, nullptr, nullptr},
};

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// PKCS#8 with OpenSSL. A key that is not one of ours is refused before any of its numbers are looked at.
#include "keystore/token/pkcs8.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "engine/x509/openssl.h"

namespace postern::keystore {

namespace {

using base::Cause;
using base::fail;
using base::Result;
using x509::KeyType;

using Pkcs8 = base::Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;
using x509::CipherContext;
using x509::KeyContext;

constexpr size_t kMaxPkcs8 = 16384;

const unsigned char* bytes(std::string_view text) { return x509::bytes_of(text); }
unsigned char* bytes(Secret& secret) { return reinterpret_cast<unsigned char*>(secret.data()); }

// A private number, big-endian at `width` bytes (0: as many as it needs).
Secret number(const EVP_PKEY* key, const char* name, size_t width = 0) {
  BIGNUM* value = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &value) != 1) return {};
  base::Handle<BIGNUM, BN_clear_free> owned(value);
  size_t size = width != 0 ? width : static_cast<size_t>(BN_num_bytes(value));
  Secret out = Secret::sized(size);
  if (BN_bn2binpad(value, bytes(out), static_cast<int>(size)) < 0) return {};
  return out;
}

EvpKey parse(const Secret& der) {
  if (der.empty() || der.size() > kMaxPkcs8) return nullptr;
  const unsigned char* at = bytes(der.view());
  Pkcs8 info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (info == nullptr || at != bytes(der.view()) + der.size()) return nullptr;
  return EvpKey(EVP_PKCS82PKEY(info.get()));
}

Result<Secret> write(const EVP_PKEY* key) {
  Pkcs8 info(EVP_PKEY2PKCS8(key));
  int size = info != nullptr ? i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr) : 0;
  if (size <= 0) return fail(Cause::internal, "PKCS#8: cannot be written");
  Secret out = Secret::sized(static_cast<size_t>(size));
  unsigned char* at = bytes(out);
  if (i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at) != size) return fail(Cause::internal, "PKCS#8: cannot be written");
  return out;
}

// der_length returns how long the value at the beginning says it is; 0 when that is not within `text`.
size_t der_length(std::string_view text) {
  const unsigned char* at = bytes(text);
  long size = 0;
  int tag = 0, kind = 0;
  if ((ASN1_get_object(&at, &size, &tag, &kind, static_cast<long>(text.size())) & 0x81) != 0) return 0;
  return static_cast<size_t>(at - bytes(text)) + static_cast<size_t>(size);
}

struct ClearErrors {
  ~ClearErrors() { ERR_clear_error(); }
};

}  // namespace

Result<PrivateKey> read_pkcs8(const Secret& der) {
  ClearErrors clear;
  EvpKey key = parse(der);
  if (key == nullptr) return fail(Cause::malformed, "private key: not a PKCS#8 key this program reads");
  auto pub = PublicKey::of(key.get());
  if (!pub) return std::unexpected(std::move(pub.error()).in("private key"));
  KeyContext context(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_check(context.get()) != 1) {
    return fail(Cause::malformed, "private key: its numbers do not belong together");
  }
  PrivateKey out{std::move(*pub), {}};
  PrivateParts& parts = out.parts;
  switch (out.pub.type()) {
    case KeyType::rsa: {
      Secret third = number(key.get(), OSSL_PKEY_PARAM_RSA_FACTOR3);
      if (!third.empty()) return fail(Cause::malformed, "private key: RSA with more than two primes");
      parts.exponent = number(key.get(), OSSL_PKEY_PARAM_RSA_D);
      parts.prime1 = number(key.get(), OSSL_PKEY_PARAM_RSA_FACTOR1);
      parts.prime2 = number(key.get(), OSSL_PKEY_PARAM_RSA_FACTOR2);
      parts.exponent1 = number(key.get(), OSSL_PKEY_PARAM_RSA_EXPONENT1);
      parts.exponent2 = number(key.get(), OSSL_PKEY_PARAM_RSA_EXPONENT2);
      parts.coefficient = number(key.get(), OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
      for (const Secret* part :
           {&parts.exponent, &parts.prime1, &parts.prime2, &parts.exponent1, &parts.exponent2, &parts.coefficient}) {
        if (part->empty()) return fail(Cause::malformed, "private key: RSA without its primes");
      }
      break;
    }
    case KeyType::ec_p256:
      parts.value = number(key.get(), OSSL_PKEY_PARAM_PRIV_KEY, 32);
      break;
    case KeyType::ec_p384:
      parts.value = number(key.get(), OSSL_PKEY_PARAM_PRIV_KEY, 48);
      break;
    case KeyType::ed25519: {
      parts.value = Secret::sized(32);
      size_t size = 32;
      if (EVP_PKEY_get_raw_private_key(key.get(), bytes(parts.value), &size) != 1 || size != 32) parts.value.wipe();
      break;
    }
  }
  if (out.pub.type() != KeyType::rsa && parts.value.empty()) {
    return fail(Cause::malformed, "private key: the private half is missing");
  }
  return out;
}

Result<Secret> make_pkcs8(KeyType type, uint32_t bits) {
  ClearErrors clear;
  EvpKey key;
  switch (type) {
    case KeyType::rsa:
      if (bits < kMinRsaBits || bits > kMaxRsaBits) return fail(Cause::malformed, "RSA keys have 2048 to 4096 bits");
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(bits)));
      break;
    case KeyType::ec_p256:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
      break;
    case KeyType::ec_p384:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
      break;
    case KeyType::ed25519:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
      break;
  }
  if (key == nullptr) return fail(Cause::internal, "OpenSSL makes no key");
  return write(key.get());
}

Result<Secret> unwrap_key(const Secret& key, std::string_view wrapped) {
  ClearErrors clear;
  if (key.size() != 32 || wrapped.size() < 16 || wrapped.size() > kMaxPkcs8 || wrapped.size() % 8 != 0) {
    return fail(Cause::malformed, "wrapped key: of no possible length");
  }
  CipherContext context(EVP_CIPHER_CTX_new());
  if (context == nullptr) return fail(Cause::internal, "out of memory");
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  Secret out = Secret::sized(wrapped.size() + 16);
  int size = 0, rest = 0;
  if (EVP_DecryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, bytes(key.view()), nullptr) != 1 ||
      EVP_DecryptUpdate(context.get(), bytes(out), &size, bytes(wrapped), static_cast<int>(wrapped.size())) != 1 ||
      EVP_DecryptFinal_ex(context.get(), bytes(out) + size, &rest) != 1 || size + rest <= 0) {
    return fail(Cause::malformed, "wrapped key: damaged");
  }
  out.shrink(static_cast<size_t>(size + rest));
  size_t whole = der_length(out.view());
  if (whole == 0 || out.size() - whole > 7 || out.view().find_first_not_of('\0', whole) != std::string_view::npos) {
    return fail(Cause::malformed, "wrapped key: not one DER value");
  }
  out.shrink(whole);
  return out;
}

}  // namespace postern::keystore

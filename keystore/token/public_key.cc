// SPDX-License-Identifier: Apache-2.0
// Public keys between PKCS#11 and OpenSSL: RFC 8017 (RSA), RFC 5480 (curves), RFC 8410 (Ed25519).
#include "keystore/token/public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "engine/x509/openssl.h"

namespace postern::keystore {

namespace {

using base::Cause;
using base::fail;
using base::Result;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

using x509::BigNumber;
using x509::DigestContext;
using x509::KeyContext;
using EcdsaSignature = base::Handle<ECDSA_SIG, ECDSA_SIG_free>;

using x509::bytes_of;

std::string number(const EVP_PKEY* key, const char* name) {
  BIGNUM* value = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &value) != 1) return {};
  BigNumber owned(value);
  std::string out(static_cast<size_t>(BN_num_bytes(value)), '\0');
  BN_bn2bin(value, reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

std::string octets(const EVP_PKEY* key, const char* name) {
  unsigned char buffer[256];
  size_t size = 0;
  if (EVP_PKEY_get_octet_string_param(key, name, buffer, sizeof buffer, &size) != 1) return {};
  return {reinterpret_cast<char*>(buffer), size};
}

std::shared_ptr<EVP_PKEY> shared(EVP_PKEY* key) {
  return key != nullptr ? std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free) : nullptr;
}

// How many bytes the two coordinates of a curve's point have; also the length of a raw signature.
size_t size_of_point(KeyType type) { return type == KeyType::ec_p256 ? 64 : 96; }

// Where the length byte stands for `size` bytes (all of ours are below 256) after a tag, strips both.
std::string_view unwrap(std::string_view text, char tag, size_t size) {
  size_t head = size < 128 ? 2 : 3;
  if (text.size() != size + head || text[0] != tag) return text;
  if (head == 3 && text[1] != '\x81') return text;
  if (static_cast<unsigned char>(text[head - 1]) != size) return text;
  return text.substr(head);
}

}  // namespace

const EVP_MD* digest_of(Hash hash) {
  switch (hash) {
    case Hash::none:
      return nullptr;
    case Hash::sha1:
      return EVP_sha1();
    case Hash::sha256:
      return EVP_sha256();
    case Hash::sha384:
      return EVP_sha384();
    case Hash::sha512:
      return EVP_sha512();
  }
  return nullptr;
}

Result<PublicKey> PublicKey::from_spki(std::string_view der) {
  if (der.size() > 4096) return fail(Cause::malformed, "public key: too long");
  const unsigned char* at = bytes_of(der);
  PublicKey key;
  key.key_ = shared(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (key.key_ == nullptr || at != bytes_of(der) + der.size()) return fail(Cause::malformed, "public key: not a SPKI");
  if (auto filled = key.fill(); !filled) return std::unexpected(filled.error());
  // A curve may be spelled out instead of named, and a point compressed: made anew it has the one encoding.
  if (key.type_ == KeyType::ec_p256 || key.type_ == KeyType::ec_p384) return from_point(key.type_, key.point_);
  return key;
}

Result<PublicKey> PublicKey::from_rsa(std::string_view modulus, std::string_view exponent) {
  if (modulus.size() > 2 * kMaxRsaBits / 8 || exponent.size() > 2 * kMaxRsaBits / 8) {
    return fail(Cause::malformed, "public key: numbers too large");
  }
  BigNumber n(BN_bin2bn(bytes_of(modulus), static_cast<int>(modulus.size()), nullptr));
  BigNumber e(BN_bin2bn(bytes_of(exponent), static_cast<int>(exponent.size()), nullptr));
  base::Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (n == nullptr || e == nullptr || builder == nullptr ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return fail(Cause::internal, "public key: out of memory");
  }
  base::Handle<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  if (parameters == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    ERR_clear_error();
    return fail(Cause::malformed, "public key: not an RSA key");
  }
  PublicKey key;
  key.key_ = shared(made);
  if (auto filled = key.fill(); !filled) return std::unexpected(filled.error());
  return key;
}

Result<PublicKey> PublicKey::from_point(KeyType type, std::string_view point) {
  PublicKey key;
  if (type == KeyType::ed25519) {
    point = unwrap(point, 0x04, 32);
    if (point.size() != 32) return fail(Cause::malformed, "public key: not an Ed25519 point");
    key.key_ = shared(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(point), point.size()));
  } else if (type == KeyType::ec_p256 || type == KeyType::ec_p384) {
    const size_t size = size_of_point(type) + 1;
    point = unwrap(point, 0x04, size);
    if (point.size() != size || point[0] != 0x04) {
      return fail(Cause::malformed, "public key: not a point of the curve");
    }
    std::string group = type == KeyType::ec_p256 ? "P-256" : "P-384";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, const_cast<char*>(point.data()), point.size()),
        OSSL_PARAM_construct_end()};
    KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    EVP_PKEY* made = nullptr;
    if (context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1 &&
        EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters) == 1) {
      key.key_ = shared(made);
    }
  }
  ERR_clear_error();
  if (key.key_ == nullptr) return fail(Cause::malformed, "public key: not a point of the curve");
  if (auto filled = key.fill(); !filled) return std::unexpected(filled.error());
  return key;
}

Result<PublicKey> PublicKey::of(const EVP_PKEY* pair) {
  unsigned char* der = nullptr;
  int size = i2d_PUBKEY(pair, &der);
  ERR_clear_error();
  if (size <= 0) return fail(Cause::malformed, "public key: cannot be written");
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return from_spki(text);
}

// What follows from key_; refuses what is not one of our types, and writes the encoding anew so that it is canonical.
Result<void> PublicKey::fill() {
  int base = EVP_PKEY_get_base_id(key_.get());
  bits_ = static_cast<uint32_t>(EVP_PKEY_get_bits(key_.get()));
  if (base == EVP_PKEY_RSA) {
    if (bits_ < kMinRsaBits || bits_ > kMaxRsaBits)
      return fail(Cause::malformed, "public key: RSA, but not 2048 to 4096 bits");
    type_ = KeyType::rsa;
    modulus_ = number(key_.get(), OSSL_PKEY_PARAM_RSA_N);
    exponent_ = number(key_.get(), OSSL_PKEY_PARAM_RSA_E);
    // Odd, above 2^16 (FIPS 186-5), and of a size every verifier takes.
    if (exponent_.size() < 3 || exponent_.size() > 8 || (exponent_.back() & 1) == 0 || modulus_.empty()) {
      return fail(Cause::malformed, "public key: RSA with an exponent below 65537, even, or above 64 bits");
    }
  } else if (base == EVP_PKEY_EC) {
    char group[32];
    size_t size = 0;
    if (EVP_PKEY_get_group_name(key_.get(), group, sizeof group, &size) != 1) size = 0;
    std::string_view name(group, size);
    if (name == "prime256v1" || name == "P-256") {
      type_ = KeyType::ec_p256;
    } else if (name == "secp384r1" || name == "P-384") {
      type_ = KeyType::ec_p384;
    } else {
      return fail(Cause::malformed, "public key: neither P-256 nor P-384");
    }
    const size_t width = size_of_point(type_) / 2;
    const std::string x = number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X),
                      y = number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y);
    if (x.size() > width || y.size() > width) return fail(Cause::malformed, "public key: not a point of the curve");
    point_ = "\x04" + std::string(width - x.size(), '\0') + x + std::string(width - y.size(), '\0') + y;
    KeyContext context(EVP_PKEY_CTX_new(key_.get(), nullptr));
    if (context == nullptr || EVP_PKEY_public_check(context.get()) != 1) {
      ERR_clear_error();
      return fail(Cause::malformed, "public key: not a point of the curve");
    }
  } else if (base == EVP_PKEY_ED25519) {
    type_ = KeyType::ed25519;
    point_ = octets(key_.get(), OSSL_PKEY_PARAM_PUB_KEY);
  } else {
    return fail(Cause::malformed, "public key: neither RSA, P-256, P-384 nor Ed25519");
  }
  unsigned char* der = nullptr;
  int size = i2d_PUBKEY(key_.get(), &der);
  if (size <= 0) return fail(Cause::malformed, "public key: cannot be written");
  spki_.assign(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return {};
}

size_t PublicKey::size() const {
  switch (type_) {
    case KeyType::rsa:
      return modulus_.size();
    case KeyType::ec_p256:
    case KeyType::ec_p384:
      return size_of_point(type_);
    case KeyType::ed25519:
      return 64;
  }
  return 0;
}

bool PublicKey::verify(SignAlgorithm algorithm, Hash hash, std::string_view input, std::string_view signature) const {
  struct ClearErrors {
    ~ClearErrors() { ERR_clear_error(); }
  } clear;
  if (algorithm == SignAlgorithm::eddsa) {
    if (type_ != KeyType::ed25519) return false;
    DigestContext context(EVP_MD_CTX_new());
    return context != nullptr && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
           EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(input), input.size()) == 1;
  }
  bool rsa = algorithm != SignAlgorithm::ecdsa;
  if (type_ == KeyType::ed25519 || rsa != (type_ == KeyType::rsa)) return false;
  KeyContext context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  const EVP_MD* digest = digest_of(hash);
  if (context == nullptr || digest == nullptr || EVP_PKEY_verify_init(context.get()) != 1) return false;
  if (rsa) {
    bool pss = algorithm == SignAlgorithm::rsa_pss;
    if (EVP_PKEY_CTX_set_rsa_padding(context.get(), pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) != 1) return false;
    if (pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), RSA_PSS_SALTLEN_DIGEST) != 1) return false;
  }
  return EVP_PKEY_CTX_set_signature_md(context.get(), digest) == 1 &&
         EVP_PKEY_verify(context.get(), bytes_of(signature), signature.size(), bytes_of(input), input.size()) == 1;
}

std::string ecdsa_to_der(std::string_view raw, size_t size) {
  if (raw.size() != size) return {};
  int half = static_cast<int>(size / 2);
  BigNumber r(BN_bin2bn(bytes_of(raw), half, nullptr));
  BigNumber s(BN_bin2bn(bytes_of(raw) + half, half, nullptr));
  EcdsaSignature signature(ECDSA_SIG_new());
  if (r == nullptr || s == nullptr || signature == nullptr || BN_is_zero(r.get()) || BN_is_zero(s.get())) return {};
  ECDSA_SIG_set0(signature.get(), r.release(), s.release());
  unsigned char* der = nullptr;
  int length = i2d_ECDSA_SIG(signature.get(), &der);
  if (length <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return out;
}

}  // namespace postern::keystore

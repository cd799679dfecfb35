// SPDX-License-Identifier: Apache-2.0
// Public keys by OpenSSL, behind a strict look at their structure.
#include "engine/x509/spki.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

#include "engine/x509/der.h"

namespace postern::x509 {

namespace {

constexpr std::string_view kOidRsa("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01", 9);
constexpr std::string_view kOidEc("\x2A\x86\x48\xCE\x3D\x02\x01", 7);
// Exponents beyond this make a verification as slow as a signature.
constexpr int kMaxExponentBits = 64;

struct Curve {
  const char* group;
  std::string_view oid;
  size_t field;
};
constexpr std::array<Curve, 6> kCurves = {{
    {"prime256v1", {"\x2A\x86\x48\xCE\x3D\x03\x01\x07", 8}, 32},
    {"secp384r1", {"\x2B\x81\x04\x00\x22", 5}, 48},
    {"secp521r1", {"\x2B\x81\x04\x00\x23", 5}, 66},
    {"brainpoolP256r1", {"\x2B\x24\x03\x03\x02\x08\x01\x01\x07", 9}, 32},
    {"brainpoolP384r1", {"\x2B\x24\x03\x03\x02\x08\x01\x01\x0B", 9}, 48},
    {"brainpoolP512r1", {"\x2B\x24\x03\x03\x02\x08\x01\x01\x0D", 9}, 64},
}};
// Other algorithms are slow, weak or unheard of in mail.
constexpr std::array<std::string_view, 4> kOtherAlgorithms = {{
    kOidRsa,
    {"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A", 9},  // RSASSA-PSS
    {"\x2B\x65\x70", 3},                          // Ed25519
    {"\x2B\x65\x71", 3},                          // Ed448
}};

const Curve* curve_of(const EVP_PKEY* key) {
  std::array<char, 80> group{};
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) != 1) return nullptr;
  for (const Curve& curve : kCurves) {
    if (std::string_view(group.data(), size) == curve.group) return &curve;
  }
  return nullptr;
}

std::string number(const EVP_PKEY* key, const char* name, size_t pad = 0) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const BigNumber value(raw);
  std::string out(pad != 0 ? pad : static_cast<size_t>(BN_num_bytes(raw)), '\0');
  if (BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) < 0) return {};
  return out;
}

bool is_rsa(const EVP_PKEY* key) { return EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "RSA-PSS") == 1; }

}  // namespace

// SEQUENCE { SEQUENCE { OID, parameters }, BIT STRING } with an algorithm and a curve we know.
bool check_spki_structure(std::string_view spki) {
  if (spki.size() > kMaxSpki) return false;
  DerReader outer(spki);
  DerReader inner(outer.take(Tag::sequence));
  DerReader algorithm(inner.take(Tag::sequence));
  const std::string_view bits = inner.take(Tag::bit_string);
  if (!outer.done() || !inner.done() || bits.empty() || bits[0] != '\0') return false;
  const std::string_view oid = algorithm.take(Tag::oid);
  if (oid != kOidEc) return std::ranges::find(kOtherAlgorithms, oid) != kOtherAlgorithms.end();
  const std::string_view named = algorithm.take(Tag::oid);
  return algorithm.done() && std::ranges::any_of(kCurves, [&](const Curve& curve) { return curve.oid == named; });
}

bool check_key_bounds(const EVP_PKEY* key) {
  if (!is_rsa(key)) return true;
  BIGNUM* exponent = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent);
  const BigNumber owner(exponent);
  return exponent != nullptr && BN_num_bits(exponent) <= kMaxExponentBits &&
         EVP_PKEY_get_bits(key) <= static_cast<int>(kMaxRsaBits);
}

base::Result<KeyHandle> load_public_key(std::string_view spki, OSSL_LIB_CTX* context) {
  if (!check_spki_structure(spki)) {
    return base::fail(base::Cause::malformed, "not a public key of a known kind in DER");
  }
  const unsigned char* at = bytes_of(spki);
  EVP_PKEY* raw = nullptr;
  d2i_PUBKEY_ex(&raw, &at, static_cast<long>(spki.size()), context, nullptr);
  KeyHandle key(raw);
  if (!key || at != bytes_of(spki) + spki.size()) {
    return std::unexpected(openssl_error(base::Cause::malformed, "public key"));
  }
  if (!check_key_bounds(key.get())) {
    return base::fail(base::Cause::limit, "an RSA key beyond what we calculate with");
  }
  return key;
}

std::optional<KeyType> key_type(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) return KeyType::rsa;
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return KeyType::ed25519;
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    const Curve* curve = curve_of(key);
    if (curve == &kCurves[0]) return KeyType::ec_p256;
    if (curve == &kCurves[1]) return KeyType::ec_p384;
  }
  return std::nullopt;
}

base::Result<PublicKey> read_spki(std::string_view spki, OSSL_LIB_CTX* context) {
  auto key = load_public_key(spki, context);
  if (!key) return std::unexpected(std::move(key).error());
  const auto type = key_type(key->get());
  if (!type) return base::fail(base::Cause::malformed, "a type of key that is not used here");
  if (canonical_spki(key->get()) != spki) return base::fail(base::Cause::malformed, "a public key in an unusual form");
  return PublicKey{*type, static_cast<uint32_t>(EVP_PKEY_get_bits(key->get()))};
}

std::string canonical_spki(const EVP_PKEY* key) {
  if (is_rsa(key)) {
    const std::string numbers = der_element(Tag::sequence, der_integer(number(key, OSSL_PKEY_PARAM_RSA_N)) +
                                                               der_integer(number(key, OSSL_PKEY_PARAM_RSA_E)));
    const std::string algorithm = der_element(Tag::oid, kOidRsa) + der_element(Tag::null, "");
    return der_element(Tag::sequence, der_element(Tag::sequence, algorithm) + der_bit_string(numbers));
  }
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    const Curve* curve = curve_of(key);
    if (curve == nullptr) return {};
    const std::string point = "\x04" + number(key, OSSL_PKEY_PARAM_EC_PUB_X, curve->field) +
                              number(key, OSSL_PKEY_PARAM_EC_PUB_Y, curve->field);
    const std::string algorithm = der_element(Tag::oid, kOidEc) + der_element(Tag::oid, curve->oid);
    return der_element(Tag::sequence, der_element(Tag::sequence, algorithm) + der_bit_string(point));
  }
  return encode<i2d_PUBKEY>(key);
}

std::string sha256(std::string_view bytes) {
  std::string out(32, '\0');
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), &size, EVP_sha256(),
                 nullptr) != 1) {
    return {};
  }
  return out;
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

std::optional<std::string> unhex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = OPENSSL_hexchar2int(static_cast<unsigned char>(text[i]));
    const int low = OPENSSL_hexchar2int(static_cast<unsigned char>(text[i + 1]));
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string spki_hash(std::string_view spki) { return hex(sha256(spki)); }

std::string public_key_pem(std::string_view spki) {
  const Bio out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio(out.get(), PEM_STRING_PUBLIC, "", bytes_of(spki), static_cast<long>(spki.size())) <= 0) {
    ERR_clear_error();
    return {};
  }
  return bio_text(out.get());
}

const char* openssl_digest_name(Hash hash) {
  switch (hash) {
    case Hash::none:
      return nullptr;
    case Hash::sha1:
      return "SHA1";
    case Hash::sha256:
      return "SHA256";
    case Hash::sha384:
      return "SHA384";
    case Hash::sha512:
      return "SHA512";
  }
  return nullptr;
}

std::optional<Hash> hash_from_openssl(const EVP_MD* md) {
  for (const Hash hash : {Hash::sha256, Hash::sha384, Hash::sha512, Hash::sha1}) {
    if (EVP_MD_is_a(md, openssl_digest_name(hash)) == 1) return hash;
  }
  return std::nullopt;
}

base::Result<std::string> digest(Hash hash, std::string_view bytes) {
  if (hash == Hash::none) return std::string(bytes);
  std::string out(EVP_MAX_MD_SIZE, '\0');
  size_t size = 0;
  if (EVP_Q_digest(nullptr, openssl_digest_name(hash), nullptr, bytes.data(), bytes.size(),
                   reinterpret_cast<unsigned char*>(out.data()), &size) != 1) {
    return std::unexpected(openssl_error(base::Cause::internal, "digest"));
  }
  out.resize(size);
  return out;
}

bool verify_signature(EVP_PKEY* key, SignAlgorithm algorithm, Hash hash, std::string_view input,
                      std::string_view signature, OSSL_LIB_CTX* context) {
  bool good = false;
  if (algorithm == SignAlgorithm::eddsa) {
    const DigestContext verifier(EVP_MD_CTX_new());
    good = verifier && EVP_DigestVerifyInit_ex(verifier.get(), nullptr, nullptr, context, nullptr, key, nullptr) == 1 &&
           EVP_DigestVerify(verifier.get(), bytes_of(signature), signature.size(), bytes_of(input), input.size()) == 1;
  } else {
    const KeyContext verifier(EVP_PKEY_CTX_new_from_pkey(context, key, nullptr));
    const DigestHandle md(
        openssl_digest_name(hash) != nullptr ? EVP_MD_fetch(context, openssl_digest_name(hash), nullptr) : nullptr);
    const int padding = algorithm == SignAlgorithm::rsa_pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    const bool rsa = algorithm != SignAlgorithm::ecdsa;
    good = verifier && md && is_rsa(key) == rsa && input.size() == hash_size(hash) &&
           EVP_PKEY_verify_init(verifier.get()) == 1 &&
           (!rsa || EVP_PKEY_CTX_set_rsa_padding(verifier.get(), padding) == 1) &&
           EVP_PKEY_CTX_set_signature_md(verifier.get(), md.get()) == 1 &&
           (algorithm != SignAlgorithm::rsa_pss ||
            EVP_PKEY_CTX_set_rsa_pss_saltlen(verifier.get(), RSA_PSS_SALTLEN_AUTO) == 1) &&
           EVP_PKEY_verify(verifier.get(), bytes_of(signature), signature.size(), bytes_of(input), input.size()) == 1;
  }
  ERR_clear_error();
  return good;
}

}  // namespace postern::x509

// SPDX-License-Identifier: Apache-2.0
// Making, importing and wrapping keys (PKCS#11 v2.40 sections 5.7 and 5.13; mechanisms 2.1 RSA, 2.3 EC, 2.13 AES key
// wrap; v3.0 for Edwards curves). Every private key is sensitive and private; what the token made is read back, since a
// template is a wish.
#include <openssl/rand.h>

#include "keystore/token/objects.h"

namespace postern::keystore {

namespace {

using base::Cause;
using x509::KeyType;

constexpr std::string_view kExponent65537("\x01\x00\x01", 3);
constexpr CK_ULONG kMaxWrapped = 8192;

CK_KEY_TYPE key_type(KeyType type) {
  switch (type) {
    case KeyType::rsa:
      return CKK_RSA;
    case KeyType::ec_p256:
    case KeyType::ec_p384:
      return CKK_EC;
    case KeyType::ed25519:
      return CKK_EC_EDWARDS;
  }
  return CKK_RSA;
}

CK_MECHANISM_TYPE generation(KeyType type) {
  switch (type) {
    case KeyType::rsa:
      return CKM_RSA_PKCS_KEY_PAIR_GEN;
    case KeyType::ec_p256:
    case KeyType::ec_p384:
      return CKM_EC_KEY_PAIR_GEN;
    case KeyType::ed25519:
      return CKM_EC_EDWARDS_KEY_PAIR_GEN;
  }
  return CKM_RSA_PKCS_KEY_PAIR_GEN;
}

void common(Template& what, CK_OBJECT_CLASS kind, const KeyPlan& plan, KeyType type) {
  what.number(CKA_CLASS, kind)
      .number(CKA_KEY_TYPE, key_type(type))
      .flag(CKA_TOKEN, plan.stays)
      .bytes(CKA_LABEL, plan.label)
      .bytes(CKA_ID, view_of(plan.id));
}

void private_part(Template& what, const KeyPlan& plan, KeyType type) {
  common(what, CKO_PRIVATE_KEY, plan, type);
  what.flag(CKA_PRIVATE, true)
      .flag(CKA_SENSITIVE, true)
      .flag(CKA_EXTRACTABLE, plan.extractable)
      .flag(CKA_SIGN, true)
      .flag(CKA_DERIVE, false);
  if (type == KeyType::rsa) what.flag(CKA_DECRYPT, true).flag(CKA_UNWRAP, false);
}

void public_part(Template& what, const KeyPlan& plan, KeyType type) {
  common(what, CKO_PUBLIC_KEY, plan, type);
  what.flag(CKA_PRIVATE, false).flag(CKA_VERIFY, true);
  if (type == KeyType::rsa) what.flag(CKA_ENCRYPT, true);
}

// as_asked reads back what protects the key.
Outcome<void> as_asked(const Calls& calls, CK_OBJECT_HANDLE handle, const KeyPlan& plan) {
  auto sensitive = flag(calls, handle, CKA_SENSITIVE);
  if (!sensitive) return std::unexpected(sensitive.error());
  auto extractable = flag(calls, handle, CKA_EXTRACTABLE);
  if (!extractable) return std::unexpected(extractable.error());
  if (!sensitive->value_or(false) || extractable->value_or(true) != plan.extractable) {
    return refused(Cause::misconfigured, "the token did not protect the new key as it was told");
  }
  return {};
}

std::string octet_string(std::string_view point) {
  std::string out = "\x04";
  out += static_cast<char>(point.size());  // all our points are below 128 bytes
  return out.append(point);
}

CK_RV create(const Calls& calls, Template& what, CK_OBJECT_HANDLE& handle) {
  std::lock_guard listing(calls.listing);
  return calls.pkcs11.C_CreateObject(calls.session, what.data(), what.size(), &handle);
}

// OneTimeKey is an AES key in the token that lasts as long as this object.
class OneTimeKey {
 public:
  explicit OneTimeKey(const Calls& calls) : calls_(calls) {}
  OneTimeKey(const OneTimeKey&) = delete;
  OneTimeKey& operator=(const OneTimeKey&) = delete;
  ~OneTimeKey() {
    if (handle_ != CK_INVALID_HANDLE) (void)calls_.pkcs11.C_DestroyObject(calls_.session, handle_);
  }

  Outcome<CK_OBJECT_HANDLE> make() {
    value_ = Secret::sized(32);
    if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(value_.data()), 32) != 1) {
      return refused(Cause::internal, "no random bytes");
    }
    Template what;
    what.number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_AES)
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, true)
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_WRAP, true)
        .bytes(CKA_VALUE, value_.view());
    CK_RV rv = create(calls_, what, handle_);
    if (rv != CKR_OK) {
      handle_ = CK_INVALID_HANDLE;
      return call_failed("C_CreateObject", rv);
    }
    return handle_;
  }
  const Secret& value() const { return value_; }

 private:
  const Calls& calls_;
  Secret value_;
  CK_OBJECT_HANDLE handle_ = CK_INVALID_HANDLE;
};

}  // namespace

Outcome<PublicKey> generate_pair(const Calls& calls, const KeyPlan& plan, KeyType type, uint32_t bits) {
  Template pub, priv;
  public_part(pub, plan, type);
  private_part(priv, plan, type);
  if (type == KeyType::rsa) {
    pub.number(CKA_MODULUS_BITS, bits).bytes(CKA_PUBLIC_EXPONENT, kExponent65537);
  } else {
    pub.bytes(CKA_EC_PARAMS, curve_parameters(type));
  }
  CK_MECHANISM mechanism{generation(type), nullptr, 0};
  CK_OBJECT_HANDLE pub_handle = CK_INVALID_HANDLE, priv_handle = CK_INVALID_HANDLE;
  CK_RV rv = CKR_OK;
  {
    std::lock_guard listing(calls.listing);
    rv = calls.pkcs11.C_GenerateKeyPair(calls.session, &mechanism, pub.data(), pub.size(), priv.data(), priv.size(),
                                        &pub_handle, &priv_handle);
  }
  if (rv != CKR_OK) return call_failed("C_GenerateKeyPair", rv);
  auto key = read_public(calls, pub_handle);
  if (!key) return std::unexpected(key.error());
  if (key->type() != type || (type == KeyType::rsa && key->bits() != bits)) {
    return refused(Cause::misconfigured, "the token made a key of another type or size");
  }
  if (auto checked = as_asked(calls, priv_handle, plan); !checked) return std::unexpected(checked.error());
  return std::move(*key);
}

Outcome<CK_OBJECT_HANDLE> create_private(const Calls& calls, const KeyPlan& plan, const PrivateKey& key) {
  Template what;
  KeyType type = key.pub.type();
  private_part(what, plan, type);
  if (type == KeyType::rsa) {
    what.bytes(CKA_MODULUS, key.pub.modulus())
        .bytes(CKA_PUBLIC_EXPONENT, key.pub.exponent())
        .bytes(CKA_PRIVATE_EXPONENT, key.parts.exponent.view())
        .bytes(CKA_PRIME_1, key.parts.prime1.view())
        .bytes(CKA_PRIME_2, key.parts.prime2.view())
        .bytes(CKA_EXPONENT_1, key.parts.exponent1.view())
        .bytes(CKA_EXPONENT_2, key.parts.exponent2.view())
        .bytes(CKA_COEFFICIENT, key.parts.coefficient.view());
  } else {
    what.bytes(CKA_EC_PARAMS, curve_parameters(type)).bytes(CKA_VALUE, key.parts.value.view());
  }
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  CK_RV rv = create(calls, what, handle);
  if (rv != CKR_OK) return call_failed("C_CreateObject", rv);
  if (auto checked = as_asked(calls, handle, plan); !checked) return std::unexpected(checked.error());
  return handle;
}

Outcome<void> create_public(const Calls& calls, const KeyPlan& plan, const PublicKey& key) {
  Template what;
  public_part(what, plan, key.type());
  std::string point = octet_string(key.point());
  if (key.type() == KeyType::rsa) {
    what.bytes(CKA_MODULUS, key.modulus()).bytes(CKA_PUBLIC_EXPONENT, key.exponent());
  } else {
    what.bytes(CKA_EC_PARAMS, curve_parameters(key.type())).bytes(CKA_EC_POINT, point);
  }
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  CK_RV rv = create(calls, what, handle);
  if (rv != CKR_OK) return call_failed("C_CreateObject", rv);
  return {};
}

Outcome<Secret> wrap_private(const Calls& calls, const FoundKey& key) {
  auto extractable = flag(calls, key.handle, CKA_EXTRACTABLE);
  if (!extractable) return std::unexpected(extractable.error());
  if (!extractable->value_or(false)) return refused(Cause::denied, "this key never leaves the token");
  OneTimeKey once(calls);
  auto wrapping = once.make();
  if (!wrapping) return std::unexpected(wrapping.error());
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  std::string wrapped(kMaxWrapped, '\0');
  CK_ULONG size = wrapped.size();
  CK_RV rv = calls.pkcs11.C_WrapKey(calls.session, &mechanism, *wrapping, key.handle,
                                    reinterpret_cast<unsigned char*>(wrapped.data()), &size);
  if (rv != CKR_OK) return call_failed("C_WrapKey", rv);
  if (size > wrapped.size()) return out_of_line("C_WrapKey: more bytes than there is room for");
  wrapped.resize(size);
  auto pkcs8 = unwrap_key(once.value(), wrapped);
  if (!pkcs8) return out_of_line("C_WrapKey: " + pkcs8.error().text());
  auto read = read_pkcs8(*pkcs8);
  if (!read || read->pub.spki() != key.pub.spki()) return out_of_line("C_WrapKey: not the key that was asked for");
  return std::move(*pkcs8);
}

}  // namespace postern::keystore

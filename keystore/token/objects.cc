// SPDX-License-Identifier: Apache-2.0
// Searching and reading token objects (PKCS#11 v2.40 section 5.7), and the proof that a private key is the one meant.
#include "keystore/token/objects.h"

#include <openssl/rand.h>

namespace postern::keystore {

namespace {

using base::Cause;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

constexpr CK_ULONG kMaxAttribute = 16384;
// Of one id there are two objects; more than these is not a token of ours.
constexpr size_t kMaxOfOneId = 64;

CK_BBOOL truth[2] = {CK_FALSE, CK_TRUE};

std::string strip_zeros(std::string text) {
  text.erase(0, std::min(text.find_first_not_of('\0'), text.size()));
  return text;
}

Outcome<PublicKey> told(base::Result<PublicKey> key) {
  if (key) return std::move(*key);
  return refused(Cause::denied, "the token's " + key.error().text());
}

// prove_curve has the private key sign something nobody could have prepared.
Outcome<void> prove_curve(const Calls& calls, CK_OBJECT_HANDLE handle, const PublicKey& pub) {
  std::string challenge(pub.type() == KeyType::ec_p384 ? 48 : 32, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(challenge.data()), static_cast<int>(challenge.size())) != 1) {
    return refused(Cause::internal, "no random bytes");
  }
  bool edwards = pub.type() == KeyType::ed25519;
  SignAlgorithm algorithm = edwards ? SignAlgorithm::eddsa : SignAlgorithm::ecdsa;
  Hash hash = edwards ? Hash::none : pub.type() == KeyType::ec_p384 ? Hash::sha384 : Hash::sha256;
  auto signature = sign_with(calls, handle, pub, algorithm, hash, challenge);
  if (!signature) return std::unexpected(signature.error());
  if (!pub.verify(algorithm, hash, challenge, *signature)) {
    return refused(Cause::denied, "the token's private key does not belong to this public key");
  }
  return {};
}

Outcome<void> prove_rsa(const Calls& calls, CK_OBJECT_HANDLE handle, const PublicKey& pub) {
  auto modulus = attribute(calls, handle, CKA_MODULUS);
  if (!modulus) return std::unexpected(modulus.error());
  auto exponent = attribute(calls, handle, CKA_PUBLIC_EXPONENT);
  if (!exponent) return std::unexpected(exponent.error());
  // The exponent is optional on private keys; a modulus belongs to one key.
  if (!*modulus || strip_zeros(**modulus) != pub.modulus() ||
      (*exponent && !(*exponent)->empty() && strip_zeros(**exponent) != pub.exponent())) {
    return refused(Cause::denied, "the token's private key does not belong to this public key");
  }
  return {};
}

// A search finds no private object when the login was lost, which must not be taken for "not there".
Outcome<void> still_logged_in(const Calls& calls) {
  CK_SESSION_INFO info{};
  CK_RV rv = calls.pkcs11.C_GetSessionInfo(calls.session, &info);
  if (rv != CKR_OK) return call_failed("C_GetSessionInfo", rv);
  if (info.state != CKS_RO_USER_FUNCTIONS && info.state != CKS_RW_USER_FUNCTIONS) {
    return call_failed("C_GetSessionInfo", CKR_USER_NOT_LOGGED_IN);
  }
  return {};
}

}  // namespace

Template& Template::flag(CK_ATTRIBUTE_TYPE type, bool value) {
  attributes_.push_back({type, &truth[value ? 1 : 0], sizeof(CK_BBOOL)});
  return *this;
}

Template& Template::number(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
  numbers_.push_back(value);
  attributes_.push_back({type, &numbers_.back(), sizeof(CK_ULONG)});
  return *this;
}

Template& Template::bytes(CK_ATTRIBUTE_TYPE type, std::string_view value) {
  attributes_.push_back({type, const_cast<char*>(value.data()), value.size()});
  return *this;
}

std::string_view view_of(const KeyId& id) { return {reinterpret_cast<const char*>(id.data()), id.size()}; }

std::string_view curve_parameters(KeyType type) {
  using namespace std::string_view_literals;
  switch (type) {
    case KeyType::ec_p256:
      return "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"sv;  // 1.2.840.10045.3.1.7
    case KeyType::ec_p384:
      return "\x06\x05\x2b\x81\x04\x00\x22"sv;  // 1.3.132.0.34
    case KeyType::ed25519:
      return "\x06\x03\x2b\x65\x70"sv;  // 1.3.101.112
    case KeyType::rsa:
      break;
  }
  return {};
}

Outcome<std::vector<CK_OBJECT_HANDLE>> find_objects(const Calls& calls, Template& what, size_t most) {
  std::lock_guard listing(calls.listing);
  CK_RV rv = calls.pkcs11.C_FindObjectsInit(calls.session, what.data(), what.size());
  if (rv != CKR_OK) return call_failed("C_FindObjectsInit", rv);
  std::vector<CK_OBJECT_HANDLE> found;
  CK_OBJECT_HANDLE batch[256];
  CK_ULONG count = 0;
  do {
    count = 0;
    rv = calls.pkcs11.C_FindObjects(calls.session, batch, std::size(batch), &count);
    if (rv != CKR_OK || count > std::size(batch)) break;
    found.insert(found.end(), batch, batch + count);
  } while (count != 0 && found.size() < most);
  CK_RV ended = calls.pkcs11.C_FindObjectsFinal(calls.session);
  if (rv != CKR_OK) return call_failed("C_FindObjects", rv);
  if (count > std::size(batch)) return out_of_line("C_FindObjects: more objects than asked for");
  if (ended != CKR_OK) return call_failed("C_FindObjectsFinal", ended);
  if (found.size() > most) found.resize(most);
  return found;
}

Outcome<std::optional<std::string>> attribute(const Calls& calls, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  std::string value;
  CK_ATTRIBUTE wanted{type, nullptr, 0};
  CK_RV rv = calls.pkcs11.C_GetAttributeValue(calls.session, object, &wanted, 1);
  if (rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID) return std::nullopt;
  if (rv != CKR_OK) return call_failed("C_GetAttributeValue", rv);
  if (wanted.ulValueLen == CK_UNAVAILABLE_INFORMATION) return std::nullopt;
  if (wanted.ulValueLen > kMaxAttribute) return out_of_line("C_GetAttributeValue: a value too long");
  value.resize(wanted.ulValueLen);
  wanted.pValue = value.data();
  rv = calls.pkcs11.C_GetAttributeValue(calls.session, object, &wanted, 1);
  if (rv != CKR_OK) return call_failed("C_GetAttributeValue", rv);
  if (wanted.ulValueLen > value.size()) return out_of_line("C_GetAttributeValue: a value longer than it said");
  value.resize(wanted.ulValueLen);
  return value;
}

Outcome<std::optional<bool>> flag(const Calls& calls, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  auto value = attribute(calls, object, type);
  if (!value) return std::unexpected(value.error());
  if (!*value || (*value)->size() != sizeof(CK_BBOOL)) return std::nullopt;
  return (**value)[0] != CK_FALSE;
}

Outcome<PublicKey> read_public(const Calls& calls, CK_OBJECT_HANDLE object) {
  auto kind = attribute(calls, object, CKA_KEY_TYPE);
  if (!kind) return std::unexpected(kind.error());
  CK_KEY_TYPE type = 0;
  if (!*kind || (*kind)->size() != sizeof type) return out_of_line("a public key without its type");
  (*kind)->copy(reinterpret_cast<char*>(&type), sizeof type);
  if (type == CKK_RSA) {
    auto modulus = attribute(calls, object, CKA_MODULUS);
    if (!modulus) return std::unexpected(modulus.error());
    auto exponent = attribute(calls, object, CKA_PUBLIC_EXPONENT);
    if (!exponent) return std::unexpected(exponent.error());
    return told(PublicKey::from_rsa(modulus->value_or(""), exponent->value_or("")));
  }
  auto point = attribute(calls, object, CKA_EC_POINT);
  if (!point) return std::unexpected(point.error());
  if (type == CKK_EC_EDWARDS) return told(PublicKey::from_point(KeyType::ed25519, point->value_or("")));
  auto parameters = attribute(calls, object, CKA_EC_PARAMS);
  if (!parameters) return std::unexpected(parameters.error());
  for (KeyType curve : {KeyType::ec_p256, KeyType::ec_p384}) {
    if (type == CKK_EC && parameters->value_or("") == curve_parameters(curve)) {
      return told(PublicKey::from_point(curve, point->value_or("")));
    }
  }
  return refused(Cause::denied, "the token's public key is of a type not used here");
}

Outcome<std::shared_ptr<const FoundKey>> find_key(const Calls& calls, const KeyRef& key) {
  auto pub = PublicKey::from_spki(key.spki);
  if (!pub) return refused(Cause::malformed, pub.error().text());
  if (pub->type() != key.type) return refused(Cause::malformed, "the public key is not of the type that goes with it");
  Template what;
  what.number(CKA_CLASS, CKO_PRIVATE_KEY).flag(CKA_TOKEN, true).bytes(CKA_ID, view_of(key.id));
  auto found = find_objects(calls, what, kMaxOfOneId);
  if (!found) return std::unexpected(found.error());
  if (found->empty()) {
    if (auto in = still_logged_in(calls); !in) return std::unexpected(in.error());
    return refused(Cause::not_found, "the token does not have this key");
  }
  if (found->size() > 1) return refused(Cause::denied, "the token has several private keys with this id");
  Template other;
  other.number(CKA_CLASS, CKO_PUBLIC_KEY).flag(CKA_TOKEN, true).bytes(CKA_ID, view_of(key.id));
  auto publics = find_objects(calls, other, kMaxOfOneId);
  if (!publics) return std::unexpected(publics.error());
  for (CK_OBJECT_HANDLE object : *publics) {
    auto theirs = read_public(calls, object);
    if (!theirs) return std::unexpected(theirs.error());
    if (theirs->spki() != pub->spki()) return refused(Cause::denied, "the token has another public key with this id");
  }
  CK_OBJECT_HANDLE handle = found->front();
  auto proved = pub->type() == KeyType::rsa ? prove_rsa(calls, handle, *pub) : prove_curve(calls, handle, *pub);
  if (!proved) return std::unexpected(proved.error());
  return std::make_shared<const FoundKey>(FoundKey{handle, std::move(*pub)});
}

Outcome<bool> any_object(const Calls& calls, const KeyId& id) {
  if (auto in = still_logged_in(calls); !in) return std::unexpected(in.error());
  Template what;
  what.flag(CKA_TOKEN, true).bytes(CKA_ID, view_of(id));
  auto found = find_objects(calls, what, 1);
  if (!found) return std::unexpected(found.error());
  return !found->empty();
}

Outcome<void> destroy_objects(const Calls& calls, const KeyId& id) {
  if (auto in = still_logged_in(calls); !in) return std::unexpected(in.error());
  Template what;
  what.flag(CKA_TOKEN, true).bytes(CKA_ID, view_of(id));
  auto found = find_objects(calls, what, kMaxOfOneId);
  if (!found) return std::unexpected(found.error());
  for (CK_OBJECT_HANDLE object : *found) {
    CK_RV rv = calls.pkcs11.C_DestroyObject(calls.session, object);
    if (rv != CKR_OK) return call_failed("C_DestroyObject", rv);
  }
  return {};
}

}  // namespace postern::keystore

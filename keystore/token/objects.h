// SPDX-License-Identifier: Apache-2.0
// Objects in a token: templates, attributes, searching, and the one question that matters before a key is used: is this
// object the key that is meant? Each function works on one session, which the calling thread alone uses, inside the
// gate. What the token answers is bounded and checked.
#pragma once
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keystore/token/fault.h"
#include "keystore/token/pkcs8.h"
#include "keystore/token/public_key.h"
#include "keystore/token/token.h"

namespace postern::keystore {

// Calls is a module and an open session in it. Whoever searches token objects or makes some holds `listing` for that
// call: a search of SoftHSM2 (2.6.1) reads every object of the token, also one that another thread is still writing,
// and then takes that for broken for good. Objects that are known already are used without it.
struct Calls {
  const CK_FUNCTION_LIST& pkcs11;
  CK_SESSION_HANDLE session;
  std::mutex& listing;
};

// Template collects attributes; bytes() ones must outlive it.
class Template {
 public:
  Template& flag(CK_ATTRIBUTE_TYPE type, bool value);
  Template& number(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  Template& bytes(CK_ATTRIBUTE_TYPE type, std::string_view value);
  CK_ATTRIBUTE* data() { return attributes_.data(); }
  CK_ULONG size() const { return attributes_.size(); }

 private:
  std::vector<CK_ATTRIBUTE> attributes_;
  std::deque<CK_ULONG> numbers_;
};

// FoundKey is a private key object that was shown to be the key with this public half.
struct FoundKey {
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  PublicKey pub;
};

std::string_view view_of(const KeyId& id);
// curve_parameters returns CKA_EC_PARAMS (the curve's OID, DER).
std::string_view curve_parameters(x509::KeyType type);

// find_objects returns the handles of objects that match, at most `most` of them.
Outcome<std::vector<CK_OBJECT_HANDLE>> find_objects(const Calls& calls, Template& what, size_t most);
// attribute returns a value, at most 16 KiB; nullopt where the object does not have it or does not tell.
Outcome<std::optional<std::string>> attribute(const Calls& calls, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
Outcome<std::optional<bool>> flag(const Calls& calls, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);

// read_public makes the public key of a public key object.
Outcome<PublicKey> read_public(const Calls& calls, CK_OBJECT_HANDLE object);

// find_key returns the private key object with this id after proof that it is the key: RSA by its modulus and exponent,
// curves by a signature over random bytes that the public key verifies; a public key object with the same id must not
// be another key either. not_found; denied when it is another key or there are several.
Outcome<std::shared_ptr<const FoundKey>> find_key(const Calls& calls, const KeyRef& key);

// any_object tells whether anything has this id; destroy_objects destroys all that has.
Outcome<bool> any_object(const Calls& calls, const KeyId& id);
Outcome<void> destroy_objects(const Calls& calls, const KeyId& id);

// KeyPlan says how a new key object is made.
struct KeyPlan {
  KeyId id{};
  std::string_view label;
  bool extractable = false;
  bool stays = true;  // CKA_TOKEN
};

// generate_pair makes a pair in the token and returns its public half; create_private and create_public make the
// objects of a key that is here.
Outcome<PublicKey> generate_pair(const Calls& calls, const KeyPlan& plan, x509::KeyType type, uint32_t bits);
Outcome<CK_OBJECT_HANDLE> create_private(const Calls& calls, const KeyPlan& plan, const PrivateKey& key);
Outcome<void> create_public(const Calls& calls, const KeyPlan& plan, const PublicKey& key);

// wrap_private returns the PKCS#8 of a private key object (see Token::wrap).
Outcome<Secret> wrap_private(const Calls& calls, const FoundKey& key);

// sign_with and decrypt_with do one operation with a key that find_key returned or create_private made.
Outcome<std::string> sign_with(const Calls& calls, CK_OBJECT_HANDLE handle, const PublicKey& pub,
                               x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view input);
Outcome<Secret> decrypt_with(const Calls& calls, const FoundKey& key, std::string_view ciphertext);

}  // namespace postern::keystore

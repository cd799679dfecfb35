// SPDX-License-Identifier: Apache-2.0
// Keys: reading the public half, signing.
#include "keystore/provider/key.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>

#include <array>

namespace postern::keystore {

base::Result<ProviderKey*> ProviderKey::make(Provider& provider, std::string_view name, std::string_view spki) {
  const auto facts = x509::read_spki(spki, provider.inner());
  if (!facts) return std::unexpected(base::Error(facts.error()).in(name));
  auto key = x509::load_public_key(spki, provider.inner());
  if (!key) return std::unexpected(std::move(key).error().in(name));
  return new ProviderKey(provider, name, *facts, std::move(*key));
}

std::string ProviderKey::sign(x509::SignAlgorithm algorithm, x509::Hash hash, std::string_view input) const {
  if (input.size() > crypto::kMaxSignInput) {
    provider_.raise(Reason::unsupported, name_ + ": at most 48 KiB are signed at once");
    return {};
  }
  const crypto::SignRequest request{name_, algorithm, hash, input};
  auto answers = provider_.keys().sign({&request, 1}, provider_.deadline());
  if (answers.size() != 1) {
    provider_.raise(Reason::failed, name_);
    return {};
  }
  auto& answer = answers[0];
  if (!answer) {
    provider_.raise(std::move(answer).error().in(name_));
    return {};
  }
  if (!x509::verify_signature(key_.get(), algorithm, hash, input, *answer, provider_.inner())) {
    provider_.raise(Reason::wrong_key, name_ + ": the signature does not fit the public key of the reference");
    return {};
  }
  return std::move(*answer);
}

const char* openssl_key_type(x509::KeyType type) {
  switch (type) {
    case x509::KeyType::rsa:
      return "RSA";
    case x509::KeyType::ec_p256:
    case x509::KeyType::ec_p384:
      return "EC";
    case x509::KeyType::ed25519:
      return "ED25519";
  }
  return "";
}

int hand_over(ProviderKeyHandle key, OSSL_CALLBACK* callback, void* argument) {
  int object = OSSL_OBJECT_PKEY;
  ProviderKey* reference = key.release();
  std::array<OSSL_PARAM, 4> params = {
      OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
      OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE,
                                       const_cast<char*>(openssl_key_type(reference->type())), 0),
      OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &reference, sizeof(reference)),
      OSSL_PARAM_construct_end(),
  };
  const int done = callback(params.data(), argument);
  ProviderKey::drop(reference);
  return done;
}

}  // namespace postern::keystore

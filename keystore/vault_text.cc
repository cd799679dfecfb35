// SPDX-License-Identifier: Apache-2.0
// Words the vault uses.
#include "keystore/vault_internal.h"

namespace postern::keystore {

std::string wrong_password_text(const Attempt& attempt) {
  if (attempt.left == 1) {
    return "wrong officer password; 1 attempt left: the next wrong password destroys all keys and certificates";
  }
  return "wrong officer password; " + std::to_string(attempt.left) + " attempts left";
}

std::string_view algorithm_name(x509::SignAlgorithm algorithm) {
  switch (algorithm) {
    case x509::SignAlgorithm::rsa_pkcs1:
      return "rsa-pkcs1";
    case x509::SignAlgorithm::rsa_pss:
      return "rsa-pss";
    case x509::SignAlgorithm::ecdsa:
      return "ecdsa";
    case x509::SignAlgorithm::eddsa:
      return "eddsa";
  }
  return "unknown";
}

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// AlgorithmIdentifiers, composed.
#include "keystore/provider/algorithm_id.h"

#include "engine/x509/der.h"

namespace postern::keystore {

namespace {

using x509::der_element;
using x509::Hash;
using x509::Tag;

// number tells the last byte of the identifiers below, which count the same way: SHA-256, SHA-384, SHA-512.
int number(Hash hash) {
  switch (hash) {
    case Hash::sha256:
      return 0;
    case Hash::sha384:
      return 1;
    case Hash::sha512:
      return 2;
    default:
      return -1;
  }
}

std::string oid(std::string_view prefix, int last) {
  return der_element(Tag::oid, std::string(prefix) + static_cast<char>(last));
}

std::string pss(Hash hash, int which) {
  const std::string null = der_element(Tag::null, "");
  const std::string digest = der_element(Tag::sequence, oid({"\x60\x86\x48\x01\x65\x03\x04\x02", 8}, 1 + which) + null);
  const std::string mask =
      der_element(Tag::sequence, oid({"\x2A\x86\x48\x86\xF7\x0D\x01\x01", 8}, 8) + digest);  // MGF1 of the same digest
  const auto context = [](int at, std::string_view content) {
    return der_element(static_cast<Tag>(0xA0 + at), content);
  };
  const std::string salt = x509::der_integer(static_cast<uint32_t>(hash_size(hash)));
  return der_element(Tag::sequence,
                     oid({"\x2A\x86\x48\x86\xF7\x0D\x01\x01", 8}, 10) +
                         der_element(Tag::sequence, context(0, digest) + context(1, mask) + context(2, salt)));
}

}  // namespace

std::string algorithm_id(x509::SignAlgorithm algorithm, Hash hash) {
  const int which = number(hash);
  if (algorithm == x509::SignAlgorithm::eddsa) {
    return der_element(Tag::sequence, der_element(Tag::oid, {"\x2B\x65\x70", 3}));
  }
  if (which < 0) return {};
  switch (algorithm) {
    case x509::SignAlgorithm::rsa_pkcs1:
      return der_element(Tag::sequence,
                         oid({"\x2A\x86\x48\x86\xF7\x0D\x01\x01", 8}, 11 + which) + der_element(Tag::null, ""));
    case x509::SignAlgorithm::rsa_pss:
      return pss(hash, which);
    case x509::SignAlgorithm::ecdsa:
      return der_element(Tag::sequence, oid({"\x2A\x86\x48\xCE\x3D\x04\x03", 7}, 2 + which));
    case x509::SignAlgorithm::eddsa:
      break;
  }
  return {};
}

}  // namespace postern::keystore

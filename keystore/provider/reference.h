// SPDX-License-Identifier: Apache-2.0
// Key references: what stands in a key file when the key itself is in fipsd's token. The file is PKCS#8 in PEM ("BEGIN
// PRIVATE KEY", the form every program reads) with an algorithm identifier of our own, and in place of a key
//
//   SEQUENCE { version INTEGER (1), name UTF8String, publicKey SubjectPublicKeyInfo }
//
// The public key is in it so that a program can load the file while fipsd is down, and so that another key under the
// same name is noticed. There is nothing secret in a reference. Without the provider no program can read it. Pure
// functions.
#pragma once
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace postern::keystore {

// kReferenceOid is 1.3.6.1.4.1.99999.25.1 in DER. 99999 is nobody's enterprise number: the arc is for experiments and
// private use. With a number of one's own from IANA only this constant changes; references written before then no
// longer load and are written again by `fipsconfig key reference`.
inline constexpr std::string_view kReferenceOid("\x2B\x06\x01\x04\x01\x86\x8D\x1F\x19\x01", 10);
inline constexpr uint32_t kReferenceVersion = 1;
inline constexpr size_t kMaxReference = 4096;  // bytes of DER

struct Reference {
  std::string_view name;  // points into the bytes read
  std::string_view spki;
};

// write_reference returns the DER, write_reference_pem the text of a key file.
std::string write_reference(std::string_view name, std::string_view spki);
std::string write_reference_pem(std::string_view name, std::string_view spki);

// read_reference reads DER. not_found: PKCS#8 of another kind or no PKCS#8 at all; misconfigured: of a later version;
// malformed: ours, but damaged. The public key is not looked into.
base::Result<Reference> read_reference(std::string_view der);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// References in DER and PEM.
#include "keystore/provider/reference.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "engine/x509/der.h"
#include "engine/x509/openssl.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {

using x509::der_element;
using x509::der_integer;
using x509::DerReader;
using x509::Tag;

std::string write_reference(std::string_view name, std::string_view spki) {
  const std::string content = der_element(
      Tag::sequence, der_integer(kReferenceVersion) + der_element(Tag::utf8_string, name) + std::string(spki));
  return der_element(Tag::sequence, der_integer(0) + der_element(Tag::sequence, der_element(Tag::oid, kReferenceOid)) +
                                        der_element(Tag::octet_string, content));
}

std::string write_reference_pem(std::string_view name, std::string_view spki) {
  const std::string der = write_reference(name, spki);
  const x509::Bio out(BIO_new(BIO_s_mem()));
  if (!out ||
      PEM_write_bio(out.get(), PEM_STRING_PKCS8INF, "", x509::bytes_of(der), static_cast<long>(der.size())) <= 0) {
    ERR_clear_error();
    return {};
  }
  return x509::bio_text(out.get());
}

base::Result<Reference> read_reference(std::string_view der) {
  const auto other = base::fail(base::Cause::not_found, "no key reference");
  const auto broken = base::fail(base::Cause::malformed, "a damaged key reference");
  DerReader outer(der);
  DerReader info(outer.take(Tag::sequence));
  info.take(Tag::integer);
  DerReader algorithm(info.take(Tag::sequence));
  if (algorithm.take(Tag::oid) != kReferenceOid) return other;
  DerReader octets(info.take(Tag::octet_string));
  if (der.size() > kMaxReference || !outer.done() || !info.done() || !algorithm.done()) return broken;
  DerReader content(octets.take(Tag::sequence));
  const std::string_view version = content.take(Tag::integer);
  if (!octets.done() || version.size() != 1) return broken;
  if (static_cast<uint8_t>(version[0]) != kReferenceVersion) {
    return base::fail(base::Cause::misconfigured, "a key reference of another version; write it again with fipsconfig");
  }
  const Reference reference{content.take(Tag::utf8_string), content.whole(Tag::sequence)};
  if (!content.done() || !is_object_name(reference.name)) return broken;
  return reference;
}

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// Certificates (RFC 5280) read into plain facts: who, by whom, how long, for which names, with which key. Whatever
// bytes come in, reading is bounded and ends; the outer structure is checked by our strict reader first. Pure
// functions.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/x509/algorithms.h"
#include "engine/x509/openssl.h"

namespace postern::x509 {

inline constexpr size_t kMaxCertificate = 64u << 10;  // bytes of one
inline constexpr size_t kMaxChain = 32;               // certificates kept with a key
inline constexpr size_t kMaxChainText = 1u << 20;     // bytes of PEM
inline constexpr size_t kMaxSubjectNames = 2000;      // names in one certificate

struct Certificate {
  std::string der;
  std::string subject;  // RFC 4514
  std::string issuer;
  std::string serial;      // lower-case hex without leading zeros; "-" before a negative one
  int64_t not_before = 0;  // Unix time
  int64_t not_after = 0;
  std::vector<std::string> dns;  // subjectAltName: host names, addresses as text, mailboxes
  std::vector<std::string> addresses;
  std::vector<std::string> emails;
  bool authority = false;       // basicConstraints cA
  std::string spki;             // SubjectPublicKeyInfo as it stands in the certificate
  std::string spki_hash;        // SHA-256 of it, hex
  std::optional<KeyType> type;  // of the key, where it is one of ours

  // belongs_to tells whether this certificate is for the public key `spki`.
  bool belongs_to(std::string_view other) const { return spki == other; }
};

// open_certificate checks size, structure and key and gives OpenSSL's object; it may be read by several threads.
base::Result<CertificateHandle> open_certificate(std::string_view der);
// certificate_spki returns the SubjectPublicKeyInfo inside; empty when `der` is no certificate.
std::string_view certificate_spki(std::string_view der);

// read_certificate reads one certificate in DER.
base::Result<Certificate> read_certificate(std::string_view der);

// pem_certificates takes the DER out of PEM text: CERTIFICATE blocks only, at most `most`; text between blocks is
// skipped. A private key in the text is malformed and the error says so; so is any other kind of block.
base::Result<std::vector<std::string>> pem_certificates(std::string_view pem, size_t most);

// read_chain reads a PEM chain, leaf first, as keys keep it: 1 to kMaxChain certificates, each issued by the next.
base::Result<std::vector<Certificate>> read_chain(std::string_view pem);

// certificate_pem writes one certificate as PEM.
std::string certificate_pem(std::string_view der);

// serial_text and name lookups as Certificate has them, for an OpenSSL object.
std::string serial_text(const X509* certificate);

}  // namespace postern::x509

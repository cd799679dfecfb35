// SPDX-License-Identifier: Apache-2.0
// From DER and PEM to facts.
#include "engine/x509/certificate.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <ctime>

#include "engine/base/text.h"
#include "engine/x509/der.h"
#include "engine/x509/names.h"
#include "engine/x509/spki.h"

namespace postern::x509 {

namespace {

using base::Cause;

constexpr size_t kMaxSerial = 64;  // bytes; RFC 5280 allows 20

std::string_view view_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<size_t>(ASN1_STRING_length(text))};
}

std::optional<int64_t> unix_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  return timegm(&parts);
}

std::string address_text(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> out{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (bytes.size() != 4 && bytes.size() != 16) return {};
  return inet_ntop(family, bytes.data(), out.data(), out.size()) != nullptr ? std::string(out.data()) : std::string();
}

// read_names fills in the subjectAltName; false when there are too many or the extension is broken.
bool read_names(const X509* certificate, Certificate& facts) {
  int critical = 0;
  const GeneralNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr)));
  ERR_clear_error();
  if (!names) return critical == -1;
  if (sk_GENERAL_NAME_num(names.get()) > static_cast<int>(kMaxSubjectNames)) return false;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      facts.dns.push_back(base::escape_for_log(view_of(name->d.dNSName)));
    } else if (name->type == GEN_EMAIL) {
      facts.emails.push_back(base::escape_for_log(view_of(name->d.rfc822Name)));
    } else if (name->type == GEN_IPADD) {
      const std::string address = address_text(view_of(name->d.iPAddress));
      if (!address.empty()) facts.addresses.push_back(address);
    }
  }
  return true;
}

struct PemBlock {
  std::string label;
  std::string der;
};

// next_block reads one PEM block; nullopt at the end of the text.
base::Result<std::optional<PemBlock>> next_block(BIO* bio) {
  char* label = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  const int done = PEM_read_bio(bio, &label, &header, &data, &size);
  std::optional<PemBlock> block;
  if (done == 1) block = PemBlock{label, std::string(reinterpret_cast<char*>(data), static_cast<size_t>(size))};
  OPENSSL_free(label);
  OPENSSL_free(header);
  // It may be a key that somebody put into the wrong file.
  OPENSSL_clear_free(data, static_cast<size_t>(size));
  if (done != 1 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return std::unexpected(openssl_error(Cause::malformed, "PEM"));
  }
  ERR_clear_error();
  return block;
}

}  // namespace

std::string_view certificate_spki(std::string_view der) {
  DerReader outer(der);
  DerReader certificate(outer.take(Tag::sequence));
  DerReader body(certificate.take(Tag::sequence));
  certificate.take(Tag::sequence);
  certificate.take(Tag::bit_string);
  if (!outer.done() || !certificate.done()) return {};
  if (body.at(Tag::context_0)) body.take(Tag::context_0);
  if (body.take(Tag::integer).size() > kMaxSerial) return {};
  for (int i = 0; i < 4; ++i) body.take(Tag::sequence);  // algorithm, issuer, validity, subject
  const std::string_view spki = body.whole(Tag::sequence);
  return body.ok() ? spki : std::string_view();
}

base::Result<CertificateHandle> open_certificate(std::string_view der) {
  if (der.size() > kMaxCertificate) return base::fail(Cause::limit, "certificate: larger than 64 KiB");
  const std::string_view spki = certificate_spki(der);
  if (spki.empty()) return base::fail(Cause::malformed, "certificate: not in DER");
  if (!check_spki_structure(spki)) return base::fail(Cause::malformed, "certificate: not a public key of a known kind");
  const unsigned char* at = bytes_of(der);
  CertificateHandle certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate || at != bytes_of(der) + der.size()) {
    return std::unexpected(openssl_error(Cause::malformed, "certificate"));
  }
  const EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  if (key == nullptr) return std::unexpected(openssl_error(Cause::malformed, "certificate: public key"));
  if (!check_key_bounds(key)) {
    return base::fail(Cause::limit, "certificate: an RSA key beyond what we calculate with");
  }
  return certificate;
}

std::string serial_text(const X509* certificate) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  std::string_view bytes = view_of(serial);
  while (bytes.size() > 1 && bytes[0] == '\0') bytes.remove_prefix(1);
  std::string digits = hex(bytes);
  if (digits.empty()) digits = "0";
  if (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  return (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ? "-" : "") + digits;
}

namespace {

base::Result<Certificate> facts_of(const X509* certificate, std::string_view der) {
  Certificate facts;
  facts.der = der;
  facts.subject = name_text(X509_get_subject_name(certificate));
  facts.issuer = name_text(X509_get_issuer_name(certificate));
  facts.serial = serial_text(certificate);
  const auto from = unix_time(X509_get0_notBefore(certificate));
  const auto to = unix_time(X509_get0_notAfter(certificate));
  if (!from || !to) return base::fail(Cause::malformed, "certificate: a date that is none");
  facts.not_before = *from;
  facts.not_after = *to;
  if (!read_names(certificate, facts)) return base::fail(Cause::malformed, "certificate: subjectAltName");
  // OpenSSL fills a cache inside the object here, hence not const.
  const uint32_t flags = X509_get_extension_flags(const_cast<X509*>(certificate));
  ERR_clear_error();
  if ((flags & EXFLAG_INVALID) != 0) return base::fail(Cause::malformed, "certificate: a broken extension");
  facts.authority = (flags & EXFLAG_CA) != 0;
  facts.spki = certificate_spki(der);
  facts.spki_hash = spki_hash(facts.spki);
  facts.type = key_type(X509_get0_pubkey(certificate));
  return facts;
}

}  // namespace

base::Result<Certificate> read_certificate(std::string_view der) {
  auto opened = open_certificate(der);
  if (!opened) return std::unexpected(std::move(opened).error());
  return facts_of(opened->get(), der);
}

base::Result<std::vector<std::string>> pem_certificates(std::string_view pem, size_t most) {
  if (pem.size() > INT32_MAX) return base::fail(Cause::limit, "PEM: too long");
  const Bio bio = memory_bio(pem);
  if (!bio) return std::unexpected(openssl_error(Cause::internal, "PEM"));
  std::vector<std::string> found;
  for (;;) {
    auto block = next_block(bio.get());
    if (!block) return std::unexpected(std::move(block).error());
    if (!*block) return found;
    if ((*block)->label.ends_with("PRIVATE KEY")) {
      OPENSSL_cleanse((*block)->der.data(), (*block)->der.size());
      return base::fail(Cause::malformed, "PEM: holds a private key, where only certificates belong");
    }
    if ((*block)->label != PEM_STRING_X509 && (*block)->label != PEM_STRING_X509_OLD) {
      return base::fail(Cause::malformed,
                        "PEM: a block \"" + base::escape_for_log((*block)->label, 40) + "\" that is no certificate");
    }
    if (found.size() == most) {
      return base::fail(Cause::limit, "PEM: more than " + std::to_string(most) + " certificates");
    }
    found.push_back(std::move((*block)->der));
  }
}

base::Result<std::vector<Certificate>> read_chain(std::string_view pem) {
  if (pem.size() > kMaxChainText) return base::fail(Cause::limit, "certificate chain: larger than 1 MiB");
  auto ders = pem_certificates(pem, kMaxChain);
  if (!ders) return std::unexpected(std::move(ders).error());
  if (ders->empty()) return base::fail(Cause::malformed, "certificate chain: no certificate in PEM");
  std::vector<Certificate> chain;
  CertificateHandle before;
  for (const std::string& der : *ders) {
    const std::string which = "certificate " + std::to_string(chain.size() + 1);
    auto current = open_certificate(der);
    if (!current) return std::unexpected(std::move(current).error().in(which));
    auto facts = facts_of(current->get(), der);
    if (!facts) return std::unexpected(std::move(facts).error().in(which));
    if (before) {
      const int fits = X509_NAME_cmp(X509_get_issuer_name(before.get()), X509_get_subject_name(current->get()));
      if (fits != 0) {
        return base::fail(Cause::malformed, which + " (" + base::escape_for_log(facts->subject, 120) +
                                                ") did not issue the one before it; a chain begins with the leaf");
      }
    }
    before = std::move(*current);
    chain.push_back(std::move(*facts));
  }
  return chain;
}

std::string certificate_pem(std::string_view der) {
  const Bio out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio(out.get(), PEM_STRING_X509, "", bytes_of(der), static_cast<long>(der.size())) <= 0) {
    ERR_clear_error();
    return {};
  }
  return bio_text(out.get());
}

}  // namespace postern::x509

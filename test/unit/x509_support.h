// SPDX-License-Identifier: Apache-2.0
// Certificates made on the spot for the tests of x509: keys in memory, any subject, issuer and extension, also ones no
// sane authority would write.
#pragma once
#include <openssl/conf.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <ctime>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/x509/certificate.h"
#include "engine/x509/names.h"
#include "engine/x509/openssl.h"
#include "engine/x509/request.h"
#include "engine/x509/spki.h"

namespace postern::x509::test {

inline KeyHandle make_key(KeyType type = KeyType::ec_p256, unsigned bits = 2048) {
  switch (type) {
    case KeyType::rsa:
      return KeyHandle(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(bits)));
    case KeyType::ec_p256:
      return KeyHandle(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    case KeyType::ec_p384:
      return KeyHandle(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
    case KeyType::ed25519:
      break;
  }
  return KeyHandle(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

inline std::string spki_of(EVP_PKEY* key) { return encode<i2d_PUBKEY>(key); }

// Issue says what stands in a certificate.
struct Issue {
  std::string subject = {};
  std::string issuer = {};  // empty: the subject
  bool authority = false;
  uint64_t serial = 1;
  int64_t from = -3600;  // seconds from now
  int64_t to = 86400;
  std::vector<std::pair<int, std::string>> extensions = {};  // NID and text as in openssl.cnf
};

inline std::string make_certificate(const Issue& issue, EVP_PKEY* key, EVP_PKEY* signer) {
  CertificateHandle certificate(X509_new());
  X509* x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), issue.serial);
  X509_gmtime_adj(X509_getm_notBefore(x), issue.from);
  X509_gmtime_adj(X509_getm_notAfter(x), issue.to);
  X509_set_subject_name(x, parse_name(issue.subject)->get());
  X509_set_issuer_name(x, parse_name(issue.issuer.empty() ? issue.subject : issue.issuer)->get());
  X509_set_pubkey(x, key);
  std::vector<std::pair<int, std::string>> extensions = issue.extensions;
  extensions.emplace_back(NID_basic_constraints, issue.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extensions.emplace_back(NID_key_usage,
                          issue.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  X509V3_CTX context;
  X509V3_set_ctx(&context, nullptr, x, nullptr, nullptr, 0);
  const base::Handle<CONF, NCONF_free> nothing(NCONF_new(nullptr));
  X509V3_set_nconf(&context, nothing.get());
  for (const auto& [nid, text] : extensions) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, text.c_str());
    if (extension == nullptr) throw std::runtime_error(text + ": " + openssl_reason());
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  }
  const bool plain = EVP_PKEY_is_a(signer, "ED25519") == 1;
  if (X509_sign(x, signer, plain ? nullptr : EVP_sha256()) <= 0) throw std::runtime_error(openssl_reason());
  return encode<i2d_X509>(x);
}

// Authority is a CA with a key of its own.
struct Authority {
  std::string name;
  KeyHandle key;
  std::string certificate;  // self-signed

  explicit Authority(std::string its_name, KeyType type = KeyType::ec_p256)
      : name(std::move(its_name)), key(make_key(type)) {
    certificate = make_certificate({.subject = name, .authority = true, .serial = 100}, key.get(), key.get());
  }
  std::string issue(Issue issue, EVP_PKEY* to) const {
    issue.issuer = name;
    return make_certificate(issue, to, key.get());
  }
  // leaf issues a certificate for TLS and S/MIME to `host`.
  std::string leaf(const std::string& host, EVP_PKEY* to, uint64_t serial = 7) const {
    return issue({.subject = "CN=" + host,
                  .serial = serial,
                  .extensions = {{NID_subject_alt_name, "DNS:" + host + ",email:who@" + host},
                                 {NID_ext_key_usage, "serverAuth,emailProtection"}}},
                 to);
  }
};

inline std::string pem_of(const std::vector<std::string>& ders) {
  std::string text;
  for (const std::string& der : ders) text += certificate_pem(der);
  return text;
}

// signer_of signs with a key in memory, as fipsd does with one in the token.
inline Signer signer_of(EVP_PKEY* key) {
  return [key](SignAlgorithm algorithm, Hash hash, std::string_view input) -> base::Result<std::string> {
    size_t size = 512;
    std::string out(size, '\0');
    auto* bytes = reinterpret_cast<unsigned char*>(out.data());
    if (algorithm == SignAlgorithm::eddsa) {
      const DigestContext context(EVP_MD_CTX_new());
      if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) != 1 ||
          EVP_DigestSign(context.get(), bytes, &size, bytes_of(input), input.size()) != 1) {
        return std::unexpected(openssl_error(base::Cause::internal, "sign"));
      }
    } else {
      const KeyContext context(EVP_PKEY_CTX_new(key, nullptr));
      if (EVP_PKEY_sign_init(context.get()) != 1 ||
          EVP_PKEY_CTX_set_signature_md(context.get(), EVP_get_digestbyname(openssl_digest_name(hash))) != 1 ||
          EVP_PKEY_sign(context.get(), bytes, &size, bytes_of(input), input.size()) != 1) {
        return std::unexpected(openssl_error(base::Cause::internal, "sign"));
      }
    }
    out.resize(size);
    return out;
  };
}

}  // namespace postern::x509::test

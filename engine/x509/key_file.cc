// SPDX-License-Identifier: Apache-2.0
// PEM and PKCS#12 by OpenSSL.
#include "engine/x509/key_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/x509/certificate.h"
#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"

namespace postern::x509 {

namespace {

using base::Cause;
using Pkcs12 = base::Handle<PKCS12, PKCS12_free>;

constexpr size_t kMaxFound = 64;  // certificates in one file

bool is_pem(std::string_view content) { return content.find("-----BEGIN ") != std::string_view::npos; }

// give_password is OpenSSL's callback; `user` is the std::string_view.
int give_password(char* buffer, int size, int /*writing*/, void* user) {
  const auto* password = static_cast<const std::string_view*>(user);
  if (password->empty() || password->size() > static_cast<size_t>(size)) return -1;
  std::memcpy(buffer, password->data(), password->size());
  return static_cast<int>(password->size());
}

Pkcs12 open_pkcs12(std::string_view content) {
  const unsigned char* at = bytes_of(content);
  Pkcs12 file(d2i_PKCS12(nullptr, &at, static_cast<long>(content.size())));
  ERR_clear_error();
  return file;
}

std::unexpected<base::Error> locked(std::string_view password) {
  ERR_clear_error();
  return base::fail(Cause::denied, password.empty() ? "the file is encrypted: a password is needed"
                                                    : "wrong password, or the file is damaged");
}

struct Found {
  KeyHandle key;
  std::vector<std::string> certificates;  // DER
};

base::Result<Found> from_pem(std::string_view content, std::string_view password) {
  Found found;
  const Bio bio = memory_bio(content);
  if (!bio) return std::unexpected(openssl_error(Cause::internal, "PEM"));
  // Blocks come in any order; each is taken out as text and read by the reader for its kind.
  size_t at = 0;
  for (;;) {
    const size_t begin = content.find("-----BEGIN ", at);
    if (begin == std::string_view::npos) break;
    const size_t tail = content.find("-----END ", begin);
    if (tail == std::string_view::npos) return base::fail(Cause::malformed, "PEM: a block without an end");
    const size_t end = std::min(content.find('\n', tail), content.size());
    const std::string_view block = content.substr(begin, end - begin);
    at = end;
    const std::string_view label = block.substr(11, block.find("-----", 11) - 11);
    if (label.ends_with("PRIVATE KEY")) {
      if (found.key) return base::fail(Cause::malformed, "the file holds more than one private key");
      const Bio one = memory_bio(block);
      found.key.reset(PEM_read_bio_PrivateKey(one.get(), nullptr, give_password, &password));
      if (!found.key) {
        if (needs_password(block)) return locked(password);
        return std::unexpected(openssl_error(Cause::malformed, "private key"));
      }
    } else if (label == PEM_STRING_X509 || label == PEM_STRING_X509_OLD) {
      auto ders = pem_certificates(block, 1);
      if (!ders) return std::unexpected(std::move(ders).error());
      if (found.certificates.size() == kMaxFound) return base::fail(Cause::limit, "too many certificates in one file");
      found.certificates.insert(found.certificates.end(), ders->begin(), ders->end());
    }
  }
  return found;
}

base::Result<Found> from_pkcs12(PKCS12* file, std::string_view password) {
  std::string text(password);
  EVP_PKEY* key = nullptr;
  X509* leaf = nullptr;
  STACK_OF(X509)* others = nullptr;
  const int done = PKCS12_parse(file, text.c_str(), &key, &leaf, &others);
  OPENSSL_cleanse(text.data(), text.size());
  Found found;
  found.key.reset(key);
  const CertificateHandle leaf_owner(leaf);
  const CertificateStack others_owner(others);
  if (done != 1) {
    const unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_PKCS12 && ERR_GET_REASON(code) == PKCS12_R_MAC_VERIFY_FAILURE) {
      return locked(password);
    }
    // Files from before 2020 are encrypted with RC2, which OpenSSL 3 offers only in its provider "legacy".
    return std::unexpected(
        openssl_error(Cause::malformed, "PKCS#12 (an old file is rewritten by \"openssl pkcs12 -legacy -nodes\")"));
  }
  if (leaf != nullptr) found.certificates.push_back(encode<i2d_X509>(leaf));
  if (sk_X509_num(others) > static_cast<int>(kMaxFound)) {
    return base::fail(Cause::limit, "too many certificates in one file");
  }
  for (int i = 0; i < sk_X509_num(others); ++i)
    found.certificates.push_back(encode<i2d_X509>(sk_X509_value(others, i)));
  return found;
}

// order puts the certificate of the key first and each issuer after what it issued.
base::Result<void> order(Found& found, KeyFile& file) {
  std::vector<Certificate> rest;
  for (const std::string& der : found.certificates) {
    auto facts = read_certificate(der);
    if (!facts) return std::unexpected(std::move(facts).error());
    rest.push_back(std::move(*facts));
  }
  auto next = std::ranges::find_if(rest, [&](const Certificate& one) { return one.belongs_to(file.spki); });
  if (next == rest.end() && !rest.empty()) {
    return base::fail(Cause::malformed, "no certificate in the file belongs to its private key");
  }
  while (next != rest.end()) {
    const Certificate current = std::move(*next);
    file.chain += certificate_pem(current.der);
    rest.erase(next);
    if (current.issuer == current.subject) break;
    next = std::ranges::find_if(rest, [&](const Certificate& one) { return one.subject == current.issuer; });
  }
  file.unused = rest.size();
  return {};
}

}  // namespace

KeyFile::KeyFile(KeyFile&& other) noexcept
    : pkcs8(std::move(other.pkcs8)),
      type(other.type),
      bits(other.bits),
      spki(std::move(other.spki)),
      chain(std::move(other.chain)),
      unused(other.unused) {}

KeyFile& KeyFile::operator=(KeyFile&& other) noexcept {
  if (this == &other) return *this;
  OPENSSL_cleanse(pkcs8.data(), pkcs8.size());
  pkcs8 = std::move(other.pkcs8);
  type = other.type;
  bits = other.bits;
  spki = std::move(other.spki);
  chain = std::move(other.chain);
  unused = other.unused;
  return *this;
}

KeyFile::~KeyFile() { OPENSSL_cleanse(pkcs8.data(), pkcs8.size()); }

bool needs_password(std::string_view content) {
  if (is_pem(content)) {
    return content.find("-----BEGIN ENCRYPTED PRIVATE KEY-----") != std::string_view::npos ||
           content.find("Proc-Type: 4,ENCRYPTED") != std::string_view::npos;
  }
  if (content.size() > kMaxKeyFile) return false;
  const Pkcs12 file = open_pkcs12(content);
  if (!file) return false;
  const bool open = PKCS12_verify_mac(file.get(), "", 0) == 1 || PKCS12_verify_mac(file.get(), nullptr, 0) == 1;
  ERR_clear_error();
  return !open;
}

base::Result<KeyFile> read_key_file(std::string_view content, std::string_view password) {
  if (content.size() > kMaxKeyFile) return base::fail(Cause::limit, "key file: larger than 1 MiB");
  if (password.find('\0') != std::string_view::npos) return base::fail(Cause::denied, "a password holds no NUL");
  base::Result<Found> found;
  if (is_pem(content)) {
    found = from_pem(content, password);
  } else if (const Pkcs12 file = open_pkcs12(content)) {
    found = from_pkcs12(file.get(), password);
  } else {
    return base::fail(Cause::malformed, "neither PEM nor PKCS#12");
  }
  if (!found) return std::unexpected(std::move(found).error());
  if (!found->key) return base::fail(Cause::malformed, "no private key in the file");
  KeyFile file;
  file.spki = canonical_spki(found->key.get());
  const auto kind = read_spki(file.spki);
  if (!kind) return std::unexpected(base::Error(kind.error()).in("private key"));
  file.type = kind->type;
  file.bits = kind->bits;
  const base::Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(found->key.get()));
  unsigned char* der = nullptr;
  const int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info.get(), &der) : 0;
  if (size <= 0) return std::unexpected(openssl_error(Cause::malformed, "private key"));
  file.pkcs8.assign(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_clear_free(der, static_cast<size_t>(size));
  auto ordered = order(*found, file);
  if (!ordered) return std::unexpected(std::move(ordered).error());
  return file;
}

}  // namespace postern::x509

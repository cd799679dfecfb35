// SPDX-License-Identifier: Apache-2.0
// OpenSSL's objects as handles, and its errors as ours. Every function that calls OpenSSL and fails leaves the thread's
// error queue empty. Handles are move only; the objects of one handle are used by one thread unless said otherwise.
#pragma once
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/handle.h"

namespace postern::x509 {

inline void free_certificates(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }
inline void free_openssl_bytes(unsigned char* bytes) { OPENSSL_free(bytes); }

using Bio = base::Handle<BIO, BIO_free_all>;
using BigNumber = base::Handle<BIGNUM, BN_free>;
using KeyHandle = base::Handle<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = base::Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using CipherContext = base::Handle<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using DigestContext = base::Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using DigestHandle = base::Handle<EVP_MD, EVP_MD_free>;
using CertificateHandle = base::Handle<X509, X509_free>;
using CertificateStack = base::Handle<STACK_OF(X509), free_certificates>;
using RequestHandle = base::Handle<X509_REQ, X509_REQ_free>;
using NameHandle = base::Handle<X509_NAME, X509_NAME_free>;
using GeneralNames = base::Handle<GENERAL_NAMES, GENERAL_NAMES_free>;
using OpensslBytes = base::Handle<unsigned char, free_openssl_bytes>;

// openssl_reason empties the thread's error queue and returns the text of the first error in it, which is the one
// nearest to the cause; "unknown error" when there is none.
std::string openssl_reason();
// openssl_error makes an Error of `what` and openssl_reason().
base::Error openssl_error(base::Cause cause, std::string_view what);

// memory_bio gives a read-only BIO over `bytes`, which must outlive it.
Bio memory_bio(std::string_view bytes);
// bio_text returns what was written to a memory BIO.
std::string bio_text(BIO* bio);

inline const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// encode calls an i2d function and returns its output; empty on failure.
template <auto I2d, class T>
std::string encode(const T* object) {
  unsigned char* out = nullptr;
  const int size = I2d(object, &out);
  const OpensslBytes owner(out);
  return size > 0 ? std::string(reinterpret_cast<char*>(out), static_cast<size_t>(size)) : std::string();
}

}  // namespace postern::x509

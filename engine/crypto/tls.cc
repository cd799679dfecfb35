// SPDX-License-Identifier: Apache-2.0
// OpenSSL as a TLS client. Keys are loaded by OSSL_STORE, which reads PEM files and asks any provider of the library
// context for names like "fipsd:NAME" alike; a key whose private half cannot be read works because OpenSSL asks its
// provider to sign.
#include "engine/crypto/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/base/io.h"
#include "engine/x509/openssl.h"

namespace postern::crypto {
namespace {

using base::Cause;
using base::fail;
using Clock = std::chrono::steady_clock;

using x509::Bio;
using x509::CertificateHandle;
using x509::KeyHandle;

int close_store(OSSL_STORE_CTX* store) { return OSSL_STORE_close(store); }
using StoreHandle = base::Handle<OSSL_STORE_CTX, close_store>;

// Nobody is there to type a pass phrase.
int no_passphrase(char*, int, int, void*) { return 0; }

base::Result<void> readable(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) return std::unexpected(base::system_error(path, errno));
  return {};
}

base::Result<KeyHandle> load_key(const TlsOptions& options) {
  const size_t colon = options.key.find(':');
  const bool file = options.key.starts_with('/') || colon == std::string::npos;
  if (file) {
    if (auto there = readable(options.key); !there) return std::unexpected(std::move(there.error()));
  }
  ERR_clear_error();
  const StoreHandle store(
      OSSL_STORE_open_ex(options.key.c_str(), options.library, nullptr, UI_null(), nullptr, nullptr, nullptr, nullptr));
  KeyHandle key;
  while (store != nullptr && key == nullptr && OSSL_STORE_eof(store.get()) == 0) {
    const base::Handle<OSSL_STORE_INFO, OSSL_STORE_INFO_free> info(OSSL_STORE_load(store.get()));
    if (info == nullptr) {
      if (OSSL_STORE_error(store.get()) != 0) break;
      continue;
    }
    if (OSSL_STORE_INFO_get_type(info.get()) == OSSL_STORE_INFO_PKEY) key.reset(OSSL_STORE_INFO_get1_PKEY(info.get()));
  }
  if (key == nullptr) {
    return fail(file ? Cause::misconfigured : Cause::unavailable,
                "no private key from " + options.key + ": " + openssl_error());
  }
  return key;
}

const std::string kGivenChain = "the certificate of the key";

base::Result<void> use_certificate(SSL_CTX* context, const TlsOptions& options) {
  const std::string& name = options.chain.empty() ? options.certificate : kGivenChain;
  if (options.chain.empty()) {
    if (auto there = readable(options.certificate); !there) return std::unexpected(std::move(there.error()));
  }
  ERR_clear_error();
  const Bio file(options.chain.empty() ? BIO_new_file(options.certificate.c_str(), "r")
                                       : BIO_new_mem_buf(options.chain.data(), static_cast<int>(options.chain.size())));
  CertificateHandle own(X509_new_ex(options.library, nullptr));
  X509* first = own.get();
  if (file == nullptr || own == nullptr || PEM_read_bio_X509(file.get(), &first, no_passphrase, nullptr) == nullptr) {
    if (first == nullptr) (void)own.release();  // freed by the reader
    return fail(Cause::misconfigured, "no certificate in " + name + ": " + openssl_error());
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return fail(Cause::misconfigured, name + ": " + openssl_error());
  }
  for (;;) {
    CertificateHandle next(PEM_read_bio_X509(file.get(), nullptr, no_passphrase, nullptr));
    if (next == nullptr) break;
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) {
      return fail(Cause::misconfigured, name + ": " + openssl_error());
    }
  }
  ERR_clear_error();
  auto key = load_key(options);
  if (!key) return std::unexpected(std::move(key.error()));
  if (SSL_CTX_use_PrivateKey(context, key->get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return fail(Cause::misconfigured, options.key + " is not the key of " + name + ": " + openssl_error());
  }
  return {};
}

std::string hex_digest(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (certificate == nullptr || X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return "none";
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    if (i != 0) out += ':';
    out += kHex[digest[i] >> 4];
    out += kHex[digest[i] & 15];
  }
  return out;
}

// The certificate that was refused last on this thread: OpenSSL drops it with the handshake.
thread_local std::string refused_certificate;

int note_refused(int good, X509_STORE_CTX* store) {
  if (good == 0) refused_certificate = hex_digest(X509_STORE_CTX_get0_cert(store));
  return good;
}

bool is_address(const std::string& host) {
  const base::Handle<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> address(a2i_IPADDRESS(host.c_str()));
  ERR_clear_error();
  return address != nullptr;
}

}  // namespace

std::string openssl_error() {
  std::string out;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (out.size() > 200) continue;
    if (!out.empty()) out += "; ";
    out += reason != nullptr ? reason : "error " + std::to_string(code);
  }
  return out.empty() ? "no reason given" : out;
}

base::Result<std::shared_ptr<const TlsClient>> TlsClient::make(const TlsOptions& options) {
  ERR_clear_error();
  SslContext context(SSL_CTX_new_ex(options.library, nullptr, TLS_client_method()));
  if (context == nullptr) return fail(Cause::internal, "TLS: " + openssl_error());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_clear_options(context.get(), SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_default_passwd_cb(context.get(), no_passphrase);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, note_refused);
  if (options.trusted.empty()) {
    if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
      return fail(Cause::misconfigured, "the system's trusted certificates: " + openssl_error());
    }
  } else {
    if (auto there = readable(options.trusted); !there) return std::unexpected(std::move(there.error()));
    if (SSL_CTX_load_verify_file(context.get(), options.trusted.c_str()) != 1) {
      return fail(Cause::misconfigured, "no certificates in " + options.trusted + ": " + openssl_error());
    }
  }
  if (!options.certificate.empty() || !options.chain.empty()) {
    if (auto used = use_certificate(context.get(), options); !used) return std::unexpected(std::move(used.error()));
  }
  std::shared_ptr<TlsClient> client(new TlsClient(std::move(context)));
  if (!options.distrust.empty()) {
    const auto roots = x509::read_roots(options.trusted.empty() ? x509::kSystemRoots : options.trusted);
    if (!roots) return std::unexpected(roots.error());
    auto trust = x509::TrustStore::create(*roots, options.distrust);
    if (!trust) return std::unexpected(std::move(trust.error()));
    client->trust_ = std::move(*trust);
  }
  return client;
}

// check_distrust judges the chain once more, past what is distrusted; OpenSSL knows no such list.
base::Result<void> TlsClient::check_distrust(SSL* ssl, const std::string& host) const {
  if (!trust_) return {};
  std::vector<std::string> chain;
  STACK_OF(X509)* shown = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; i < sk_X509_num(shown); ++i) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(sk_X509_value(shown, i), &der);
    if (size > 0) chain.emplace_back(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
  }
  x509::TrustQuery query;
  query.host = host;
  const x509::Verdict verdict = trust_->check(chain, query);
  if (verdict.trusted) return {};
  return fail(Cause::denied, "TLS with " + host + ": certificate refused (" + verdict.reason +
                                 "), SHA-256 fingerprint " + hex_digest(sk_X509_value(shown, 0)));
}

base::Result<std::unique_ptr<TlsStream>> TlsClient::connect(int fd, const std::string& host,
                                                            Clock::time_point deadline) const {
  ERR_clear_error();
  SslHandle ssl(SSL_new(context_.get()));
  if (ssl == nullptr || SSL_set_fd(ssl.get(), fd) != 1) return fail(Cause::internal, "TLS: " + openssl_error());
  X509_VERIFY_PARAM* check = SSL_get0_param(ssl.get());
  X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  bool named = false;
  if (is_address(host)) {
    named = X509_VERIFY_PARAM_set1_ip_asc(check, host.c_str()) == 1;
  } else {
    named = !host.empty() && X509_VERIFY_PARAM_set1_host(check, host.c_str(), host.size()) == 1 &&
            SSL_set_tlsext_host_name(ssl.get(), host.c_str()) == 1;
  }
  if (!named) return fail(Cause::misconfigured, "no server name to check the certificate for");
  for (;;) {
    ERR_clear_error();
    const int done = SSL_connect(ssl.get());
    if (done == 1) break;
    const int why = SSL_get_error(ssl.get(), done);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
      if (!base::wait_for(fd, why == SSL_ERROR_WANT_WRITE, deadline)) {
        return fail(Cause::unavailable, "TLS with " + host + ": no answer in time");
      }
      continue;
    }
    const long verified = SSL_get_verify_result(ssl.get());
    if (verified != X509_V_OK) {
      const std::string reason = X509_verify_cert_error_string(verified);
      ERR_clear_error();
      return fail(Cause::denied, "TLS with " + host + ": certificate refused (" + reason + "), SHA-256 fingerprint " +
                                     refused_certificate);
    }
    return fail(Cause::unavailable, "TLS with " + host + ": " + openssl_error());
  }
  if (auto good = check_distrust(ssl.get(), host); !good) return std::unexpected(std::move(good.error()));
  return std::make_unique<TlsStream>(std::move(ssl));
}

ssize_t TlsStream::result(int done) {
  want_write_ = false;
  if (done > 0) return done;
  const int why = SSL_get_error(ssl_.get(), done);
  ERR_clear_error();
  switch (why) {
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    case SSL_ERROR_WANT_WRITE:
      want_write_ = true;
      [[fallthrough]];
    case SSL_ERROR_WANT_READ:
      errno = EAGAIN;
      return -1;
    default:
      errno = EIO;
      return -1;
  }
}

ssize_t TlsStream::read(void* buffer, size_t size) {
  ERR_clear_error();
  return result(SSL_read(ssl_.get(), buffer, static_cast<int>(std::min<size_t>(size, 1u << 30))));
}

ssize_t TlsStream::write(const void* buffer, size_t size) {
  ERR_clear_error();
  return result(SSL_write(ssl_.get(), buffer, static_cast<int>(std::min<size_t>(size, 1u << 30))));
}

std::string TlsStream::fingerprint() const {
  const CertificateHandle shown(SSL_get1_peer_certificate(ssl_.get()));
  return hex_digest(shown.get());
}

}  // namespace postern::crypto

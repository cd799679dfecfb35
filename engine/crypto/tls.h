// SPDX-License-Identifier: Apache-2.0
// TLS towards servers we are a client of (LDAP, lists). A TlsClient holds what every connection shares: trusted
// certificates and our own certificate with its key, which may live in a token behind an OpenSSL provider. There is no
// default certificate: what the configuration does not name is not shown. TLS 1.2 and up, no renegotiation, no
// compression; the chain and the server's name are always checked. RFC 8446, RFC 5746, RFC 6125. A TlsClient is
// immutable and shared; a TlsStream belongs to one thread at a time.
#pragma once
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "engine/x509/trust.h"

namespace postern::crypto {

using SslContext = base::Handle<SSL_CTX, SSL_CTX_free>;
using SslHandle = base::Handle<SSL, SSL_free>;

// TlsOptions says whom we trust and who we are.
struct TlsOptions {
  std::string trusted;      // PEM file of certificates; empty: the system's
  std::string certificate;  // PEM file, our certificate first, then its chain; empty: none is shown
  std::string chain;        // the same as PEM text, in place of `certificate`
  std::string key;          // of the certificate: a PEM file, or the name of a key a provider knows ("fipsd:NAME")
  std::vector<std::string> distrust;  // entries as in x509/distrust.h, of which no server's chain may hold any
  // Where keys and certificates are made; it must outlive the client and have the providers that `key` needs. nullptr:
  // OpenSSL's default.
  OSSL_LIB_CTX* library = nullptr;
};

class TlsStream;

class TlsClient {
 public:
  // make reads files and key. misconfigured when one does not fit, not_found or denied when a file cannot be read,
  // unavailable when the key's owner does not answer.
  static base::Result<std::shared_ptr<const TlsClient>> make(const TlsOptions& options);

  // connect makes a TLS connection of the connected, non-blocking socket `fd`, which it does not own, to the server
  // called `host` (a name or an address). denied when the server is not who it should be; the text then has the
  // fingerprint of its certificate. unavailable when there was no answer before `deadline`.
  base::Result<std::unique_ptr<TlsStream>> connect(int fd, const std::string& host,
                                                   std::chrono::steady_clock::time_point deadline) const;

 private:
  explicit TlsClient(SslContext context) : context_(std::move(context)) {}
  base::Result<void> check_distrust(SSL* ssl, const std::string& host) const;
  SslContext context_;
  std::optional<x509::TrustStore> trust_;  // where there is a distrust list
};

// TlsStream is one TLS connection over a non-blocking socket.
class TlsStream {
 public:
  explicit TlsStream(SslHandle ssl) : ssl_(std::move(ssl)) {}

  // read and write return the bytes done, 0 at the end of the stream, or -1 with errno: EAGAIN (`want_write` tells for
  // which direction to wait), else EIO.
  ssize_t read(void* buffer, size_t size);
  ssize_t write(const void* buffer, size_t size);
  bool want_write() const { return want_write_; }
  // pending tells whether bytes are there that poll() on the socket does not see.
  bool pending() const { return SSL_pending(ssl_.get()) > 0; }

  std::string_view version() const { return SSL_get_version(ssl_.get()); }
  // fingerprint is the SHA-256 of the server's certificate, in hex with colons.
  std::string fingerprint() const;

 private:
  ssize_t result(int done);
  SslHandle ssl_;
  bool want_write_ = false;
};

// openssl_error returns OpenSSL's reasons for the last failure of this thread and forgets them.
std::string openssl_error();

}  // namespace postern::crypto

// SPDX-License-Identifier: Apache-2.0
// Trust: does a certificate chain from outside lead to a root, for this purpose and name, at this time, past nothing
// that is distrusted? Paths are built by a bounded search of our own over the certificates at hand, and only a finished
// path, one line without branches, is given to OpenSSL for the rules of RFC 5280. So a loop, a hundred levels or a web
// of cross-signatures costs no more than the bounds below, a distrusted certificate is never part of a path, and a good
// path is found although a distrusted one exists beside it. No network, no revocation lists. A TrustStore is immutable
// after create(): a changed list means a new store; any thread may ask.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/x509/openssl.h"

namespace postern::x509 {

inline constexpr size_t kMaxPresented = 128;  // certificates looked at; those beyond are ignored
inline constexpr size_t kMaxPath = 10;        // certificates of a path, leaf and root included
inline constexpr size_t kMaxVisits = 64;      // certificates the search goes on from
inline constexpr size_t kMaxSignatures = 48;  // checked in one search
inline constexpr size_t kMaxAttempts = 4;     // finished paths given to OpenSSL
inline constexpr size_t kMaxRoots = 2000;
inline constexpr size_t kMaxRootText = 16u << 20;

enum class Purpose : uint8_t { tls_server, tls_client, smime_sign, smime_encrypt };

// TrustQuery says what the leaf must be good for. `host` is a DNS name or an address, `email` a mailbox; both may be
// empty. Wildcards match one whole label; the subject's CN is no name. `time` is Unix time, 0 is now.
struct TrustQuery {
  Purpose purpose = Purpose::tls_server;
  std::string_view host = {};
  std::string_view email = {};
  int64_t time = 0;
};

// Verdict: `reason` says why not, in one line safe for logs; `path` names the subjects of the path, leaf first.
struct Verdict {
  bool trusted = false;
  std::string reason;
  std::vector<std::string> path;
};

class TrustStore {
 public:
  // create takes roots as PEM (a bundle; certificates in it that cannot be read are counted in skipped()) and the
  // distrust list. Without a root nothing is trusted.
  static base::Result<TrustStore> create(std::string_view roots_pem, std::span<const std::string> distrust);
  TrustStore(TrustStore&&) noexcept;
  TrustStore& operator=(TrustStore&&) noexcept;
  ~TrustStore();

  // check judges a chain of DER certificates, the leaf first, the others in any order.
  Verdict check(std::span<const std::string> chain, const TrustQuery& query) const;

  size_t roots() const;
  size_t skipped() const;

 private:
  struct Content;
  class Search;
  explicit TrustStore(std::unique_ptr<Content> content);
  std::unique_ptr<Content> content_;
};

// kSystemRoots is where Debian keeps the roots of the machine.
inline constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";
// read_roots reads a bundle of at most kMaxRootText bytes.
base::Result<std::string> read_roots(const std::string& path);

}  // namespace postern::x509

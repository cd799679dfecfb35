// SPDX-License-Identifier: Apache-2.0
// Distrust: keys, authorities and single certificates the administrator does not trust, whatever a root store says.
// Entries:
//   spki:HEX          the key with this SHA-256 of its SubjectPublicKeyInfo
//   issuer:NAME       the authority of that name (RFC 4514): its own certificates and all it issued
//   serial:HEX:NAME   the certificate with that number by that issuer
// What an issuer or serial entry means is a key: every key seen in a certificate the entry matches (in the root store
// or in the chain at hand) is distrusted too, so a cross-signature over the same key, or a new name for it, revives
// nothing. Immutable; any thread.
#pragma once
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/x509/openssl.h"

namespace postern::x509 {

inline constexpr size_t kMaxDistrust = 10000;

// check_distrust_entry returns the entry in its one spelling, or malformed saying what is wrong with it.
base::Result<std::string> check_distrust_entry(std::string_view entry);

// KeySet holds fingerprints (SHA-256, 32 bytes).
using KeySet = std::set<std::string, std::less<>>;

// KeyPrints are the two fingerprints of a certificate's key: as it is written and in its canonical form.
struct KeyPrints {
  std::string written;
  std::string canonical;
};
KeyPrints key_prints(const X509* certificate, std::string_view spki);

class Distrust {
 public:
  // from reads all entries; the first bad one is the error.
  static base::Result<Distrust> from(std::span<const std::string> entries);

  // matches tells whether an entry names this very certificate; `reason` says which.
  bool matches(const X509* certificate, const KeyPrints& prints, std::string& reason) const;
  // implied gives true and adds the key to `keys` when the key of a certificate that an entry matches is to be
  // distrusted in other certificates too.
  bool implied(const X509* certificate, const KeyPrints& prints, KeySet& keys) const;
  bool empty() const { return keys_.empty() && issuers_.empty() && serials_.empty(); }

 private:
  struct Serial {
    std::string number;
    std::shared_ptr<X509_NAME> issuer;
  };
  bool names_authority(const X509_NAME* name) const;
  bool names_serial(const X509* certificate) const;

  KeySet keys_;
  std::vector<std::shared_ptr<X509_NAME>> issuers_;
  std::vector<Serial> serials_;
};

}  // namespace postern::x509

// SPDX-License-Identifier: Apache-2.0
// DKIM signer: RFC 6376 with RFC 8463 (Ed25519) and RFC 8301 (SHA-256 only). Canonical forms and hashes are computed
// here, the body hash once for all signatures of a profile; private keys stay with crypto::KeyOps, which sees only the
// hash of the header. What is signed is the message as the MTA will send it: the caller signs last.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/auth/dkim_canon.h"
#include "engine/base/error.h"
#include "engine/crypto/key_ops.h"
#include "engine/mime/header.h"
#include "engine/mime/writer.h"

namespace postern::auth {

// DkimKey is one signature to make: selector, key name in fipsd, algorithm by the key's type (rsa or ed25519 only).
struct DkimKey {
  std::string selector;
  std::string key;
  crypto::KeyType type = crypto::KeyType::rsa;
};

// DkimProfile says how a domain signs. Names in it are fit to stand in a tag: no ';', no white space, ASCII.
struct DkimProfile {
  std::string domain;  // d=, A-labels
  std::vector<DkimKey> keys;
  Canonicalisation header = Canonicalisation::relaxed;
  Canonicalisation body = Canonicalisation::relaxed;
  std::vector<std::string> headers;  // names signed where present (every instance); empty: default_signed_headers()
  // Names signed once more than present, so that none can be added. Unset: default_oversigned_headers(), of which Date
  // and Message-ID only where present, because servers on the way put those in where they are missing.
  std::optional<std::vector<std::string>> oversign;
  std::optional<uint64_t> body_length;  // l=: at most this many canonical bytes are signed; unset: no l=
  uint64_t expiry = 0;                  // seconds until x=; 0: none
  std::string identity;                 // i=; empty: none
};

std::span<const std::string_view> default_signed_headers();
std::span<const std::string_view> default_oversigned_headers();

// kMostInstances of one name are signed, from the bottom; of a name that occurs more often the upper ones are not
// protected.
inline constexpr size_t kMostInstances = 20;

// sign_message returns the values of the DKIM-Signature fields to put on top of `headers`, one for each key of the
// profile, in order: folded with LF, ready for HeaderList::insert_top. `now` is Unix time (t=). All or none: the first
// key that cannot sign is the error, with selector and key named.
base::Result<std::vector<std::string>> sign_message(const DkimProfile& profile, const mime::HeaderList& headers,
                                                    const mime::Pieces& body, int64_t now, crypto::KeyOps& keys,
                                                    crypto::Deadline deadline);

}  // namespace postern::auth

// SPDX-License-Identifier: Apache-2.0
// DKIM's canonical forms (RFC 6376 section 3.4) and their SHA-256 hashes. Bodies are streamed: nothing is flattened,
// and memory does not grow with the message. Line ends are as SMTP sends them: a lone LF counts as CRLF; a lone CR is a
// byte like any other. Pure functions; any thread (each keeps one digest context).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/mime/writer.h"

namespace postern::auth {

enum class Canonicalisation : uint8_t { simple, relaxed };
// canonicalisation_name returns the word of the c= tag.
std::string_view canonicalisation_name(Canonicalisation form);

// append_canonical_header adds a field to `out`: `value` is every byte after the colon, folds as LF or CRLF. The CRLF
// that ends the field is left out when `last` (the DKIM-Signature field itself).
void append_canonical_header(Canonicalisation form, std::string_view name, std::string_view value, bool last,
                             std::string& out);

// ByteSink takes canonical bytes as they come.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void take(std::string_view bytes) = 0;
};

// canonical_body streams the canonical body into `sink`, but no more than `most` bytes. Returns how many.
uint64_t canonical_body(Canonicalisation form, const mime::Pieces& body, uint64_t most, ByteSink& sink);

// BodyHash is what stands in bh= (raw) and how many canonical bytes it covers.
struct BodyHash {
  std::string digest;
  uint64_t bytes = 0;
};
BodyHash hash_body(Canonicalisation form, const mime::Pieces& body, uint64_t most);

// sha256 returns the digest of `a` followed by `b`.
std::string sha256(std::string_view a, std::string_view b);

}  // namespace postern::auth

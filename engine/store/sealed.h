// SPDX-License-Identifier: Apache-2.0
// Sealed: a content as it is stored encrypted. A header (8 bytes that say so, 16 of the data key's id, 32 of salt),
// then chunks of kSealedChunk bytes, the last one shorter or as long, each encrypted by AES-256-GCM and followed by its
// tag. The chunks' key is derived from data key, salt, id and the content's name, so no two contents share one; a
// chunk's nonce is its number and whether it is the last. So a bit changed, a chunk missing, moved or taken from
// elsewhere, and a whole file in another's place are all errors, and nothing is given out before the last chunk was
// good. Private to the store.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/secret.h"
#include "engine/store/batch.h"

namespace postern::store {

// Source gives the bytes of a content to a sink, piece by piece and each time it is called from the beginning; the
// first error of the sink ends it.
using Sink = std::function<base::Result<void>(std::string_view)>;
using Source = std::function<base::Result<void>(const Sink&)>;

// DataKey encrypts contents. Immutable.
struct DataKey {
  std::string id;  // 32 hexadecimal digits
  base::Secret secret;
};
inline constexpr size_t kDataKeySize = 32;

inline constexpr size_t kSealedChunk = 64u << 10;
inline constexpr size_t kSealedHeader = 56;
inline constexpr size_t kSealedTag = 16;

// plain_source gives a content as it is; sealed_source encrypted, with a salt of its own each time. `content` and what
// its views point into must outlive the source.
Source plain_source(const Content& content);
Source sealed_source(std::shared_ptr<const DataKey> key, std::string name, const Content& content,
                     size_t chunk = kSealedChunk);

// sealed_size is how many bytes a content of `size` has when it is sealed.
uint64_t sealed_size(uint64_t size, size_t chunk = kSealedChunk);

// open_sealed returns the content `name` that `sealed` holds: whole, or internal. It works in the memory of `sealed`.
base::Result<std::string> open_sealed(const DataKey& key, std::string_view name, std::string sealed,
                                      size_t chunk = kSealedChunk);

// keyed_digest is `text` as a digest that nobody can make without the key; empty on failure.
std::string keyed_digest(const DataKey& key, std::string_view text);

}  // namespace postern::store

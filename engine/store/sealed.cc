// SPDX-License-Identifier: Apache-2.0
// The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) over AES-256-GCM, with keys by HKDF-SHA-256.
#include "engine/store/sealed.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "engine/store/columns.h"
#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"

namespace postern::store {
namespace {

using base::Cause;
using base::fail;
using base::Result;
using base::Secret;
using x509::bytes_of;
using x509::CipherContext;

using Kdf = base::Handle<EVP_KDF, EVP_KDF_free>;
using KdfContext = base::Handle<EVP_KDF_CTX, EVP_KDF_CTX_free>;

constexpr std::string_view kMagic("PSTNENC\x01", 8);
constexpr size_t kIdSize = 16;
constexpr size_t kSaltSize = 32;
static_assert(kMagic.size() + kIdSize + kSaltSize == kSealedHeader);
constexpr size_t kNonceSize = 12;
constexpr std::string_view kContentInfo = "postern store content 1";
constexpr std::string_view kDigestInfo = "postern store digest 1";

unsigned char* out_bytes(char* data) { return reinterpret_cast<unsigned char*>(data); }

Result<Secret> derive(const Secret& key, std::string_view salt, const std::string& info) {
  const Kdf kdf(EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_HKDF, nullptr));
  const KdfContext context(kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf.get()));
  char digest[] = "SHA256";
  const auto octets = [](const char* name, std::string_view value) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(value.data()), value.size());
  };
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                               octets(OSSL_KDF_PARAM_KEY, key.view()), octets(OSSL_KDF_PARAM_SALT, salt),
                               octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
  Secret out = Secret::sized(kDataKeySize);
  if (context == nullptr || EVP_KDF_derive(context.get(), out_bytes(out.data()), out.size(), params) != 1) {
    return std::unexpected(x509::openssl_error(Cause::internal, "deriving a key for a content"));
  }
  return out;
}

// Chunks is the cipher of one content.
class Chunks {
 public:
  // begin derives the key from everything of the header, and the name.
  Result<void> begin(const DataKey& key, std::string_view header, std::string_view name, bool encrypt) {
    encrypt_ = encrypt;
    std::string info(kContentInfo);
    info += header.substr(0, kMagic.size() + kIdSize);
    info += name;
    auto derived = derive(key.secret, header.substr(kMagic.size() + kIdSize, kSaltSize), info);
    if (!derived) return std::unexpected(std::move(derived.error()));
    context_.reset(EVP_CIPHER_CTX_new());
    if (context_ == nullptr || EVP_CipherInit_ex2(context_.get(), EVP_aes_256_gcm(), bytes_of(derived->view()), nullptr,
                                                  encrypt ? 1 : 0, nullptr) != 1) {
      return std::unexpected(x509::openssl_error(Cause::internal, "AES-256-GCM"));
    }
    return {};
  }

  // next encrypts or decrypts the next chunk in its place; the tag is written to, or compared with, `tag`.
  bool next(char* data, size_t size, char* tag, bool last) {
    unsigned char nonce[kNonceSize] = {};
    for (int i = 0; i < 4; ++i) nonce[7 + i] = static_cast<unsigned char>(number_ >> (24 - 8 * i));
    nonce[11] = last ? 1 : 0;
    int written = 0;
    int rest = 0;
    EVP_CIPHER_CTX* const context = context_.get();
    const bool done = number_ != UINT32_MAX && EVP_CipherInit_ex2(context, nullptr, nullptr, nonce, -1, nullptr) == 1 &&
                      (encrypt_ || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kSealedTag, tag) == 1) &&
                      (size == 0 || EVP_CipherUpdate(context, out_bytes(data), &written, out_bytes(data),
                                                     static_cast<int>(size)) == 1) &&
                      EVP_CipherFinal_ex(context, out_bytes(data) + written, &rest) == 1 &&
                      (!encrypt_ || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kSealedTag, tag) == 1);
    ++number_;
    if (!done) (void)x509::openssl_reason();
    return done && static_cast<size_t>(written) == size && rest == 0;
  }

 private:
  CipherContext context_;
  bool encrypt_ = false;
  uint32_t number_ = 0;
};

Result<void> seal(const DataKey& key, const std::string& name, const Content& content, size_t chunk, const Sink& sink) {
  const auto id = x509::unhex(key.id);
  if (!id || id->size() != kIdSize) return fail(Cause::internal, "a data key without an id");
  std::string header = std::string(kMagic) + *id;
  header.resize(kSealedHeader);
  if (RAND_bytes(out_bytes(header.data() + kSealedHeader - kSaltSize), kSaltSize) != 1) {
    return std::unexpected(x509::openssl_error(Cause::internal, "random bytes"));
  }
  Chunks chunks;
  if (auto begun = chunks.begin(key, header, name, true); !begun) return begun;
  if (auto put = sink(header); !put) return put;

  uint64_t left = 0;
  for (const std::string_view piece : content) left += piece.size();
  std::string buffer(chunk + kSealedTag, '\0');
  size_t filled = 0;
  const auto flush = [&](bool last) -> Result<void> {
    if (!chunks.next(buffer.data(), filled, buffer.data() + filled, last)) {
      return fail(Cause::internal, "a content could not be encrypted");
    }
    const std::string_view ready(buffer.data(), filled + kSealedTag);
    filled = 0;
    return sink(ready);
  };
  for (std::string_view piece : content) {
    while (!piece.empty()) {
      const size_t taken = std::min(piece.size(), chunk - filled);
      std::memcpy(buffer.data() + filled, piece.data(), taken);
      piece.remove_prefix(taken);
      filled += taken;
      left -= taken;
      if (filled < chunk || left == 0) continue;
      if (auto put = flush(false); !put) return put;
    }
  }
  return flush(true);
}

}  // namespace

Source plain_source(const Content& content) {
  return [&content](const Sink& sink) -> Result<void> {
    for (const std::string_view piece : content) {
      if (auto put = sink(piece); !put) return put;
    }
    return {};
  };
}

Source sealed_source(std::shared_ptr<const DataKey> key, std::string name, const Content& content, size_t chunk) {
  return [key = std::move(key), name = std::move(name), &content, chunk](const Sink& sink) {
    return seal(*key, name, content, chunk, sink);
  };
}

uint64_t sealed_size(uint64_t size, size_t chunk) {
  const uint64_t chunks = size == 0 ? 1 : (size - 1) / chunk + 1;
  return kSealedHeader + size + chunks * kSealedTag;
}

Result<std::string> open_sealed(const DataKey& key, std::string_view name, std::string sealed, size_t chunk) {
  const auto bad = [&](std::string_view what) {
    return fail(Cause::internal, "content " + std::string(name) + " is not what was stored: " + std::string(what));
  };
  const auto id = x509::unhex(key.id);
  if (sealed.size() < kSealedHeader + kSealedTag || !sealed.starts_with(kMagic)) return bad("it is not encrypted");
  if (!id || std::string_view(sealed).substr(kMagic.size(), kIdSize) != *id) return bad("it names another key");
  Chunks chunks;
  if (auto begun = chunks.begin(key, std::string_view(sealed).substr(0, kSealedHeader), name, false); !begun) {
    return std::unexpected(std::move(begun.error()));
  }
  size_t from = kSealedHeader;
  size_t to = 0;
  while (from < sealed.size()) {
    const size_t size = std::min(sealed.size() - from, chunk + kSealedTag);
    const bool last = from + size == sealed.size();
    // Only an empty content has an empty chunk.
    if (size < kSealedTag || (size == kSealedTag && from != kSealedHeader)) return bad("its end is missing");
    const size_t text = size - kSealedTag;
    if (!chunks.next(sealed.data() + from, text, sealed.data() + from + text, last)) {
      return bad("it was changed, cut or put in another's place");
    }
    std::memmove(sealed.data() + to, sealed.data() + from, text);
    from += size;
    to += text;
  }
  sealed.resize(to);
  return sealed;
}

std::string keyed_digest(const DataKey& key, std::string_view text) {
  // OpenSSL takes a salt of no bytes, but not one of no place.
  const auto derived = derive(key.secret, std::string_view(""), std::string(kDigestInfo));
  unsigned char out[EVP_MAX_MD_SIZE];
  size_t size = 0;
  if (!derived || EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, derived->view().data(), derived->size(),
                            bytes_of(text), text.size(), out, sizeof out, &size) == nullptr) {
    (void)x509::openssl_reason();
    return {};
  }
  return x509::hex({reinterpret_cast<const char*>(out), size});
}

}  // namespace postern::store

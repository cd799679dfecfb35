// SPDX-License-Identifier: Apache-2.0
// Constant-time unpadding. Conditions are masks (all ones or zero); nothing branches on, or indexes with, what was
// decrypted until it has been replaced where the padding was bad. Only the length of the result shows afterwards.
// OpenSSL's own check is used for OAEP; it is in the part of its interface that is out of favour, and the only one that
// takes an already decrypted block.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "keystore/decrypt.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "engine/x509/openssl.h"

#include "keystore/token/public_key.h"

namespace postern::keystore {

namespace {

using base::Cause;
using base::fail;
using base::Result;

constexpr size_t kMinModulus = kMinRsaBits / 8;
constexpr size_t kMaxModulus = kMaxRsaBits / 8;
constexpr size_t kOverhead = 11;  // 00 02, at least eight bytes, 00

using Mask = uint32_t;

// barrier keeps the compiler from seeing that a value can only be all ones or zero, and from branching on it.
Mask barrier(Mask value) {
  __asm__("" : "+r"(value));
  return value;
}

Mask top_bit(uint32_t value) { return barrier(0u - (value >> 31)); }
Mask is_zero(uint32_t value) { return top_bit(~value & (value - 1)); }
Mask is_equal(uint32_t a, uint32_t b) { return is_zero(a ^ b); }
// For values below 2^31.
Mask is_less(uint32_t a, uint32_t b) { return top_bit(a - b); }
uint32_t choose(Mask mask, uint32_t yes, uint32_t no) { return (mask & yes) | (~mask & no); }

using x509::bytes_of;

bool hmac(std::string_view key, std::string_view data, unsigned char (&out)[32]) {
  unsigned size = 0;
  return HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(data), data.size(), out, &size) !=
             nullptr &&
         size == sizeof out;
}

// expand fills `out` with HMAC blocks over a counter and `label`.
bool expand(const Secret& key, std::string_view label, Secret& out) {
  unsigned char block[32];
  for (size_t done = 0; done < out.size(); done += sizeof block) {
    std::string data(1, static_cast<char>(done / sizeof block));
    data.append(label);
    if (!hmac(key.view(), data, block)) return false;
    std::copy_n(block, std::min(sizeof block, out.size() - done), out.data() + done);
  }
  OPENSSL_cleanse(block, sizeof block);
  return true;
}

// invent_length picks a length from 0 to `most` out of 128 candidates, the last that fits, so that all are about as
// likely.
uint32_t invent_length(const Secret& candidates, uint32_t most) {
  uint32_t mask = most;
  for (uint32_t shift = 1; shift < 16; shift *= 2) mask |= mask >> shift;
  uint32_t length = 0;
  for (size_t i = 0; i + 1 < candidates.size(); i += 2) {
    uint32_t high = static_cast<unsigned char>(candidates.view()[i]);
    uint32_t low = static_cast<unsigned char>(candidates.view()[i + 1]);
    uint32_t candidate = (high << 8 | low) & mask;
    length = choose(is_less(candidate, most + 1), candidate, length);
  }
  return length;
}

// shift_left moves the bytes of `block` by a secret distance towards the front, in steps of 1, 2, 4, …
void shift_left(Secret& block, uint32_t distance) {
  auto* data = reinterpret_cast<unsigned char*>(block.data());
  size_t size = block.size();
  for (size_t step = 1; step < size; step *= 2) {
    Mask move = ~is_zero(distance & static_cast<uint32_t>(step));
    for (size_t i = 0; i < size; ++i) {
      uint32_t from = i + step < size ? data[i + step] : 0;
      data[i] = static_cast<unsigned char>(choose(move, from, data[i]));
    }
  }
}

}  // namespace

Result<Secret> unpad_pkcs1(const Secret& padded, std::string_view secret, std::string_view spki,
                           std::string_view ciphertext) {
  const size_t size = padded.size();
  if (size < kMinModulus || size > kMaxModulus || ciphertext.size() != size || secret.size() < 32) {
    return fail(Cause::malformed, "this cannot be decrypted");
  }
  unsigned char derived[32];
  std::string about(spki);
  about.append(ciphertext);
  Secret invented = Secret::sized(size);
  Secret lengths = Secret::sized(256);
  bool made = hmac(secret, about, derived);
  Secret key(std::string_view(reinterpret_cast<char*>(derived), sizeof derived));
  OPENSSL_cleanse(derived, sizeof derived);
  if (!made || !expand(key, "message", invented) || !expand(key, "length", lengths)) {
    return fail(Cause::internal, "HMAC failed");
  }
  const uint32_t most = static_cast<uint32_t>(size - kOverhead);
  const uint32_t invented_length = invent_length(lengths, most);

  const auto* block = bytes_of(padded.view());
  Mask good = is_zero(block[0]) & is_equal(block[1], 2);
  Mask found = 0;
  uint32_t zero_at = 0;
  for (uint32_t i = 2; i < size; ++i) {
    Mask zero = is_zero(block[i]);
    zero_at = choose(~found & zero, i, zero_at);
    found |= zero;
  }
  good &= found;
  good &= ~is_less(zero_at, kOverhead - 1);

  const uint32_t length = choose(good, static_cast<uint32_t>(size) - 1 - zero_at, invented_length);
  Secret out = Secret::sized(size);
  for (size_t i = 0; i < size; ++i) {
    uint32_t ours = static_cast<unsigned char>(invented.view()[i]);
    out.data()[i] = static_cast<char>(choose(good, block[i], ours));
  }
  shift_left(out, static_cast<uint32_t>(size) - length);
  out.shrink(length);
  return out;
}

Result<Secret> unpad_oaep(const Secret& padded, x509::Hash hash, std::string_view label) {
  const EVP_MD* digest = digest_of(hash);
  const size_t size = padded.size();
  if (digest == nullptr || size < kMinModulus || size > kMaxModulus) {
    return fail(Cause::malformed, "this cannot be decrypted");
  }
  Secret out = Secret::sized(size);
  int length = RSA_padding_check_PKCS1_OAEP_mgf1(
      reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(size), bytes_of(padded.view()),
      static_cast<int>(size), static_cast<int>(size), bytes_of(label), static_cast<int>(label.size()), digest, digest);
  ERR_clear_error();
  if (length < 0) return fail(Cause::malformed, "this cannot be decrypted");
  out.shrink(static_cast<size_t>(length));
  return out;
}

}  // namespace postern::keystore

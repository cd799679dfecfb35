// SPDX-License-Identifier: Apache-2.0
// Hexadecimal and base64 (RFC 4648), strict, and SHA-256.
#include "keystore/encoding.h"

#include <openssl/sha.h>

#include <array>
#include <cstdint>

namespace postern::keystore {

namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint8_t kNone = 0xff;

constexpr std::array<uint8_t, 256> values_of(std::string_view alphabet) {
  std::array<uint8_t, 256> table{};
  table.fill(kNone);
  for (size_t i = 0; i < alphabet.size(); ++i) table[static_cast<uint8_t>(alphabet[i])] = static_cast<uint8_t>(i);
  return table;
}

constexpr auto kHexValues = values_of(kHex);
constexpr auto kStandardValues = values_of(kStandard);
constexpr auto kUrlValues = values_of(kUrl);

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += kHex[static_cast<uint8_t>(c) >> 4];
    out += kHex[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const uint8_t high = kHexValues[static_cast<uint8_t>(text[i])];
    const uint8_t low = kHexValues[static_cast<uint8_t>(text[i + 1])];
    if (high == kNone || low == kNone) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

size_t base64_size(size_t bytes, Base64 form) {
  const size_t rest = bytes % 3;
  if (rest == 0) return bytes / 3 * 4;
  return bytes / 3 * 4 + (form == Base64::padded ? 4 : rest + 1);
}

void to_base64_at(std::string_view bytes, Base64 form, char* out) {
  const std::string_view alphabet = form == Base64::url ? kUrl : kStandard;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = bytes.size() - i < 3 ? bytes.size() - i : 3;
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) {
      if (k <= count) {
        *out++ = alphabet[group >> (18 - 6 * k) & 63];
      } else if (form == Base64::padded) {
        *out++ = '=';
      }
    }
  }
}

std::string to_base64(std::string_view bytes, Base64 form) {
  std::string out(base64_size(bytes.size(), form), '\0');
  to_base64_at(bytes, form, out.data());
  return out;
}

std::optional<std::string> from_base64(std::string_view text, Base64 form) {
  const auto& values = form == Base64::url ? kUrlValues : kStandardValues;
  if (form == Base64::padded) {
    if (text.size() % 4 != 0) return std::nullopt;
    for (int k = 0; k < 2 && text.ends_with('='); ++k) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const uint8_t value = values[static_cast<uint8_t>(c)];
    if (value == kNone) return std::nullopt;
    group = group << 6 | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 0xff);
    }
    group &= (1u << bits) - 1;
  }
  if (group != 0) return std::nullopt;
  return out;
}

std::string sha256(std::string_view bytes) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), reinterpret_cast<uint8_t*>(out.data()));
  return out;
}

}  // namespace postern::keystore

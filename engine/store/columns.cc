// SPDX-License-Identifier: Apache-2.0
// Values from outside on their way into and out of database columns.
#include "engine/store/columns.h"

#include <openssl/rand.h>

#include "engine/base/text.h"
#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"

namespace postern::store {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

int hex_digit(char c) {
  const size_t at = kHex.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string escape_address(std::string_view address) {
  const bool valid = base::is_valid_utf8(address);
  std::string out;
  for (const char c : address) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F || c == '%' || (byte >= 0x80 && !valid)) {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 0xF];
    } else {
      out += c;
    }
  }
  return out;
}

std::string unescape_address(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low < 0) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::string join_addresses(const std::vector<std::string>& addresses) {
  std::string out;
  for (const std::string& address : addresses) out += escape_address(address) + "\n";
  return out;
}

std::vector<std::string> split_addresses(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    out.push_back(unescape_address(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

std::string shown(std::string_view text) { return base::escape_for_log(base::one_line(text), kMaxShown); }

std::string sha256_hex(const std::vector<std::string_view>& pieces) {
  const x509::DigestContext context(EVP_MD_CTX_new());
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  bool made = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const std::string_view piece : pieces) {
    made = made && EVP_DigestUpdate(context.get(), piece.data(), piece.size()) == 1;
  }
  made = made && EVP_DigestFinal_ex(context.get(), out, &size) == 1;
  // Without a digest nothing can be told apart: an empty one is like no other.
  return made ? x509::hex({reinterpret_cast<const char*>(out), size}) : std::string();
}

std::string random_name() {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return {};
  return x509::hex({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

}  // namespace postern::store

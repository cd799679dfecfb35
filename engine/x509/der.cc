// SPDX-License-Identifier: Apache-2.0
// DER lengths and integers, both ways.
#include "engine/x509/der.h"

namespace postern::x509 {

std::string der_element(Tag tag, std::string_view content) {
  std::string out(1, static_cast<char>(tag));
  const size_t size = content.size();
  if (size < 0x80) {
    out += static_cast<char>(size);
  } else {
    std::string length;
    for (size_t rest = size; rest != 0; rest >>= 8) length.insert(length.begin(), static_cast<char>(rest & 0xFF));
    out += static_cast<char>(0x80 | length.size());
    out += length;
  }
  out += content;
  return out;
}

std::string der_integer(std::string_view magnitude) {
  while (magnitude.size() > 1 && magnitude[0] == '\0') magnitude.remove_prefix(1);
  std::string content;
  if (magnitude.empty() || (static_cast<uint8_t>(magnitude[0]) & 0x80) != 0) content += '\0';
  content += magnitude;
  return der_element(Tag::integer, content);
}

std::string der_integer(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((value >> shift) & 0xFF);
  return der_integer(bytes);
}

std::string der_bit_string(std::string_view bytes) {
  return der_element(Tag::bit_string, std::string(1, '\0') + std::string(bytes));
}

DerReader::Element DerReader::next(Tag tag) {
  const auto fault = [this] {
    ok_ = false;
    rest_ = {};
    return Element{};
  };
  if (!at(tag) || rest_.size() < 2) return fault();
  size_t header = 2;
  size_t size = static_cast<uint8_t>(rest_[1]);
  if (size >= 0x80) {
    const size_t count = size & 0x7F;
    if (count == 0 || count > 4 || rest_.size() < 2 + count) return fault();
    size = 0;
    for (size_t i = 0; i < count; ++i) size = size << 8 | static_cast<uint8_t>(rest_[2 + i]);
    // The shortest form only.
    if (size < 0x80 || (count > 1 && size >> (8 * (count - 1)) == 0)) return fault();
    header += count;
  }
  if (size > rest_.size() - header) return fault();
  const Element element{rest_.substr(0, header + size), rest_.substr(header, size)};
  rest_.remove_prefix(header + size);
  return element;
}

}  // namespace postern::x509

// SPDX-License-Identifier: Apache-2.0
// Octets: little-endian numbers, UTF-16 and windows-1252 out of hostile bytes. Nothing here reads past an end: what is
// not there is 0.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::scan::worker {

inline uint32_t octet(std::string_view bytes, size_t at) {
  return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0u;
}
inline uint32_t le16(std::string_view bytes, size_t at) { return octet(bytes, at) | octet(bytes, at + 1) << 8; }
inline uint32_t le32(std::string_view bytes, size_t at) { return le16(bytes, at) | le16(bytes, at + 2) << 16; }
inline uint64_t le64(std::string_view bytes, size_t at) {
  return le32(bytes, at) | static_cast<uint64_t>(le32(bytes, at + 4)) << 32;
}
double le_double(std::string_view bytes, size_t at);

// piece is substr that never throws: what of [at, at + count) is there.
inline std::string_view piece(std::string_view bytes, uint64_t at, uint64_t count = UINT64_MAX) {
  if (at >= bytes.size()) return {};
  return bytes.substr(static_cast<size_t>(at), count > bytes.size() ? bytes.size() : static_cast<size_t>(count));
}

// append_code_point adds one character; surrogates and what is past Unicode become U+FFFD.
void append_code_point(std::string& out, uint32_t code);
// append_utf16 adds little-endian UTF-16; lone surrogates become U+FFFD, an odd byte at the end is dropped.
void append_utf16(std::string& out, std::string_view bytes);
std::string utf16(std::string_view bytes);
// code_of_windows_1252 is the character of one byte.
uint32_t code_of_windows_1252(unsigned char byte);
std::string windows_1252(std::string_view bytes);
// ansi converts bytes in a Windows code page ("1251"); windows-1252 where the page is not known. Never fails.
std::string ansi(std::string_view bytes, uint32_t code_page);
// until_nul is `bytes` up to the first NUL; until_nul16 the same for UTF-16.
std::string_view until_nul(std::string_view bytes);
std::string_view until_nul16(std::string_view bytes);

}  // namespace postern::scan::worker

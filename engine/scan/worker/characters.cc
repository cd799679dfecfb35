// SPDX-License-Identifier: Apache-2.0
// UTF-16 and code pages as UTF-8.
#include "engine/scan/worker/characters.h"

#include <array>

#include "engine/mime/charset.h"
#include "engine/scan/worker/bytes.h"

namespace postern::scan::worker {

void append_code_point(std::string& out, uint32_t code) {
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
  const auto add = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xc0 | code >> 6);
    add(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    add(0xe0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  } else {
    add(0xf0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3f));
    add(0x80 | (code >> 6 & 0x3f));
    add(0x80 | (code & 0x3f));
  }
}

void append_utf16(std::string& out, std::string_view bytes) {
  for (size_t at = 0; at + 1 < bytes.size(); at += 2) {
    uint32_t code = little16(bytes, at);
    if (code >= 0xd800 && code < 0xdc00 && at + 3 < bytes.size()) {
      const uint32_t low = little16(bytes, at + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 2;
      }
    }
    append_code_point(out, code);
  }
}

std::string utf16(std::string_view bytes) {
  std::string out;
  append_utf16(out, bytes);
  return out;
}

uint32_t code_of_windows_1252(unsigned char byte) {
  static constexpr std::array<uint16_t, 32> kHigh = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                                     0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                                     0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                                     0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
  return byte >= 0x80 && byte < 0xa0 ? kHigh[byte - 0x80u] : byte;
}

std::string windows_1252(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) append_code_point(out, code_of_windows_1252(static_cast<unsigned char>(c)));
  return out;
}

std::string ansi(std::string_view bytes, uint32_t code_page) {
  if (code_page == 1200) return utf16(bytes);
  if (code_page == 0 || code_page == 1252 || code_page == 28591) return windows_1252(bytes);
  std::string charset = "cp" + std::to_string(code_page);
  switch (code_page) {
    case 10000:
      charset = "macintosh";
      break;
    case 10007:
      charset = "x-mac-cyrillic";
      break;
    case 10006:
      charset = "x-mac-greek";
      break;
    case 932:
      charset = "shift_jis";
      break;
    case 949:
      charset = "euc-kr";
      break;
    case 950:
      charset = "big5";
      break;
    case 874:
      charset = "windows-874";
      break;
    case 20127:
      charset = "";
      break;
    case 20866:
      charset = "koi8-r";
      break;
    case 20932:
    case 51932:
      charset = "euc-jp";
      break;
    case 50220:
    case 50221:
    case 50222:
      charset = "iso-2022-jp";
      break;
    case 51949:
      charset = "euc-kr";
      break;
    case 54936:
      charset = "gb18030";
      break;
    case 65001:
      charset = "utf-8";
      break;
    default:
      if (code_page >= 28592 && code_page <= 28605) charset = "iso-8859-" + std::to_string(code_page - 28590);
  }
  mime::Converted converted = mime::to_utf8(bytes, charset);
  return converted.known ? std::move(converted.utf8) : windows_1252(bytes);
}

std::string_view until_nul(std::string_view bytes) { return bytes.substr(0, bytes.find('\0')); }

std::string_view until_nul16(std::string_view bytes) {
  size_t at = 0;
  while (at + 1 < bytes.size() && (bytes[at] != '\0' || bytes[at + 1] != '\0')) at += 2;
  return bytes.substr(0, at);
}

}  // namespace postern::scan::worker

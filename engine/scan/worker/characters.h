// SPDX-License-Identifier: Apache-2.0
// Characters out of hostile bytes: UTF-16, windows-1252, and the code pages that office formats name by number.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::scan::worker {

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

// SPDX-License-Identifier: Apache-2.0
// Charsets to UTF-8 by ICU, for an allowed list of names only. Invalid input becomes U+FFFD and is reported; conversion
// is linear and always ends.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mime {

struct Converted {
  std::string utf8;
  bool known = true;      // false: the charset is not one we decode; utf8 is then the bytes read as Latin-1
  bool damaged = false;   // something was not valid in that charset
  bool whole = true;      // false: there is more than was asked for
  size_t damaged_at = 0;  // in UTF-16 and UTF-32: about where the first thing stands that was not valid
  size_t end = 0;         // in UTF-16 and UTF-32: how much of the bytes was converted
};

// to_utf8 converts `bytes`; an empty charset means US-ASCII, read as UTF-8 where that is valid and else as
// windows-1252. Long labels are cut at 64 bytes. Ends soon after `most` bytes came out, where more would.
Converted to_utf8(std::string_view bytes, std::string_view charset, size_t most = SIZE_MAX);

// sniff_charset returns the charset that `bytes` are in by their own looks: by a byte order mark, or UTF-16 or UTF-32
// without one, by where their zero bytes stand; empty when nothing says.
std::string_view sniff_charset(std::string_view bytes);

// is_wide_charset tells whether `charset` is a form of UTF-16 or UTF-32, in which ASCII bytes are no ASCII text.
bool is_wide_charset(std::string_view charset);

// wide_to_utf8 converts what stands from byte `from` on in `bytes`, a text in a form of UTF-16 or UTF-32, as it comes
// out of the whole; it ends soon after `most` bytes came out, at `end`.
Converted wide_to_utf8(std::string_view bytes, std::string_view charset, size_t from, size_t most);

// from_utf8 converts for writing into a part of charset `charset`; false when a character does not exist there (the
// caller then uses UTF-8).
bool from_utf8(std::string_view utf8, std::string_view charset, std::string& out);

// is_known_charset tells whether to_utf8 decodes `charset`.
bool is_known_charset(std::string_view charset);

// charset_names returns one label for each charset that to_utf8 decodes.
std::vector<std::string_view> charset_names();

}  // namespace postern::mime

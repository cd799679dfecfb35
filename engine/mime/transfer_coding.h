// SPDX-License-Identifier: Apache-2.0
// Content-Transfer-Encoding: base64, quoted-printable, 7bit, 8bit, binary (RFC 2045 section 6) and uuencode as seen in
// the wild. Decoders accept broken input the way mail readers do and report that it was broken; they are linear and
// never produce more than the input's size.
#pragma once
#include <string>
#include <string_view>

namespace postern::mime {

enum class TransferEncoding { identity, base64, quoted_printable, uuencode, unknown };

// parse_transfer_encoding reads a Content-Transfer-Encoding value; an absent one is identity, nonsense is unknown.
TransferEncoding parse_transfer_encoding(std::string_view raw);

// Decoded is the outcome of one decode; `damaged` when bytes had to be skipped or were missing; `odd` when some reader
// may decode it otherwise: always where it is damaged, and where blank lines or the ends of lines are in unusual
// places.
struct Decoded {
  std::string bytes;
  bool damaged = false;
  bool odd = false;
};
Decoded decode_transfer(TransferEncoding encoding, std::string_view encoded);

// is_uu_begin tells whether `line` opens a uuencoded file: "begin", three or four octal digits, a name. is_uu_data
// tells whether it holds what its first character says, with or without filling to groups of four and a check
// character.
bool is_uu_begin(std::string_view line);
bool is_uu_data(std::string_view line);

// encode_base64 writes lines of 76 characters ending in CRLF; encode_quoted_printable likewise, line ends of text kept
// as CRLF; no line of it begins with "--", which might be read as a delimiter.
std::string encode_base64(std::string_view bytes);
std::string encode_quoted_printable(std::string_view text);

}  // namespace postern::mime

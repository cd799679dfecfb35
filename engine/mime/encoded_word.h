// SPDX-License-Identifier: Apache-2.0
// Encoded words, RFC 2047: unstructured header values to UTF-8 and back. Decoding accepts the broken forms seen in
// mail; the decoded text may hold any character, line ends included, so who writes it somewhere else must clean it
// first.
#pragma once
#include <string>
#include <string_view>

namespace postern::mime {

// decode_words returns the value as a reader would see it: unfolded, encoded words decoded, raw 8-bit bytes read as
// UTF-8 or else as `fallback_charset`; always valid UTF-8.
std::string decode_words(std::string_view raw, std::string_view fallback_charset = "windows-1252");

// encode_words returns `utf8` as a header value: unchanged when plain ASCII that cannot be mistaken for an encoded
// word, else with encoded words (UTF-8, Q or B, whichever is shorter), folded with LF so that no line passes 76 bytes;
// `first_line_used` is what the name takes. Never splits a character.
std::string encode_words(std::string_view utf8, size_t first_line_used = 0);

// encode_phrase is encode_words for the display name of an address (RFC 2047 section 5 rule 3); quotes an ASCII name
// that needs it.
std::string encode_phrase(std::string_view utf8);

}  // namespace postern::mime

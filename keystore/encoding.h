// SPDX-License-Identifier: Apache-2.0
// Encoding: hexadecimal and base64 as the files of fipsd use them. Decoders are strict: one text for one value (no
// white space, no missing or superfluous padding, no stray bits, lower-case hexadecimal). Pure functions.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace postern::keystore {

// to_hex writes two lower-case digits a byte; from_hex is the way back.
std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view text);

// Base64 is a form of RFC 4648: the standard alphabet padded with '=', the same without padding, and the URL alphabet
// without padding.
enum class Base64 { padded, bare, url };
std::string to_base64(std::string_view bytes, Base64 form = Base64::padded);
std::optional<std::string> from_base64(std::string_view text, Base64 form = Base64::padded);

// base64_size is how many characters `bytes` become; to_base64_at writes them to `out`, where secrets must not pass
// through a string.
size_t base64_size(size_t bytes, Base64 form);
void to_base64_at(std::string_view bytes, Base64 form, char* out);

// sha256 returns the 32 bytes of the digest.
std::string sha256(std::string_view bytes);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// Character references of HTML: "&amp;", "&#39;", "&#x27;", and the old names without a semicolon. Pure.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::mime {

// read_reference reads the character reference at the start of `text` (its '&'), adds what it stands for to `out` and
// returns how many bytes it is long; 0, adding nothing, where none stands. `attribute`: in the value of an attribute.
size_t read_reference(std::string_view text, bool attribute, std::string& out);

// append_utf8 adds the character `code` (at most U+10FFFF).
void append_utf8(uint32_t code, std::string& out);

}  // namespace postern::mime

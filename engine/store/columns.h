// SPDX-License-Identifier: Apache-2.0
// Columns: values from outside as they stand in the database. Addresses must come back byte for byte, and mail carries
// any bytes, but a PostgreSQL text is valid UTF-8 without NUL: what is not, and what separates addresses, is written
// %XX. Texts that are only shown and searched are made valid and cut. Private to the store.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::store {

// kMaxShown is the most bytes of a text that is only shown.
inline constexpr size_t kMaxShown = 500;
// kMaxTrackedLine is the most bytes of a line that is tracked.
inline constexpr size_t kMaxTrackedLine = 8192;

// escape_address and unescape_address are each other's inverse.
std::string escape_address(std::string_view address);
std::string unescape_address(std::string_view text);

// join_addresses puts one on a line each; split_addresses undoes it.
std::string join_addresses(const std::vector<std::string>& addresses);
std::vector<std::string> split_addresses(std::string_view text);

// shown makes `text` valid UTF-8 on one line, at most kMaxShown bytes.
std::string shown(std::string_view text);

// sha256_hex is the digest of all pieces together.
std::string sha256_hex(const std::vector<std::string_view>& pieces);

// random_name is a name for a content that no other has: 32 hexadecimal digits.
std::string random_name();

}  // namespace postern::store

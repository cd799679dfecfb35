// SPDX-License-Identifier: Apache-2.0
// Values: readers of the texts that stand in conditions and actions: IP patterns, dates, MIME types, host names, codes.
// All are pure and linear; none looks anything up. What is wrong is said with its place in the text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/ast.h"

namespace postern::rules {

// ValueFault is what is wrong with a value; `offset` and `length` are bytes of the value.
struct ValueFault {
  size_t offset = 0;
  size_t length = 0;
  std::string message;
  std::string hint;
};

// trim_value cuts white space at both ends, also no-break and zero-width blanks and line ends; `front`, when not null,
// gets the bytes cut at the start.
std::string_view trim_value(std::string_view text, size_t* front = nullptr);

// find_control returns the offset of the first control byte other than tab (and, with `lines`, LF), or npos.
size_t find_control(std::string_view text, bool lines);

// read_ip_patterns reads remote-ip patterns separated by commas; IPv4-mapped IPv6 addresses count as IPv4.
std::optional<std::vector<IpPattern>> read_ip_patterns(std::string_view text, ValueFault& fault);

// read_date reads "MM/DD/YYYY hh:mm:ss" as local time; seconds since 1970.
std::optional<int64_t> read_date(std::string_view text, ValueFault& fault);

// read_mime_type reads "type/subtype" with "*" for either; lower case.
std::optional<std::string> read_mime_type(std::string_view text, ValueFault& fault);

// read_kind reads the name of a file type or of a group of them.
bool read_kind(std::string_view text, scan::TypeSet& kinds, ValueFault& fault);

// read_host reads a host name or IP address, also "[1.2.3.4]", "[IPv6:…]" and "[name]"; no port.
std::optional<std::string> read_host(std::string_view text, ValueFault& fault);

// read_enhanced_code checks "5.7.1" with the class digit `wanted`.
std::optional<std::string> read_enhanced_code(std::string_view text, char wanted, ValueFault& fault);

// read_count reads a plain number up to `most`.
std::optional<int64_t> read_count(std::string_view text, int64_t least, int64_t most, ValueFault& fault);

// read_score reads a decimal number, as thousandths.
std::optional<int64_t> read_score(std::string_view text, ValueFault& fault);

// read_size reads a number with an optional b, k, M or G.
std::optional<int64_t> read_size(std::string_view text, ValueFault& fault);

}  // namespace postern::rules

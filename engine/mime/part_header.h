// SPDX-License-Identifier: Apache-2.0
// What a header says about its part: type, disposition, encoding, names, and every defect that shows in the fields
// alone. Internal to the parser. RFC 2045 sections 3 to 8, RFC 2183.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "engine/mime/part.h"

namespace postern::mime {

// HeaderRole says where a header block stands: only a message's own header has a MIME-Version, and a part of a digest
// is a message when it says nothing else.
enum class HeaderRole { message, part, digest_part };

// describe_part fills type, disposition, encoding, names, content id and defects of `part` from `fields`.
void describe_part(Part& part, std::span<const HeaderField> fields, HeaderRole role);

// usable_boundary returns the boundary of a multipart, or an empty view when it has none that can delimit anything.
std::string_view usable_boundary(const Part& part);
inline constexpr size_t kLongestBoundary = 2048;  // RFC 2046 allows 70; readers take far more

// is_message_type tells whether a body of type `type` is a message of its own.
bool is_message_type(std::string_view type);

// FieldLine is a header line cut at its colon.
struct FieldLine {
  std::string_view name;   // empty: the line is no field
  std::string_view value;  // everything after the colon
  bool blank_before_colon = false;
};
FieldLine split_field(std::string_view line);

}  // namespace postern::mime

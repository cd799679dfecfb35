// SPDX-License-Identifier: Apache-2.0
// What the laxest of readers makes of a header block: every field that some reader takes for Content-Type,
// Content-Transfer-Encoding or Content-Disposition, and every boundary that can be read out of them. Internal to
// readings.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/header.h"
#include "engine/mime/part.h"

namespace postern::mime {

// LooseHeader holds raw values, first come first, each once, at most kMostValues of a kind.
struct LooseHeader {
  static constexpr size_t kMostValues = 8;
  std::vector<std::string> types;
  std::vector<std::string> encodings;
  std::vector<std::string> dispositions;
  bool odd = false;   // a name was not written as it should be
  bool more = false;  // there were more values
  bool is_empty() const { return types.empty() && encodings.empty() && dispositions.empty(); }
};
// loose_header reads a block as it stands in the body, or fields already cut.
LooseHeader loose_header(std::string_view block);
LooseHeader loose_header(std::span<const HeaderField> fields);
// merge adds what `more` has and `header` lacks.
void merge(LooseHeader& header, const LooseHeader& more);

// loose_name returns the letters, digits and hyphens of a field name, lower case, an underscore as a hyphen, without
// comments.
std::string loose_name(std::string_view raw);
// is_content_line tells whether some reader takes a line for a field about the content.
bool is_content_line(std::string_view line);

// loose_boundaries returns the boundaries of all readings, at most kMostBoundaries; may hold the empty one.
inline constexpr size_t kMostBoundaries = 24;
std::vector<std::string> loose_boundaries(const LooseHeader& header);

// loose_encodings returns the encodings that any value names, identity among them only where a value says so;
// `certain`: there is one value and all readers take it alike.
std::vector<TransferEncoding> loose_encodings(const LooseHeader& header, bool& certain);

}  // namespace postern::mime

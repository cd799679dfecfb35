// SPDX-License-Identifier: Apache-2.0
// Questions about a parsed structure, and decoding of single parts. No function recurses: the list is in document
// order, so a parent always stands before its children.
#include "engine/mime/part.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/charset.h"

namespace postern::mime {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Defect::count_)> kDefectNames = {
    "duplicate-content-type",
    "duplicate-transfer-encoding",
    "duplicate-disposition",
    "duplicate-mime-version",
    "duplicate-boundary",
    "duplicate-parameter",
    "malformed-content-type",
    "malformed-disposition",
    "unknown-transfer-encoding",
    "encoding-on-multipart",
    "missing-boundary",
    "missing-final-boundary",
    "missing-first-boundary",
    "missing-blank-line",
    "malformed-header",
    "header-too-large",
    "bare-cr",
    "bare-lf",
    "nul-byte",
    "line-too-long",
    "eight-bit-header",
    "damaged-encoding",
    "unknown-charset",
    "damaged-charset",
    "ambiguous-delimiter",
    "too-deep",
    "too-many-parts",
    "invalid-mime-version",
};
static_assert(!kDefectNames.back().empty(), "each defect has a name");

// can_be_body tells whether a leaf may be shown as text of the message rather than as an attachment.
bool can_be_body(const Part& part) {
  return part.is_leaf() && (part.type.value == "text/plain" || part.type.value == "text/html") &&
         part.disposition.value != "attachment" && part.file_names.empty();
}

// inside_message tells whether `index` lies in an embedded message, which is an attachment as a whole.
bool inside_message(const Structure& structure, uint32_t index) {
  while (index != 0) {
    index = structure.parts[index].parent;
    if (structure.parts[index].kind == PartKind::message) return true;
  }
  return false;
}

// branch_below returns the child of `ancestor` on the way to `index`, or 0 when `ancestor` is none of it.
uint32_t branch_below(const Structure& structure, uint32_t ancestor, uint32_t index) {
  while (index != 0) {
    if (structure.parts[index].parent == ancestor) return index;
    index = structure.parts[index].parent;
  }
  return 0;
}

// first_body returns the first leaf at or below `top` that can be text of the message, or the number of parts.
uint32_t first_body(const Structure& structure, uint32_t top) {
  const auto count = static_cast<uint32_t>(structure.parts.size());
  for (uint32_t i = top; i < count; ++i) {
    const Part& part = structure.parts[i];
    if (i != top && part.depth <= structure.parts[top].depth) break;
    if (can_be_body(part) && !inside_message(structure, i)) return i;
  }
  return count;
}

}  // namespace

std::string_view defect_name(Defect defect) { return kDefectNames[static_cast<size_t>(defect)]; }

std::string_view Part::field(std::string_view name) const {
  for (const HeaderField& each : fields) {
    if (base::iequals(each.name, name)) return each.value;
  }
  return {};
}

std::vector<uint32_t> Structure::children(uint32_t part) const {
  std::vector<uint32_t> out;
  for (uint32_t i = part + 1; i < parts.size() && parts[i].depth > parts[part].depth; ++i) {
    if (parts[i].parent == part) out.push_back(i);
  }
  return out;
}

bool is_attachment(const Structure& structure, uint32_t part) {
  const Part& leaf = structure.parts[part];
  if (!leaf.is_leaf()) return false;
  if (!can_be_body(leaf) || inside_message(structure, part)) return true;
  const uint32_t body = first_body(structure, 0);
  if (part == body) return false;
  // Below each multipart/alternative that holds the body, the first text of every other branch is the same text again.
  for (uint32_t at = body; at != 0;) {
    at = structure.parts[at].parent;
    if (structure.parts[at].type.value != "multipart/alternative") continue;
    const uint32_t branch = branch_below(structure, at, part);
    if (branch != 0 && first_body(structure, branch) == part) return false;
  }
  return true;
}

Decoded decode_content(const Part& part, std::string_view body) {
  return decode_transfer(part.encoding, part.content.of(body));
}

uint64_t decoded_bound(const Part& part) {
  const uint64_t size = part.content.size();
  return part.encoding == TransferEncoding::base64 ? size / 4 * 3 + 3 : size;
}

Text decode_text(const Part& part, std::string_view body) {
  Text out;
  const std::string_view charset = part.type.get("charset");
  Decoded decoded;
  std::string_view bytes = part.content.of(body);
  if (part.encoding != TransferEncoding::identity && part.encoding != TransferEncoding::unknown) {
    decoded = decode_content(part, body);
    bytes = decoded.bytes;
  }
  Converted converted = to_utf8(bytes, charset);
  out.utf8 = std::move(converted.utf8);
  // A byte order mark in UTF-8 is no part of the text.
  if (out.utf8.starts_with("\xEF\xBB\xBF")) out.utf8.erase(0, 3);
  out.damaged = decoded.damaged || converted.damaged || part.other_encoding;
  out.undecodable = !converted.known;
  return out;
}

Defects decoding_defects(const Structure& structure, std::string_view body) {
  Defects out;
  for (const Part& part : structure.parts) {
    if (!part.is_leaf()) continue;
    const Decoded decoded = decode_content(part, body);
    if (decoded.damaged) out.add(Defect::damaged_encoding);
    if (part.is_text() && to_utf8(decoded.bytes, part.type.get("charset")).damaged) out.add(Defect::damaged_charset);
  }
  return out;
}

std::string dump(const Structure& structure) {
  std::string out;
  uint32_t depth = 0;  // open brackets
  for (size_t i = 0; i < structure.parts.size(); ++i) {
    const Part& part = structure.parts[i];
    if (i > 0) {
      if (part.depth > depth) {
        out += '[';
        ++depth;
      } else {
        for (; depth > part.depth; --depth) out += ']';
        out += ',';
      }
    }
    out += part.type.value;
    if (part.is_leaf() && !part.file_names.empty()) out += "(\"" + part.file_names.front() + "\")";
  }
  out.append(depth, ']');
  return out;
}

}  // namespace postern::mime

// SPDX-License-Identifier: Apache-2.0
// Reaches: other_readings, ambiguous and what they search with. Checks that every bound holds, that spans lie in the
// body, that no content comes twice or is a leaf's own, and that a message all readers read alike has no other reading.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/mime/parser.h"
#include "engine/mime/readings.h"

namespace {

using namespace postern;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string trimmed(std::string_view bytes) {
  while (!bytes.empty() && (bytes.back() == '\r' || bytes.back() == '\n')) bytes.remove_suffix(1);
  return std::string(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  base::Limits limits;
  limits.header_size = 4096;
  limits.mime_depth = 8;
  limits.mime_parts = 60;
  const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
  const std::string_view body = file.substr(parsed.body_offset);
  const mime::Structure structure = mime::parse(parsed.header, body, limits);
  std::vector<uint32_t> odd;
  std::vector<std::string> own;
  bool recoded = false;
  for (uint32_t i = 0; i < structure.parts.size(); ++i) {
    const mime::Part& part = structure.parts[i];
    recoded = recoded || part.other_encoding;
    if (!part.is_leaf()) continue;
    const mime::Decoded decoded = mime::decode_content(part, body);
    require(decoded.odd || !decoded.damaged);
    if (decoded.odd) odd.push_back(i);
    own.push_back(trimmed(decoded.bytes));
  }
  mime::ReadingBounds bounds;
  bounds.count = 40;
  bounds.bytes = 20000;
  bounds.work = 4000000;
  const mime::OtherReadings others = mime::other_readings(parsed.header, structure, body, limits, odd, bounds);
  if (structure.one_reading && !recoded && odd.empty()) require(others.list.empty() && others.complete);
  if (!structure.one_reading || recoded) require(mime::ambiguous(structure));
  require(others.list.size() <= bounds.count);
  uint64_t bytes = 0;
  std::vector<std::string> seen;
  for (const mime::OtherReading& each : others.list) {
    bytes += each.decoded.size();
    require(each.part < structure.parts.size() && each.path == structure.parts[each.part].path);
    require(!each.why.empty());
    if (each.in_body) require(each.span.begin <= each.span.end && each.span.end <= body.size());
    const std::string content = trimmed(each.bytes(body));
    if (each.why == "charset") continue;
    require(!content.empty());
    require(std::ranges::find(own, content) == own.end());
    require(std::ranges::find(seen, content) == seen.end());
    seen.push_back(content);
  }
  require(bytes <= bounds.bytes);
  return 0;
}

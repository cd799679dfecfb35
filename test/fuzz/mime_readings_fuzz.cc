// SPDX-License-Identifier: Apache-2.0
// Reaches: other_readings, ambiguous and what they search with. Checks that every bound holds, that spans lie in the
// body, that a content comes again only under a label that is new, and that a message all readers read alike has no
// other reading.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/text.h"
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

// Labels are what is said of one content.
struct Labels {
  std::set<std::pair<std::string, std::string>> kinds;
  std::set<std::string> names;

  // add returns whether any of it is new.
  bool add(const std::string& type, std::string_view charset, const std::vector<std::string>& file_names) {
    const std::string label = base::lower(base::trim(charset).substr(0, 64));
    bool any = kinds.emplace(type.empty() ? "text/plain" : type, label).second;
    for (const std::string& name : file_names) any = names.insert(name).second || any;
    return any;
  }
};

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
  std::map<std::string, Labels> seen;
  bool recoded = false;
  for (uint32_t i = 0; i < structure.parts.size(); ++i) {
    const mime::Part& part = structure.parts[i];
    recoded = recoded || part.other_encoding;
    if (!part.is_leaf()) continue;
    const mime::Decoded decoded = mime::decode_content(part, body);
    require(decoded.odd || !decoded.damaged);
    if (decoded.odd) odd.push_back(i);
    seen[trimmed(decoded.bytes)].add(part.type.value, part.type.get("charset"), part.file_names);
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
  std::set<const std::string*> counted;
  for (const mime::OtherReading& each : others.list) {
    if (each.decoded && counted.insert(each.decoded.get()).second) bytes += each.decoded->size();
    for (const std::string& name : each.file_names) bytes += name.size();
    require(each.part < structure.parts.size() && each.path == structure.parts[each.part].path);
    require(!each.why.empty());
    if (each.in_body) require(each.span.begin <= each.span.end && each.span.end <= body.size());
    const std::string content = trimmed(each.bytes(body));
    require(!content.empty());
    require(seen[content].add(each.type, each.charset, each.file_names));
  }
  require(bytes <= bounds.bytes);
  return 0;
}

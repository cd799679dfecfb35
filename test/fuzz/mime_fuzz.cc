// SPDX-License-Identifier: Apache-2.0
// Reaches: parse_file_header, Parser, decode_content, decode_text, is_attachment, dump, write_body. Checks that
// chunking changes nothing, that spans lie inside each other, that an unedited body comes back, that an edited one can
// be read.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/mime/parser.h"
#include "engine/mime/writer.h"

namespace {

using namespace postern;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string text_of(const mime::Structure& structure) {
  std::string out = mime::dump(structure) + (structure.complete ? "+" : "-");
  for (const mime::Part& part : structure.parts) {
    for (const uint64_t n : {part.outer.begin, part.outer.end, part.header.begin, part.header.end, part.content.begin,
                             part.content.end, part.defects.bits(), static_cast<uint64_t>(part.fields.size())}) {
      out += std::to_string(n) + " ";
    }
    for (const mime::HeaderField& field : part.fields) out += field.name + ":" + field.value;
  }
  return out;
}

void check(const mime::Structure& structure, std::string_view body) {
  for (size_t i = 0; i < structure.parts.size(); ++i) {
    const mime::Part& part = structure.parts[i];
    require(part.outer.begin <= part.header.begin && part.header.begin <= part.header.end);
    require(part.header.end == part.content.begin && part.content.begin <= part.content.end);
    require(part.content.end <= part.outer.end && part.outer.end <= body.size());
    if (i == 0) continue;
    const mime::Part& parent = structure.parts[part.parent];
    require(part.parent < i && !parent.is_leaf());
    require(parent.content.begin <= part.outer.begin && part.outer.end <= parent.content.end);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  base::Limits limits;
  limits.header_size = 4096;
  limits.header_count = 50;
  limits.mime_depth = 8;
  limits.mime_parts = 60;
  const mime::ParsedFile parsed = mime::parse_file_header(file, limits);
  require(parsed.body_offset <= size);
  const std::string_view body = file.substr(parsed.body_offset);
  const mime::Structure structure = mime::parse(parsed.header, body, limits);
  require(!structure.parts.empty() && structure.parts.size() <= limits.mime_parts);
  check(structure, body);

  mime::Parser parser(parsed.header, limits);
  size_t step = 1 + size % 7;
  for (size_t at = 0; at < body.size(); at += step, step = step * 3 % 61 + 1)
    parser.feed(std::string(body.substr(at, step)));
  require(text_of(parser.finish()) == text_of(structure));

  require(mime::write_body(structure, body, {}).flatten() == body);
  for (uint32_t i = 0; i < structure.parts.size(); ++i) {
    if (!structure.parts[i].is_leaf()) continue;
    require(mime::decode_content(structure.parts[i], body).bytes.size() <= structure.parts[i].content.size());
    mime::decode_text(structure.parts[i], body);
    mime::is_attachment(structure, i);
  }
  const auto target = static_cast<uint32_t>(size % structure.parts.size());
  for (const bool remove : {false, true}) {
    const std::string edited = mime::write_body(structure, body, {{target, remove, "X: y\r\n", "new"}}).flatten();
    check(mime::parse(parsed.header, edited, limits), edited);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The header of a message in a file. As in an MTA, the header ends at the first line that is no field, and that line
// belongs to the body.
#include <algorithm>
#include <string>

#include "engine/mime/parser.h"
#include "engine/mime/part_header.h"

namespace postern::mime {
namespace {

// next_line cuts the line that begins at `begin`; `next` is where the following one begins.
std::string_view next_line(std::string_view file, size_t begin, size_t& next) {
  const size_t end = std::min(file.find_first_of("\r\n", begin), file.size());
  next = end;
  while (next < file.size() && file[next] == '\r') ++next;
  if (next < file.size() && file[next] == '\n') {
    ++next;
  } else if (next > end) {
    next = end + 1;  // bare CRs end a line each
  }
  return file.substr(begin, end - begin);
}

}  // namespace

ParsedFile parse_file_header(std::string_view file, const base::Limits& limits) {
  ParsedFile out;
  std::string name;
  size_t value_begin = 0;  // in `file`; the value runs to value_end
  size_t value_end = 0;
  const auto keep_field = [&] {
    if (!name.empty()) out.header.add_received(name, file.substr(value_begin, value_end - value_begin));
    name.clear();
  };
  bool full = false;
  bool blank_line = false;
  size_t at = 0;
  size_t next = 0;
  while (at < file.size()) {
    const std::string_view line = next_line(file, at, next);
    if (line.empty()) {
      blank_line = true;
      at = next;
      break;
    }
    const bool continues = line.front() == ' ' || line.front() == '\t';
    if (line.find('\0') != std::string_view::npos) out.defects.add(Defect::malformed_header);
    if (!full && next > limits.header_size + 1) {
      out.defects.add(Defect::header_too_large);
      full = true;
    }
    if (continues && (!name.empty() || full)) {
      if (line.find_first_not_of(" \t") == std::string_view::npos) out.defects.add(Defect::malformed_header);
      if (!full) value_end = at + line.size();
    } else {
      const FieldLine field = continues ? FieldLine() : split_field(line);
      if (field.name.empty()) {
        const bool mbox_line = at == 0 && (line.starts_with("From ") || line.starts_with(">From "));
        if (!mbox_line) break;
      } else {
        if (field.blank_before_colon) out.defects.add(Defect::malformed_header);
        keep_field();
        if (!full && out.header.size() >= limits.header_count) {
          out.defects.add(Defect::header_too_large);
          full = true;
        }
        if (!full) {
          name = field.name;
          value_begin = static_cast<size_t>(field.value.data() - file.data());
          value_end = at + line.size();
        }
      }
    }
    at = next;
  }
  keep_field();
  if (!blank_line && at < file.size()) out.defects.add(Defect::missing_blank_line);
  out.body_offset = at;
  return out;
}

}  // namespace postern::mime

// SPDX-License-Identifier: Apache-2.0
// Parser: incremental MIME parser over chunks cut anywhere; the result does not depend on where. Holds no body bytes
// but the current header block and line, so memory is bounded by the limits; no recursion. Every byte of the body
// belongs to exactly one part's spans, and nothing is decoded here. RFC 2046 section 5.1 with what mail readers accept.
#pragma once
#include <memory>
#include <string_view>

#include "engine/base/limits.h"
#include "engine/mime/part.h"

namespace postern::mime {

class Parser {
 public:
  // A parser for the body of a message with header `header`, which must outlive the constructor call only.
  Parser(const HeaderList& header, const base::Limits& limits);
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser();

  void feed(std::string_view chunk);
  // finish ends the body and gives the structure; the parser is spent.
  Structure finish();

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

// parse is a parser fed once.
Structure parse(const HeaderList& header, std::string_view body, const base::Limits& limits);

// ParsedFile is a message read from a file: its header fields and where the body begins. Leading mbox "From " line
// skipped. LF and CRLF files both.
struct ParsedFile {
  HeaderList header;
  size_t body_offset = 0;
  Defects defects;
};
ParsedFile parse_file_header(std::string_view file, const base::Limits& limits);

}  // namespace postern::mime

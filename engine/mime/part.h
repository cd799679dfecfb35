// SPDX-License-Identifier: Apache-2.0
// The MIME structure of a message: a flat list of parts in document order, each a set of byte spans into the body as
// received. Nothing is copied; decoding is done on demand from the spans. RFC 2045, 2046, 2183.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/content_type.h"
#include "engine/mime/header.h"
#include "engine/mime/transfer_coding.h"

namespace postern::mime {

// Span is a byte range of the body.
struct Span {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t size() const { return end - begin; }
  std::string_view of(std::string_view body) const { return body.substr(begin, end - begin); }
};

// Defect is one way a message departs from the standards such that two readers may see different things. Names are what
// rules and JSON use.
enum class Defect : uint32_t {
  duplicate_content_type,  // more than one Content-Type field in one header
  duplicate_transfer_encoding,
  duplicate_disposition,
  duplicate_mime_version,
  duplicate_boundary,   // boundary given twice, or one boundary used by nested multiparts
  duplicate_parameter,  // another parameter given twice with different values
  malformed_content_type,
  malformed_disposition,
  unknown_transfer_encoding,
  encoding_on_multipart,  // multipart or message with base64 or quoted-printable
  missing_boundary,       // multipart without (usable) boundary
  missing_final_boundary,
  missing_first_boundary,  // the boundary never occurs
  missing_blank_line,      // header block ends without an empty line
  malformed_header,  // a header line that is no field, or white space before the colon, or a bare CR/NUL in a header
  header_too_large,  // a part's header block passed limits.header-size or limits.header-count
  bare_cr,
  bare_lf,
  nul_byte,
  line_too_long,     // over 998 bytes
  eight_bit_header,  // unencoded 8-bit bytes in a header
  damaged_encoding,  // base64, quoted-printable or uuencode with junk in it
  unknown_charset,
  damaged_charset,
  ambiguous_delimiter,  // a line only some readers take for a delimiter: boundary with more text behind it, or a
                        // delimiter after the closing one (which this parser follows)
  too_deep,             // limits.mime-depth
  too_many_parts,       // limits.mime-parts
  invalid_mime_version,
  count_  // number of defects; keep last
};
std::string_view defect_name(Defect defect);

// Defects is a set of Defect.
class Defects {
 public:
  void add(Defect defect) { bits_ |= 1ull << static_cast<unsigned>(defect); }
  bool has(Defect defect) const { return bits_ >> static_cast<unsigned>(defect) & 1; }
  bool empty() const { return bits_ == 0; }
  void merge(Defects other) { bits_ |= other.bits_; }
  uint64_t bits() const { return bits_; }

 private:
  uint64_t bits_ = 0;
};

enum class PartKind { leaf, multipart, message };

// Part is one node. Part 0 is the message itself: its header is the message's header, its content the whole body.
struct Part {
  uint32_t parent = 0;  // index; part 0 is its own parent
  uint32_t depth = 0;
  PartKind kind = PartKind::leaf;
  std::string path;  // "" for part 0 when it is a container, else "1", "1.2": IMAP-style part numbers. A multipart
                     // directly inside a message has no number of its own there and carries its message's.
  std::vector<HeaderField> fields;  // empty for part 0 (the message holds them)
  Span outer;    // from the delimiter line that opens the part to just before the next delimiter line; equals the body
                 // for part 0
  Span header;   // header block with its blank line
  Span content;  // encoded content, without the line end that belongs to the next delimiter
  StructuredValue type;  // with the default of RFC 2045 5.2 (or message/rfc822 in a digest) when absent
  bool type_declared = false;
  StructuredValue disposition;
  TransferEncoding encoding = TransferEncoding::identity;
  std::vector<std::string> file_names;  // every reading, best first
  std::string content_id;
  Defects defects;
  bool other_reading = false;   // some reader finds other parts, another type or further names here
  bool cut = false;             // ... and not all of that is found here: names past a limit, a fragment of a message
  bool other_encoding = false;  // some reader decodes the content in another way

  bool is_leaf() const { return kind == PartKind::leaf; }
  bool is_text() const { return type.value.starts_with("text/"); }
  // field returns the value of the first field called `name`, or an empty view.
  std::string_view field(std::string_view name) const;
};

// Structure is the parse of one message.
struct Structure {
  std::vector<Part> parts;
  Defects defects;          // of all parts and of the message
  bool complete = true;     // false: a limit stopped the parse; what lies behind it was not seen
  bool one_reading = true;  // false: a part has other_reading, so that what is not in `parts` may be there for a reader

  // children returns the indexes of the direct children of `part`.
  std::vector<uint32_t> children(uint32_t part) const;
};

// is_attachment tells whether leaf `part` is an attachment: everything but the first text/plain or text/html content
// and its alternatives; a part with disposition attachment or a file name always is.
bool is_attachment(const Structure& structure, uint32_t part);

// decoding_defects decodes every leaf and returns the defects that show only then, merged over all parts:
// damaged_encoding and damaged_charset. Costs a decode of the whole body.
Defects decoding_defects(const Structure& structure, std::string_view body);

// decode_content returns the decoded bytes of a leaf, decoded_bound how many there are at most.
Decoded decode_content(const Part& part, std::string_view body);
uint64_t decoded_bound(const Part& part);

// Text is decoded text of a leaf as UTF-8.
struct Text {
  std::string utf8;
  bool damaged = false;      // transfer encoding or charset had faults
  bool undecodable = false;  // the charset is unknown: the text cannot be judged
};
Text decode_text(const Part& part, std::string_view body);

// dump writes the tree in the notation of the tests: multipart/mixed[text/plain,image/gif("a.gif")]. Only leaves show
// their name.
std::string dump(const Structure& structure);

}  // namespace postern::mime

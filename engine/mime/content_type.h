// SPDX-License-Identifier: Apache-2.0
// Structured MIME header values: Content-Type, Content-Disposition and their parameters, RFC 2045 section 5 and RFC
// 2231, with the broken forms seen in mail. When a value can be read in more than one way, every reading is kept in
// `candidates`: a rule on a file name must hold for any of them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace postern::mime {

// Parameter is one name=value, decoded to UTF-8 (RFC 2231 charset and continuations, RFC 2047 words inside quotes as
// senders do).
struct Parameter {
  std::string name;  // lower case
  std::string value;
};

// StructuredValue is a parsed Content-Type or Content-Disposition. Not bounded by the input's claims: at most 64
// parameters and 64 continuation segments are read.
struct StructuredValue {
  std::string value;                  // lower case, "text/plain" or "attachment"; empty when there is none
  std::vector<Parameter> parameters;  // first occurrence first; duplicates kept
  std::vector<Parameter> candidates;  // further readings some reader may make of a parameter, never the first choice
  bool malformed = false;             // not RFC 2045 syntax, though readable
  bool duplicate_parameter = false;   // a parameter occurs twice with different values
  bool truncated = false;             // there were more parameters or segments than are read

  // get returns the first parameter called `name` (lower case), or an empty view.
  std::string_view get(std::string_view name) const;
};

// parse_content_type reads a Content-Type value; "text" alone or nonsense give value "" and malformed.
StructuredValue parse_content_type(std::string_view raw);
// parse_disposition reads a Content-Disposition value.
StructuredValue parse_disposition(std::string_view raw);

// file_names returns every name a mail reader may show for the part: filename and name, plain, RFC 2231 and RFC 2047
// forms; control and bidirectional characters removed, trailing dots and blanks cut, without duplicates; best first.
// Empty when the part has none; at most kMostFileNames.
constexpr size_t kMostFileNames = 64;
std::vector<std::string> file_names(const StructuredValue& type, const StructuredValue& disposition);

// loose_names returns what follows each "name=" in a raw value that is broken or holds comments, however a reader gets
// there: at most kMostLooseNames names, cleaned as in file_names.
constexpr size_t kMostLooseNames = 16;
std::vector<std::string> loose_names(std::string_view raw);

// encode_parameter writes name=value for a header: as token or quoted string when ASCII, else RFC 2231.
std::string encode_parameter(std::string_view name, std::string_view utf8_value);

// type_from_extension returns the MIME type a file name's extension stands for ("application/x-msdownload" for exe), or
// "".
std::string_view type_from_extension(std::string_view file_name);

}  // namespace postern::mime

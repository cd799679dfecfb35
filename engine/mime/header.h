// SPDX-License-Identifier: Apache-2.0
// Header fields of a message: the raw bytes as they came and where each came from. What the MTA must be told about
// header edits is computed from this provenance, so edits never carry MTA indexes around. RFC 5322 section 2.2. Not
// thread-safe; owned by one message.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mime {

// HeaderField is one field. `value` is every byte after the colon, leading white space included, without the final line
// end; folds inside are as they came (milter and this program's own output: LF; a file: CRLF).
struct HeaderField {
  std::string name;
  std::string value;
  int32_t received = -1;  // index in the list the MTA gave; -1: added by us
  bool changed = false;   // value differs from what was received
};

// HeaderList is the ordered list of fields of the message as edited so far. Names compare without case.
class HeaderList {
 public:
  // add_received appends a field as the MTA delivered it.
  void add_received(std::string_view name, std::string_view value);

  size_t size() const { return fields_.size(); }
  const HeaderField& operator[](size_t index) const { return fields_[index]; }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

  // find returns the index of the first field called `name` at or after `from`, or npos.
  size_t find(std::string_view name, size_t from = 0) const;
  static constexpr size_t npos = static_cast<size_t>(-1);
  size_t count(std::string_view name) const;

  // The edits. `value` is without leading space and with LF folds (edits put one space before it); CR, NUL and bare LF
  // in it are made harmless, and folds are added where a line would pass 998 bytes. A name that is not an RFC 5322
  // field name is refused (false).
  bool append(std::string_view name, std::string_view value);
  bool insert_top(std::string_view name, std::string_view value);
  void change(size_t index, std::string_view value);
  void remove(size_t index);
  // remove_received removes every field called `name` that arrived with the message; those added by us stay. Returns
  // how many.
  size_t remove_received(std::string_view name);

  // received returns the fields as the MTA gave them, before any edit.
  const std::vector<HeaderField>& received() const;
  bool edited() const { return edited_; }
  // bytes is the size of all fields as sent (name, colon, value, CRLF).
  uint64_t bytes() const { return bytes_; }
  // generation grows with each edit, so that caches of decoded values know when to forget.
  uint32_t generation() const { return generation_; }

 private:
  void note_edit();
  std::vector<HeaderField> fields_;
  mutable std::vector<HeaderField> received_;  // filled at the first edit (copy on write)
  uint64_t bytes_ = 0;
  uint32_t generation_ = 0;
  bool edited_ = false;
};

// write_fields returns header fields as a file has them: every line ends with CRLF.
std::string write_fields(std::span<const HeaderField> fields);

// is_field_name tells whether `name` is an RFC 5322 field name: 1 to 76 printable ASCII bytes without colon.
bool is_field_name(std::string_view name);

// unfold removes the line ends of folds, leaving the white space that follows them, and trims both ends (RFC
// 5322 2.2.3).
std::string unfold(std::string_view value);

// fold_value makes `value` fit to be a header value: no CR or NUL, LF only before a blank or tab, no line over 998
// bytes (broken at white space near 78 when it has to break at all; a longer unbroken run is cut with LF and a blank).
// Untouched when it already fits.
std::string fold_value(std::string_view name, std::string_view value);

}  // namespace postern::mime

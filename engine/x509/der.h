// SPDX-License-Identifier: Apache-2.0
// DER (X.690): a writer for the few structures Postern composes itself, and a strict reader that takes structures from
// outside apart before anything else looks at them: definite and minimal lengths, one-byte tags, nothing left over.
// Pure functions; the reader's views point into its input and it never recurses.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::x509 {

enum class Tag : uint8_t {
  boolean = 0x01,
  integer = 0x02,
  bit_string = 0x03,
  octet_string = 0x04,
  null = 0x05,
  oid = 0x06,
  utf8_string = 0x0C,
  printable_string = 0x13,
  ia5_string = 0x16,
  sequence = 0x30,
  set = 0x31,
  context_0 = 0xA0,
  context_3 = 0xA3,
};

// der_element writes one element; `content` may be several elements written before.
std::string der_element(Tag tag, std::string_view content);
// der_integer writes a non-negative number given big-endian; der_bit_string a bit string of whole bytes.
std::string der_integer(std::string_view magnitude);
std::string der_integer(uint32_t value);
std::string der_bit_string(std::string_view bytes);

// DerReader takes elements off one after another; after the first fault every view is empty and ok() is false.
class DerReader {
 public:
  explicit DerReader(std::string_view bytes) : rest_(bytes) {}
  // take returns the content of the next element, which must have `tag`; whole returns it with tag and length.
  std::string_view take(Tag tag) { return next(tag).content; }
  std::string_view whole(Tag tag) { return next(tag).whole; }
  // at tells whether the next element has `tag`.
  bool at(Tag tag) const {
    return ok_ && !rest_.empty() && static_cast<uint8_t>(rest_[0]) == static_cast<uint8_t>(tag);
  }
  bool ok() const { return ok_; }
  // done is true when everything was taken and nothing was wrong.
  bool done() const { return ok_ && rest_.empty(); }

 private:
  struct Element {
    std::string_view whole;
    std::string_view content;
  };
  Element next(Tag tag);

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace postern::x509

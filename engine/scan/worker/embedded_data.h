// SPDX-License-Identifier: Apache-2.0
// Data in text: base64 (RFC 4648), "data:" URIs (RFC 2397), and the strings and number arrays by which pages and
// scripts carry files past filters. What is found is scanned as something embedded. Linear.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

// kMostInline is how much of one thing written in text is decoded; what is longer is unscannable (size).
inline constexpr size_t kMostInline = 16u << 20;

// Base64Stream decodes base64 that comes in pieces; what is no base64 is skipped.
class Base64Stream {
 public:
  // add returns false when kMostInline is reached; nothing more is taken then.
  bool add(std::string_view piece);
  const std::string& bytes() const { return bytes_; }
  std::string take();

 private:
  std::string bytes_;
  uint32_t bits_ = 0;
  unsigned have_ = 0;
};

// give_inline scans decoded data as an embedded child; false: no more is wanted.
bool give_inline(Context& context, std::string_view bytes, std::string_view label, std::string_view name,
                 std::string_view mime);

// give_data_uri scans what stands in "data:…", if it is one; false: no more is wanted.
bool give_data_uri(Context& context, std::string_view uri, std::string_view name);

// give_data_attribute does so with the value of an attribute: `source` as it stands in the page, `value` without
// character references. Browsers skip tabs and line ends in it. What find_embedded finds in the source is not given.
bool give_data_attribute(Context& context, std::string_view source, std::string_view value);

// find_embedded looks all through `text` for data URIs; with `script`, also for long strings of base64 or hexadecimal
// digits (put together from pieces as programs do it), of "%4d" and "\x4d", and for arrays of byte values.
void find_embedded(Context& context, std::string_view text, bool script);

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// RtfTokens: RTF cut into its tokens. Linear, and never wrong about where bytes are: what is no control is text.
#pragma once
#include <cstdint>
#include <string_view>

namespace postern::scan::worker {

struct RtfToken {
  enum class Kind { end, open, close, word, symbol, hex, text, binary } kind = Kind::end;
  std::string_view text;  // word: its letters; text and binary: the bytes; symbol: its character
  int32_t number = 0;     // word's parameter; hex: the byte
  bool has_number = false;
};

class RtfTokens {
 public:
  explicit RtfTokens(std::string_view bytes) : bytes_(bytes) {}
  RtfToken next();

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

}  // namespace postern::scan::worker

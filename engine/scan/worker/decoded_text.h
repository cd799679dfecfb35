// SPDX-License-Identifier: Apache-2.0
// DecodedText: the bytes of a leaf as UTF-8. Which charset they are in is said by a byte order mark, by the carrier, by
// the document itself or by their looks, in this order; where two readers would follow different ones, both readings
// are in it. Linear; what is not valid becomes U+FFFD.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

class DecodedText {
 public:
  // `stated` is the charset that the document states in itself; at most `most` bytes are decoded; by who asks for all,
  // so much as memory allows, which is reported where it is not all. A charset we do not decode is reported to the
  // context, its bytes are read as UTF-8 or windows-1252.
  DecodedText(Context& context, std::string_view bytes, std::string_view stated = {}, size_t most = SIZE_MAX);
  DecodedText(const DecodedText&) = delete;
  DecodedText& operator=(const DecodedText&) = delete;

  // view is good as long as this and the bytes are.
  std::string_view view() const { return view_; }

 private:
  std::string owned_;  // empty where the bytes are UTF-8 already
  std::string_view view_;
};

// each_wide_piece gives text in UTF-16 or UTF-32 to `take` as UTF-8, in pieces; what is long and rarely wanted whole is
// searched so. Each but the first begins with the end of the one before, so that nothing of 512 bytes is cut in all.
// Ends when `take` returns false.
void each_wide_piece(std::string_view bytes, std::string_view charset,
                     const std::function<bool(std::string_view text, bool first)>& take);

// text_bytes_wanted is how many bytes a text can have at most and still fit the limit of text as UTF-8.
size_t text_bytes_wanted(const ScanLimits& limits);

}  // namespace postern::scan::worker

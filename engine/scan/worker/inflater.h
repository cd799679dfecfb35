// SPDX-License-Identifier: Apache-2.0
// Inflater: what deflate packed, out of memory and piece by piece. Who takes the pieces charges them to the budget.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <string_view>

#include "engine/scan/client/verdict.h"

namespace postern::scan::worker {

class Inflater {
 public:
  enum class Format : int { raw = -MAX_WBITS, zlib = MAX_WBITS, gzip = MAX_WBITS + 16 };

  // `packed` must stay good.
  Inflater(std::string_view packed, Format format);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // next puts at most `size` bytes into `room` and tells how many; less than that is no end.
  size_t next(char* room, size_t size);
  // going tells whether more may come, ended that all came, as the stream itself says.
  bool going() const { return state_ == Z_OK; }
  bool ended() const { return state_ == Z_STREAM_END; }
  // reason is why nothing more comes, where that is not the stream's end.
  Reason reason() const;
  // used is how many of the packed bytes were needed so far.
  uint64_t used() const { return stream_.total_in; }

 private:
  z_stream stream_{};
  bool there_ = false;
  int state_ = Z_MEM_ERROR;
};

// is_zlib tells whether a zlib stream (RFC 1950) begins here.
bool is_zlib(std::string_view bytes);

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// The one place where zlib is set up to inflate.
#include "engine/scan/worker/inflater.h"

#include <algorithm>
#include <array>

#include "engine/scan/worker/bytes.h"

namespace postern::scan::worker {

Inflater::Inflater(std::string_view packed, Format format) {
  state_ = inflateInit2(&stream_, static_cast<int>(format));
  there_ = state_ == Z_OK;
  stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream_.avail_in = static_cast<uInt>(std::min<size_t>(packed.size(), UINT32_MAX));
}

Inflater::~Inflater() {
  if (there_) inflateEnd(&stream_);
}

size_t Inflater::next(char* room, size_t size) {
  if (!going()) return 0;
  size = std::min<size_t>(size, UINT32_MAX);
  stream_.next_out = reinterpret_cast<Bytef*>(room);
  stream_.avail_out = static_cast<uInt>(size);
  state_ = inflate(&stream_, Z_NO_FLUSH);
  return size - stream_.avail_out;
}

bool is_zlib(std::string_view bytes) {
  if (bytes.size() < 8 || bytes[0] != '\x78' || big16(bytes, 0) % 31 != 0 || (byte_at(bytes, 1) & 0x20) != 0) {
    return false;
  }
  std::array<char, 512> sink{};
  Inflater inflater(bytes.substr(0, 65536), Inflater::Format::zlib);
  inflater.next(sink.data(), sink.size());
  return inflater.going() || inflater.ended();
}

Reason Inflater::reason() const {
  if (going() || ended()) return Reason::none;
  return state_ == Z_MEM_ERROR ? Reason::memory : Reason::corrupt;
}

}  // namespace postern::scan::worker

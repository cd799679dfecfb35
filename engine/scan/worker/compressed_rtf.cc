// SPDX-License-Identifier: Apache-2.0
// The packing: a window of 4096 bytes that begins with what RTF is made of. It grows by at most 17 bytes for 2.
#include "engine/scan/worker/compressed_rtf.h"

#include <algorithm>
#include <array>
#include <string>

#include "engine/scan/worker/bytes.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kPiece = 64u << 10;
constexpr uint32_t kStored = 0x414c454d;
constexpr uint32_t kPacked = 0x75465a4c;

constexpr std::string_view kDictionary =
    "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    "MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    "\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

}  // namespace

bool expand_rtf(std::string_view packed, Unpack& unpack) {
  const uint32_t kind = little32(packed, 8);
  if (kind == kStored) {
    unpack.append(slice(packed, 16, little32(packed, 4)));
    return true;
  }
  if (kind != kPacked) return false;
  std::array<char, 4096> window{};
  std::copy(kDictionary.begin(), kDictionary.end(), window.begin());
  size_t write = kDictionary.size();
  std::string out;
  const auto put = [&](char c) {
    window[write] = c;
    write = (write + 1) % window.size();
    out.push_back(c);
  };
  bool ended = false;
  for (uint64_t at = 16; at < packed.size() && !ended;) {
    const uint8_t flags = byte_at(packed, at++);
    for (int bit = 0; bit < 8 && at < packed.size() && !ended; ++bit) {
      if ((flags >> bit & 1) == 0) {
        put(packed[at++]);
        continue;
      }
      const uint32_t token = big16(packed, at);
      at += 2;
      const size_t from = token >> 4;
      ended = from == write;
      for (size_t i = 0; !ended && i < (token & 15) + 2; ++i) put(window[(from + i) % window.size()]);
    }
    if (out.size() < kPiece) continue;
    if (!unpack.append(out)) return true;
    out.clear();
  }
  unpack.append(out);
  return true;
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// Drawings of binary office documents (MS-ODRAW): the text that is a property of a shape and in no text box: WordArt,
// and what a picture is said to show.
#include <algorithm>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

enum Property : uint32_t {
  kWordArt = 0x00c0,
  kDescription = 0x0381,
  kTooltip = 0x038d,
};

constexpr size_t kMostBytes = 1u << 20;  // of the longest table that is looked at; real ones have a few hundred

bool is_properties(uint32_t type) { return type == 0xf00b || type == 0xf121 || type == 0xf122; }

}  // namespace

void art_text(TextSink& sink, uint32_t count, std::string_view table) {
  // Six bytes a property; the values that do not fit there follow, in the same order.
  size_t value = count * size_t{6};
  for (uint32_t i = 0; i < count && value < table.size(); ++i) {
    const uint32_t property = little16(table, i * size_t{6});
    if ((property & 0x8000) == 0) continue;
    const std::string_view bytes = slice(table, value, little32(table, i * size_t{6} + 2));
    value += bytes.size();
    const uint32_t kind = property & 0x3fff;
    if (kind != kWordArt && kind != kDescription && kind != kTooltip) continue;
    std::string text = utf16(until_nul16(bytes));
    std::ranges::replace(text, '\r', '\n');
    sink.paragraph(text);
  }
}

void ArtText::feed(TextSink& sink, std::string_view bytes) {
  while (!bytes.empty()) {
    if (skip_ > 0) {
      const size_t now = std::min<uint64_t>(skip_, bytes.size());
      skip_ -= now;
      bytes.remove_prefix(now);
      continue;
    }
    const size_t wanted = record_.size() < 8 ? 8 : size_t{8} + little32(record_, 4);
    const size_t now = std::min(wanted - record_.size(), bytes.size());
    record_.append(bytes.substr(0, now));
    bytes.remove_prefix(now);
    if (record_.size() < wanted) return;
    const uint32_t head = little16(record_, 0);
    const uint32_t length = little32(record_, 4);
    if (is_properties(little16(record_, 2)) && length <= kMostBytes) {
      if (wanted == 8 && length > 0) continue;  // it is collected first
      art_text(sink, head >> 4, slice(record_, 8));
    } else if ((head & 0x0f) != 0x0f) {
      skip_ = length;  // what is in a container follows, all else is passed over
    }
    record_.clear();
  }
}

}  // namespace postern::scan::worker

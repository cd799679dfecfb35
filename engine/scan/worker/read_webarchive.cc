// SPDX-License-Identifier: Apache-2.0
// Web archives of Safari, which are binary property lists: a page and what it shows, each a piece of data in a table of
// objects. Other property lists are settings, and nothing is read of them.
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kTrailer = 32;
constexpr uint64_t kMostObjects = 100'000;

// big reads a number of `size` bytes.
uint64_t big(std::string_view bytes, uint64_t at, uint64_t size) {
  uint64_t out = 0;
  for (uint64_t i = 0; i < size; ++i) out = out << 8 | byte_at(bytes, at + i);
  return out;
}

// data is the object at `at` if it is data; `cut` tells that not all of it is there.
std::string_view data(std::string_view bytes, uint64_t at, bool& cut) {
  const uint32_t marker = byte_at(bytes, at);
  if (marker >> 4 != 4) return {};
  uint64_t length = marker & 0x0f;
  ++at;
  if (length == 15) {
    const uint64_t size = uint64_t{1} << (byte_at(bytes, at) & 3);
    length = big(bytes, at + 1, size);
    at += 1 + size;
  }
  const std::string_view out = slice(bytes, at, length);
  cut = out.size() < length;
  return out;
}

}  // namespace

bool is_webarchive(std::string_view bytes) {
  return bytes.starts_with("bplist") && bytes.find("WebMainResource") != std::string_view::npos;
}

void read_webarchive(Context& context) {
  const std::string_view bytes = context.bytes();
  const std::string_view trailer = bytes.size() < kTrailer ? bytes : bytes.substr(bytes.size() - kTrailer);
  const uint32_t size = byte_at(trailer, 6);
  const uint64_t objects = big(trailer, 8, 8);
  const uint64_t table = big(trailer, 24, 8);
  if (size == 0 || size > 8 || table >= bytes.size() || objects > (bytes.size() - table) / size) {
    return context.fail(Reason::corrupt);
  }
  if (objects > kMostObjects) return context.fail(Reason::members);
  // Many may be one and the same piece.
  uint64_t given = 0;
  for (uint64_t i = 0; i < objects; ++i) {
    if (context.budget().expired()) return context.fail(Reason::time);
    bool cut = false;
    const std::string_view piece = data(bytes, big(bytes, table + i * size, size), cut);
    if (cut) context.fail(Reason::corrupt);
    if (piece.empty()) continue;
    given += piece.size();
    if (given > bytes.size()) return context.fail(Reason::corrupt);
    if (!embed(context, piece, {}, "resource")) return;
  }
}

}  // namespace postern::scan::worker

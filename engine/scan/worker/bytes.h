// SPDX-License-Identifier: Apache-2.0
// Numbers out of hostile bytes: every read is bounded; what lies outside reads as zero, so a caller checks sizes once
// where it matters and never reads past the end.
#pragma once
#include <bit>
#include <cstdint>
#include <string_view>

namespace postern::scan::worker {

constexpr uint8_t byte_at(std::string_view bytes, uint64_t at) {
  return at < bytes.size() ? static_cast<uint8_t>(bytes[at]) : uint8_t{0};
}
constexpr uint32_t little16(std::string_view bytes, uint64_t at) {
  return static_cast<uint32_t>(byte_at(bytes, at)) | static_cast<uint32_t>(byte_at(bytes, at + 1)) << 8;
}
constexpr uint32_t little32(std::string_view bytes, uint64_t at) {
  return little16(bytes, at) | little16(bytes, at + 2) << 16;
}
constexpr uint64_t little64(std::string_view bytes, uint64_t at) {
  return static_cast<uint64_t>(little32(bytes, at)) | static_cast<uint64_t>(little32(bytes, at + 4)) << 32;
}
constexpr double little_double(std::string_view bytes, uint64_t at) {
  return std::bit_cast<double>(little64(bytes, at));
}
constexpr uint32_t big16(std::string_view bytes, uint64_t at) {
  return static_cast<uint32_t>(byte_at(bytes, at)) << 8 | static_cast<uint32_t>(byte_at(bytes, at + 1));
}
constexpr uint32_t big32(std::string_view bytes, uint64_t at) { return big16(bytes, at) << 16 | big16(bytes, at + 2); }

// slice is bytes.substr that may begin or end outside.
constexpr std::string_view slice(std::string_view bytes, uint64_t at, uint64_t size = UINT64_MAX) {
  if (at >= bytes.size()) return {};
  return bytes.substr(at, size);
}
// has tells whether `what` stands at `at`.
constexpr bool has(std::string_view bytes, uint64_t at, std::string_view what) {
  return at <= bytes.size() && bytes.substr(at, what.size()) == what;
}

}  // namespace postern::scan::worker

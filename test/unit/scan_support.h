// SPDX-License-Identifier: Apache-2.0
// Helpers of the scan tests: ZIP and OLE2 files made byte by byte, so that each can be as wrong as a test wants it.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::scan::test {

inline std::string le16(uint64_t value) {
  return {static_cast<char>(value & 0xff), static_cast<char>(value >> 8 & 0xff)};
}
inline std::string le32(uint64_t value) { return le16(value) + le16(value >> 16); }
inline std::string le64(uint64_t value) { return le32(value) + le32(value >> 32); }

inline std::string deflate_raw(std::string_view data, int bits = -MAX_WBITS) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, bits, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, data.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string gzip(std::string_view data) { return deflate_raw(data, MAX_WBITS + 16); }

// ZipEntry is one member with everything its two headers say; a test changes what it wants to be wrong.
struct ZipEntry {
  std::string name;
  std::string packed;
  uint32_t method = 0;
  uint32_t flags = 0;
  uint32_t crc = 0;
  uint64_t size = 0;
  std::string extra;
  std::string central_name;  // where it differs
  uint64_t header = 0;       // set when the file is written
  bool in_central = true;
  bool in_local = true;
};

class Zip {
 public:
  ZipEntry& add(std::string_view name, std::string_view data, bool deflated = false) {
    ZipEntry entry;
    entry.name = name;
    entry.central_name = name;
    entry.size = data.size();
    entry.crc =
        static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size())));
    entry.method = deflated ? 8 : 0;
    entry.packed = deflated ? deflate_raw(data) : std::string(data);
    entries.push_back(entry);
    return entries.back();
  }

  static std::string local(const ZipEntry& entry) {
    return "PK\x03\x04" + le16(20) + le16(entry.flags) + le16(entry.method) + le32(0) + le32(entry.crc) +
           le32(entry.packed.size()) + le32(entry.size) + le16(entry.name.size()) + le16(entry.extra.size()) +
           entry.name + entry.extra;
  }
  static std::string central(const ZipEntry& entry) {
    return "PK\x01\x02" + le16(20) + le16(20) + le16(entry.flags) + le16(entry.method) + le32(0) + le32(entry.crc) +
           le32(entry.packed.size()) + le32(entry.size) + le16(entry.central_name.size()) + le16(entry.extra.size()) +
           le16(0) + le16(0) + le16(0) + le32(0) + le32(entry.header) + entry.central_name + entry.extra;
  }

  std::string bytes() {
    std::string out;
    for (ZipEntry& entry : entries) {
      if (!entry.in_local) continue;
      entry.header = out.size();
      out += local(entry) + entry.packed;
    }
    std::string directory;
    size_t count = 0;
    for (const ZipEntry& entry : entries) {
      if (!entry.in_central) continue;
      directory += central(entry);
      ++count;
    }
    const uint64_t at = out.size();
    return out + directory + "PK\x05\x06" + le32(0) + le16(count) + le16(count) + le32(directory.size()) + le32(at) +
           le16(0);
  }

  std::vector<ZipEntry> entries;
};

// ole makes a compound file whose root holds empty streams of these names (up to seven).
inline std::string ole(const std::vector<std::u16string>& names) {
  std::string header = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + std::string(16, '\0') + le16(0x3e) + le16(3) +
                       le16(0xfffe) + le16(9) + le16(6) + std::string(6, '\0') + le32(0) + le32(1) + le32(1) + le32(0) +
                       le32(4096) + le32(0xfffffffe) + le32(0) + le32(0xfffffffe) + le32(0) + le32(0);
  while (header.size() < 512) header += '\xff';
  const size_t sectors = (names.size() + 1 + 3) / 4;
  std::string fat = le32(0xfffffffd);
  for (size_t i = 0; i < sectors; ++i) fat += le32(i + 1 < sectors ? i + 2 : 0xfffffffe);
  fat.resize(512, '\xff');
  std::string directory;
  const auto entry = [&](const std::u16string& name, char kind, uint32_t right, uint32_t child) {
    std::string row;
    for (const char16_t c : name) row += le16(c);
    row.resize(64, '\0');
    row += le16(2 * (name.size() + 1)) + kind + '\1' + le32(0xffffffff) + le32(right) + le32(child);
    row.resize(116, '\0');
    directory += row + le32(0xfffffffe) + le64(0);
  };
  entry(u"Root Entry", '\5', 0xffffffff, names.empty() ? 0xffffffff : 1);
  for (size_t i = 0; i < names.size(); ++i) {
    entry(names[i], '\2', i + 1 < names.size() ? static_cast<uint32_t>(i + 2) : 0xffffffff, 0xffffffff);
  }
  directory.resize(sectors * 512, '\0');
  return header + fat + directory;
}

}  // namespace postern::scan::test

// SPDX-License-Identifier: Apache-2.0
// Images of disks with a FAT file system, as Windows mounts them by a double click: a volume by itself, or behind a
// table of partitions, and the same as a fixed VHD. Files are put together from their clusters. Everything else that is
// an image of a disk is not read, and says so.
#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/looked_at.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint64_t kRow = 32;  // of a directory
constexpr size_t kDirectories = 20000;
constexpr uint64_t kMostRows = 65536;  // of one directory
constexpr size_t kLongName = 255;

// is_fat tells whether a boot sector describes a FAT volume that can be walked.
bool is_fat(std::string_view volume) {
  const uint32_t sector = little16(volume, 11);
  const uint32_t cluster = byte_at(volume, 13);
  return has(volume, 510, "\x55\xaa") && sector >= 512 && sector <= 4096 && (sector & (sector - 1)) == 0 &&
         cluster != 0 && (cluster & (cluster - 1)) == 0 && little16(volume, 14) != 0 && byte_at(volume, 16) > 0 &&
         byte_at(volume, 16) <= 4 && (little16(volume, 22) != 0 || little32(volume, 36) != 0);
}

class Fat {
 public:
  Fat(Context& context, std::string_view volume)
      : context_(context), volume_(volume), unpack_(context), looked_at_(context, volume.size()) {
    const uint64_t sector = little16(volume, 11);
    cluster_ = sector * byte_at(volume, 13);
    table_ = sector * little16(volume, 14);
    // Which kind it is systems tell by this field first: FAT32 may have any number of clusters.
    const bool wide = little16(volume, 22) == 0;
    const uint64_t table_sectors = wide ? little32(volume, 36) : little16(volume, 22);
    const uint64_t roots = little16(volume, 17);
    root_ = table_ + sector * table_sectors * byte_at(volume, 16);
    root_size_ = roots * kRow;
    data_ = root_ + (root_size_ + sector - 1) / sector * sector;
    const uint64_t sectors = little16(volume, 19) != 0 ? little16(volume, 19) : little32(volume, 32);
    clusters_ = sectors * sector > data_ ? (sectors * sector - data_) / cluster_ : 0;
    bits_ = wide ? 32 : clusters_ < 4085 ? 12 : 16;
    // No system reads such a volume, or each another way.
    if (!wide && (root_size_ == 0 || clusters_ >= 65525)) context_.fail(Reason::corrupt);
    if (sectors * sector > volume.size()) context_.fail(Reason::corrupt);
    // A chain has no links that are not there.
    clusters_ = std::min(clusters_, volume.size() > data_ ? (volume.size() - data_) / cluster_ + 1 : 0);
  }

  void read() {
    struct Open {
      uint32_t first;
      std::string path;
    };
    std::vector<Open> open{{bits_ == 32 ? little32(volume_, 44) : 0, ""}};
    std::unordered_set<uint32_t> seen{open.front().first};
    while (!open.empty()) {
      const Open directory = std::move(open.back());
      open.pop_back();
      const bool fixed = bits_ != 32 && directory.first == 0;
      std::string rows;
      if (fixed) {
        rows = slice(volume_, root_, root_size_);
      } else if (!collect(directory.first, kMostRows * kRow, rows)) {
        context_.fail(Reason::corrupt);
      }
      if (context_.budget().expired()) return context_.fail(Reason::time);
      if (!looked_at_.take(rows.size())) return;
      std::string name;
      for (uint64_t at = 0; at < rows.size() && byte_at(rows, at) != 0; at += kRow) {
        const std::string_view row = slice(rows, at, kRow);
        const uint8_t attributes = byte_at(row, 11);
        if (byte_at(row, 0) == 0xe5) {
          name.clear();
          continue;
        }
        if ((attributes & 0x3f) == 0x0f) {
          if ((byte_at(row, 0) & 0x40) != 0) name.clear();
          name = long_piece(row) + name;
          if (name.size() > kLongName * 4) name.clear();
          continue;
        }
        const std::string shown = name.empty() ? short_name(row) : std::exchange(name, {});
        name.clear();
        if ((attributes & 0x08) != 0) continue;
        const uint32_t first = little16(row, 26) | (bits_ == 32 ? little16(row, 20) << 16 : 0);
        const std::string path = directory.path + shown;
        if ((attributes & 0x10) != 0) {
          // "." and ".." lead to where the walk was already.
          if (first == 0 || !seen.insert(first).second) continue;
          if (seen.size() > kDirectories) return context_.fail(Reason::members);
          if (path.size() < kMaxPath) {
            open.push_back({first, path + "/"});
          } else {
            context_.fail(Reason::members);
          }
          continue;
        }
        if (!give(path, first, little32(row, 28))) return;
      }
    }
  }

 private:
  static std::string long_piece(std::string_view row) {
    std::string out;
    for (const auto& [at, size] : {std::pair{1, 10}, std::pair{14, 12}, std::pair{28, 4}}) {
      const std::string_view text = slice(row, static_cast<uint64_t>(at), static_cast<uint64_t>(size));
      size_t end = 0;
      while (end < text.size() && little16(text, end) != 0 && little16(text, end) != 0xffff) end += 2;
      append_utf16(out, text.substr(0, end));
      if (end < text.size()) break;
    }
    return out;
  }

  static std::string short_name(std::string_view row) {
    const auto trimmed = [](std::string_view text) {
      return std::string(text.substr(0, text.find_last_not_of(' ') + 1));
    };
    const std::string name = trimmed(row.substr(0, 8));
    const std::string extension = trimmed(row.substr(8, 3));
    return extension.empty() ? name : name + "." + extension;
  }

  // next returns the cluster behind `cluster`; 0 at the end and where the table is wrong.
  uint32_t next(uint32_t cluster) const {
    const uint64_t at = table_ + (bits_ == 12 ? cluster + cluster / 2 : cluster * uint64_t{bits_} / 8);
    uint32_t value = bits_ == 32 ? little32(volume_, at) & 0x0fffffff : little16(volume_, at);
    if (bits_ == 12) value = (cluster & 1) != 0 ? value >> 4 : value & 0xfff;
    return value >= 2 && value < clusters_ + 2 ? value : 0;
  }

  std::string_view cluster_bytes(uint32_t cluster) const {
    return cluster < 2 ? std::string_view() : slice(volume_, data_ + (cluster - 2) * cluster_, cluster_);
  }

  // collect puts a chain together; false where it ends in nothing or goes in a circle.
  bool collect(uint32_t first, uint64_t most, std::string& out) {
    uint64_t steps = 0;
    for (uint32_t at = first; at != 0; at = next(at)) {
      const std::string_view bytes = cluster_bytes(at);
      if (++steps > clusters_ || out.size() > most || bytes.empty()) return false;
      out += bytes;
    }
    return !out.empty();
  }

  bool give(const std::string& path, uint32_t first, uint64_t size) {
    unpack_.begin();
    uint64_t left = size;
    for (uint32_t at = first; left > 0 && at != 0; at = next(at)) {
      const std::string_view bytes = cluster_bytes(at).substr(0, left);
      if (bytes.empty()) break;
      left -= bytes.size();
      if (!unpack_.append(bytes)) break;
    }
    if (left > 0) unpack_.set_reason(Reason::corrupt);
    return unpack_.give(path);
  }

  Context& context_;
  std::string_view volume_;
  Unpack unpack_;
  LookedAt looked_at_;
  uint64_t cluster_ = 0, table_ = 0, root_ = 0, root_size_ = 0, data_ = 0, clusters_ = 0;
  uint32_t bits_ = 12;
};

}  // namespace

void read_disk(Context& context) {
  std::string_view bytes = context.bytes();
  if (context.leaf().is(FileType::vhd)) {
    // Fixed: a raw disk with a footer. The other kinds keep their sectors apart.
    const std::string_view footer = bytes.size() > kSector ? bytes.substr(bytes.size() - kSector) : std::string_view();
    if (!has(footer, 0, "conectix") || big32(footer, 60) != 2) return context.fail(Reason::unsupported);
    bytes.remove_suffix(kSector);
  }
  if (is_fat(bytes)) return Fat(context, bytes).read();
  bool other = true;
  for (uint64_t row = 446; row < 510 && has(bytes, 510, "\x55\xaa"); row += 16) {
    const uint64_t begin = little32(bytes, row + 8) * kSector;
    if (byte_at(bytes, row + 4) == 0) continue;
    const std::string_view volume = slice(bytes, begin, little32(bytes, row + 12) * kSector);
    if (begin == 0 || !is_fat(volume)) return context.fail(Reason::unsupported);
    other = false;
    Fat(context, volume).read();
  }
  if (other) context.fail(Reason::unsupported);
}

}  // namespace postern::scan::worker

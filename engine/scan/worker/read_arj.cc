// SPDX-License-Identifier: Apache-2.0
// ARJ: headers are walked here. Stored members are pieces of the file; those of methods 1 to 3 are packed as LHA's
// method 7 is, so libarchive reads them in a header of LHA. Layout: ARJ's technical notes.
#include <archive.h>
#include <zlib.h>

#include <algorithm>

#include "engine/scan/worker/archive_reader.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

constexpr uint8_t kEncrypted = 0x01;
constexpr uint8_t kVolume = 0x04;
constexpr uint8_t kContinued = 0x08;

std::string_view until_nul(std::string_view bytes) { return bytes.substr(0, bytes.find('\0')); }

void read_packed(std::string_view packed, uint64_t size, Unpack& unpack) {
  std::string header;
  const auto put = [&](uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) header.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  };
  // A header of level 0: length and sum of what follows, method, sizes, time, attribute, level, name, CRC.
  header += "-lh7-";
  put(packed.size(), 4);
  put(size, 4);
  put(0, 4);
  put(0x20, 1);
  put(0, 1);
  put(1, 1);
  header.push_back('x');
  put(0, 2);
  uint8_t sum = 0;
  for (const char c : header) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  const std::string head = {static_cast<char>(header.size()), static_cast<char>(sum)};
  const std::string_view pieces[] = {head, header, packed, std::string_view("\0", 1)};
  ArchiveReader reader(archive_read_support_format_lha);
  reader.lenient();  // its checksum is not known beforehand; ARJ's own is checked
  if (!reader.open(pieces)) return unpack.set_reason(Reason::corrupt);
  archive_entry* entry = nullptr;
  if (reader.next(entry) < ARCHIVE_WARN) return unpack.set_reason(reader.reason());
  reader.read(unpack);
}

}  // namespace

void read_arj(Context& context) {
  const std::string_view bytes = context.bytes();
  Unpack unpack(context);
  uint64_t at = 0;
  bool archive_header = true;
  while (true) {
    if (!has(bytes, at, "\x60\xea")) return context.fail(Reason::corrupt);
    const uint64_t basic = little16(bytes, at + 2);
    if (basic == 0) break;
    const std::string_view header = slice(bytes, at + 4, basic);
    if (header.size() < basic || basic < 30) return context.fail(Reason::corrupt);
    uint64_t next = at + 4 + basic + 4;
    // Extended headers, each with its length and checksum, up to an empty one.
    while (little16(bytes, next) != 0) {
      next += 2 + little16(bytes, next) + 4;
      if (next > bytes.size()) return context.fail(Reason::corrupt);
    }
    next += 2;
    if (archive_header) {
      archive_header = false;
      at = next;
      continue;
    }
    const uint8_t flags = byte_at(header, 4);
    const uint8_t method = byte_at(header, 5);
    const uint8_t kind = byte_at(header, 6);
    const uint64_t packed_size = little32(header, 12);
    const uint64_t size = little32(header, 16);
    const std::string_view name = until_nul(slice(header, byte_at(header, 0), header.size()));
    const std::string_view packed = slice(bytes, next, packed_size);
    at = next + packed_size;
    if (kind == 3) continue;  // a folder
    unpack.count_protection((flags & kEncrypted) != 0);
    bool more = true;
    if ((flags & kEncrypted) != 0) {
      more = unpack.unread(name, size, Reason::password, Protection::yes);
    } else if (packed.size() < packed_size) {
      more = unpack.unread(name, size, Reason::corrupt);
    } else if ((flags & (kVolume | kContinued)) != 0) {
      more = unpack.unread(name, size, Reason::partial);
    } else if (method == 0) {
      more = unpack.give_view(packed, name);
    } else if (method <= 3) {
      unpack.begin();
      read_packed(packed, size, unpack);
      const std::string_view out = unpack.bytes();
      const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(out.data()), static_cast<uInt>(out.size()));
      if (crc != little32(header, 20)) unpack.set_reason(Reason::corrupt);
      more = unpack.give(name);
    } else {
      more = unpack.unread(name, size, Reason::unsupported);
    }
    if (!more) break;
  }
  unpack.settle_protection();
}

}  // namespace postern::scan::worker

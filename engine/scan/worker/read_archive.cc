// SPDX-License-Identifier: Apache-2.0
// Archives that libarchive reads: tar, 7-Zip, cabinet, cpio, ar, xar, RPM, LHA. Members are read in order; folders are
// no members, links and devices are members without content. What has content is read whatever its mode calls it.
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>

#include "engine/scan/worker/archive_reader.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

struct Row {
  FileType type;
  ArchiveReader::Enable enable;
};
constexpr Row kRows[] = {
    {FileType::tar, archive_read_support_format_tar}, {FileType::type_7z, archive_read_support_format_7zip},
    {FileType::cab, archive_read_support_format_cab}, {FileType::cpio, archive_read_support_format_cpio},
    {FileType::ar, archive_read_support_format_ar},   {FileType::xar, archive_read_support_format_xar},
    {FileType::lha, archive_read_support_format_lha},
};

// Entries that are retried or have no content still cost time; a file of ten million of them ends here.
constexpr uint64_t kEmptyEntries = 100000;

// The head of a 7z file says where its directory is. That is encrypted when the coder of AES stands in what describes
// how it is packed.
bool has_encrypted_headers(std::string_view bytes) {
  const uint64_t at = 32 + little64(bytes, 12);
  const uint64_t size = little64(bytes, 20);
  if (at < 32 || size > bytes.size()) return false;
  const std::string_view head = slice(bytes, at, size);
  return byte_at(head, 0) == 0x17 && head.find("\x06\xf1\x07\x01"sv) != std::string_view::npos;
}

// read_number reads a number of 7z: the high bits of the first byte tell how many bytes follow.
uint64_t read_number(std::string_view bytes, uint64_t& at) {
  const uint8_t first = byte_at(bytes, at++);
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) {
    const auto mask = static_cast<uint8_t>(0x80 >> i);
    if ((first & mask) == 0) return value | static_cast<uint64_t>(first & (mask - 1)) << (8 * i);
    value |= static_cast<uint64_t>(byte_at(bytes, at++)) << (8 * i);
  }
  return value;
}

// has_folder_bomb tells whether the directory claims more folders than it has bytes for. libarchive would make room for
// all of them first.
bool has_folder_bomb(std::string_view bytes) {
  const std::string_view head = slice(bytes, 32 + little64(bytes, 12), little64(bytes, 20));
  uint64_t at = 1;
  if (byte_at(head, 0) == 0x01 && byte_at(head, at) == 0x04) ++at;
  if (byte_at(head, at) == 0x06) {
    ++at;
    read_number(head, at);
    const uint64_t streams = read_number(head, at);
    if (streams > head.size()) return true;
    while (at < head.size() && byte_at(head, at) != 0) {
      const uint8_t kind = byte_at(head, at++);
      if (kind == 0x09) {
        for (uint64_t i = 0; i < streams && at < head.size(); ++i) read_number(head, at);
      } else {
        // Checksums: which of the streams have one, and four bytes for each.
        const bool all = byte_at(head, at++) != 0;
        at += (all ? 0 : (streams + 7) / 8) + 4 * streams;
      }
    }
    ++at;
  }
  if (byte_at(head, at) != 0x07 || byte_at(head, at + 1) != 0x0b) return false;
  at += 2;
  return read_number(head, at) > head.size();
}

// tar_number reads a number of a head: octal digits, or 256-based where the first bit is set.
uint64_t tar_number(std::string_view field) {
  uint64_t value = 0;
  if ((byte_at(field, 0) & 0x80) != 0) {
    for (size_t i = field.size() - 8; i < field.size(); ++i) value = value << 8 | byte_at(field, i);
    return value;
  }
  for (const char c : field) {
    if (c >= '0' && c <= '7') value = value * 8 + static_cast<uint64_t>(c - '0');
    if (c == '\0') break;
  }
  return value;
}

// give_passed_over gives what stands before an entry of a tar as if it were something about it, where other programs
// see a file: lists of rights as Solaris writes them. libarchive passes them over. false: stop.
bool give_passed_over(std::string_view bytes, uint64_t at, Unpack& unpack) {
  constexpr uint64_t kBlock = 512;
  while (at < bytes.size() && bytes.size() - at >= kBlock) {
    const std::string_view head = bytes.substr(at, kBlock);
    if (std::string_view("AKLVXgx").find(head[156]) == std::string_view::npos) return true;
    const uint64_t size = tar_number(head.substr(124, 12));
    at += kBlock;
    const std::string_view data = slice(bytes, at, size);
    if (head[156] == 'A' && size > 0) {
      const std::string_view name = head.substr(0, std::min<size_t>(head.find('\0'), 100));
      if (!unpack.give_view(data, name, data.size() < size ? Reason::corrupt : Reason::none)) return false;
    }
    if (data.size() < size) return true;
    at += (size + kBlock - 1) / kBlock * kBlock;
  }
  return true;
}

void read_format(Context& context, const Row& row, std::string_view bytes) {
  ArchiveReader reader(row.enable);
  Unpack unpack(context);
  if (row.type == FileType::type_7z && has_encrypted_headers(bytes)) {
    context.leaf().protection = Protection::yes;
    unpack.unread("", 0, Reason::password, Protection::yes);
    return;
  }
  if (row.type == FileType::type_7z && has_folder_bomb(bytes)) return context.fail(Reason::corrupt);
  if (!reader.open(bytes)) return context.fail(Reason::corrupt);
  uint64_t empty = 0;
  int failures = 0;
  while (true) {
    archive_entry* entry = nullptr;
    const int state = reader.next(entry);
    if (state == ARCHIVE_EOF) break;
    if (state < ARCHIVE_WARN) {
      context.fail(reader.reason());
      if (state == ARCHIVE_FATAL || ++failures > 100) break;
      continue;
    }
    if (context.budget().expired()) {
      context.fail(Reason::time);
      break;
    }
    if (row.type == FileType::tar && !give_passed_over(bytes, reader.begin_of_entry(), unpack)) break;
    const std::string name = entry_name(entry);
    if (archive_entry_filetype(entry) == AE_IFDIR && archive_entry_size(entry) <= 0) {
      if (++empty <= kEmptyEntries) continue;
      context.fail(Reason::members);
      break;
    }
    const bool encrypted = archive_entry_is_data_encrypted(entry) != 0;
    const bool has_content = archive_entry_size(entry) > 0 || archive_entry_size_is_set(entry) == 0;
    if (has_content || encrypted) unpack.count_protection(encrypted);
    if (encrypted) {
      const auto size = static_cast<uint64_t>(std::max<la_int64_t>(archive_entry_size(entry), 0));
      if (!unpack.unread(name, size, Reason::password, Protection::yes)) break;
      continue;
    }
    unpack.begin();
    // These have what a link leads to as its content.
    const bool link_content = row.type == FileType::type_7z || row.type == FileType::cpio;
    if (link_content && is_false_link(entry)) unpack.set_reason(Reason::unsupported);
    reader.read(unpack);
    const Reason lost = unpack.reason();
    if (!unpack.give(name)) break;
    if (reader.dead()) {
      context.fail(lost);
      break;
    }
  }
  unpack.settle_protection();
}

// An RPM is a lead, a signature and a header, and then a packed cpio archive.
void read_rpm(Context& context) {
  Unpack unpack(context);
  decode_stream(context.bytes(), ARCHIVE_FILTER_RPM, unpack);
  unpack.give("payload");
}

}  // namespace

void read_archive(Context& context) {
  for (const Row& row : kRows) {
    if (!context.leaf().is(row.type)) continue;
    std::string_view bytes = context.bytes();
    if (row.type == FileType::type_7z) {
      const size_t at = find_7z(bytes);
      if (at != std::string_view::npos) bytes.remove_prefix(at);
    }
    read_format(context, row, bytes);
  }
  if (context.leaf().is(FileType::rpm)) read_rpm(context);
}

size_t find_7z(std::string_view bytes) {
  constexpr std::string_view kMark = "7z\xbc\xaf\x27\x1c"sv;
  for (size_t at = bytes.find(kMark); at != std::string_view::npos; at = bytes.find(kMark, at + 1)) {
    const std::string_view start = slice(bytes, at + 12, 20);
    const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(start.data()), static_cast<uInt>(start.size()));
    if (start.size() == 20 && crc == little32(bytes, at + 8)) return at;
  }
  return std::string_view::npos;
}

}  // namespace postern::scan::worker

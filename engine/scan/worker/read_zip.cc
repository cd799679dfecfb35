// SPDX-License-Identifier: Apache-2.0
// ZIP: every member that any of its tables knows. Stored and deflated members are unpacked here; the rarer methods by
// libarchive, one member at a time, dressed up as a file of its own.
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include "engine/base/text.h"
#include "engine/scan/worker/archive_reader.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/unpack.h"
#include "engine/scan/worker/zip_directory.h"

namespace postern::scan::worker {
namespace {

// More members that share bytes than this are a bomb; a few are in files of careless programs.
constexpr size_t kOverlaps = 5;
constexpr size_t kChunk = 64u << 10;
constexpr size_t kHead = 256;  // of a member, to tell what it is

uint32_t checksum(std::string_view bytes) {
  uLong crc = crc32(0, nullptr, 0);
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, 1u << 30);
    crc = crc32(crc, reinterpret_cast<const Bytef*>(piece.data()), static_cast<uInt>(piece.size()));
    bytes.remove_prefix(piece.size());
  }
  return static_cast<uint32_t>(crc);
}

void inflate_member(const ZipMember& member, Unpack& unpack) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return unpack.set_reason(Reason::memory);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(member.data.data()));
  stream.avail_in = static_cast<uInt>(std::min<size_t>(member.data.size(), UINT32_MAX));
  int state = Z_OK;
  while (state == Z_OK) {
    char* room = unpack.fill(kChunk);
    if (room == nullptr) break;
    stream.next_out = reinterpret_cast<Bytef*>(room);
    stream.avail_out = kChunk;
    state = inflate(&stream, Z_NO_FLUSH);
    if (!unpack.keep(kChunk - stream.avail_out)) break;
  }
  inflateEnd(&stream);
  if (state != Z_STREAM_END) unpack.set_reason(Reason::corrupt);
}

// A member in a local header of its own, for libarchive to read as a stream.
void read_by_archive(const ZipMember& member, Unpack& unpack) {
  std::string header = "PK\x03\x04";
  const auto put = [&](uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) header.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  };
  put(63, 2);
  put(member.flags & ~8u, 2);  // the sizes are here, not behind
  put(member.method, 2);
  put(0, 4);
  put(member.crc, 4);
  put(std::min<uint64_t>(member.data.size(), UINT32_MAX), 4);
  put(std::min<uint64_t>(member.size, UINT32_MAX), 4);
  put(1, 2);
  put(0, 2);
  header.push_back('x');
  const std::string_view pieces[] = {header, member.data};
  ArchiveReader reader(archive_read_support_format_zip_streamable);
  if (!reader.open(pieces)) return unpack.set_reason(Reason::corrupt);
  archive_entry* entry = nullptr;
  const int state = reader.next(entry);
  if (state != ARCHIVE_OK && state != ARCHIVE_WARN) return unpack.set_reason(reader.reason());
  reader.read(unpack);
}

bool is_office(FileType type) {
  switch (type) {
    case FileType::docx:
    case FileType::docm:
    case FileType::xlsx:
    case FileType::xlsm:
    case FileType::xlsb:
    case FileType::pptx:
    case FileType::pptm:
    case FileType::ooxml:
    case FileType::vsdx:
    case FileType::xps:
    case FileType::odt:
    case FileType::ods:
    case FileType::odp:
    case FileType::odg:
    case FileType::odf:
      return true;
    default:
      return false;
  }
}

bool is_read_by_archive(uint32_t method) {
  return method == 12 || method == 14 || method == 95 || method == 98;  // bzip2, LZMA, xz, PPMd
}

void read_member(const ZipMember& member, Unpack& unpack) {
  if (member.truncated) unpack.set_reason(Reason::corrupt);
  if (member.method == 8) {
    const Reason before = unpack.reason();
    if (before != Reason::none) unpack.begin();
    inflate_member(member, unpack);
    unpack.set_reason(before);
  } else if (member.method == 93) {
    unpack.begin();
    decode_stream(member.data, ARCHIVE_FILTER_ZSTD, unpack);
  } else {
    unpack.begin();
    read_by_archive(member, unpack);
  }
  if (member.truncated) unpack.set_reason(Reason::corrupt);
  if (!member.crc_known || unpack.reason() != Reason::none) return;
  if (unpack.bytes().size() != member.size || checksum(unpack.bytes()) != member.crc) {
    unpack.set_reason(Reason::corrupt);
  }
}

}  // namespace

void read_zip(Context& context) {
  const ZipDirectory directory = read_zip_directory(context.bytes(), size_t{context.budget().limits().members} + 1);
  if (directory.inconsistent) context.mark(Mark::inconsistent);
  if (directory.damaged) context.fail(Reason::corrupt);
  if (directory.overlaps > kOverlaps) return context.fail(Reason::overlap);
  // A document's own parts are read by its reader, and are no leaves.
  const bool office = std::ranges::any_of(context.leaf().types, is_office) && is_document_package(context.bytes());
  Unpack unpack(context);
  for (const ZipMember& member : directory.members) {
    if (member.name.find('\0') != std::string_view::npos) context.mark(Mark::inconsistent);
    if (member.directory() && member.data.empty()) continue;
    bool more = true;
    if (!member.readable) {
      more = unpack.unread(member.name, member.size, Reason::corrupt);
    } else if (member.encrypted() || member.method == 99) {
      unpack.count_protection(true);
      more = unpack.unread(member.name, member.size, Reason::password, Protection::yes);
    } else {
      unpack.count_protection(false);
      if (member.method == 0) {
        const bool right =
            !member.truncated &&
            (!member.crc_known || (member.data.size() == member.size && checksum(member.data) == member.crc));
        if (office && right && is_document_part(member.name, member.data.substr(0, kHead))) continue;
        more = unpack.give_view(member.data, member.name, right ? Reason::none : Reason::corrupt);
      } else if (member.method == 8 || member.method == 93 || is_read_by_archive(member.method)) {
        unpack.begin();
        read_member(member, unpack);
        const bool own =
            office && unpack.reason() == Reason::none && is_document_part(member.name, unpack.bytes().substr(0, kHead));
        if (own) continue;
        more = unpack.give(member.name);
      } else {
        more = unpack.unread(member.name, member.size, Reason::unsupported);
      }
    }
    if (!more) break;
  }
  unpack.settle_protection();
  if (directory.cut) context.fail(Reason::members);
  if (directory.members.empty() && !directory.central) context.fail(Reason::corrupt);
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// ZIP: every member that any of its tables knows. Stored and deflated members are unpacked here; the rarer methods by
// libarchive, one member at a time, dressed up as a file of its own.
#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <new>
#include <utility>

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

void inflate_member(const ZipMember& member, Unpack& unpack) {
  MemberReader reader(member);
  while (reader.going()) {
    char* room = unpack.fill(kChunk);
    if (room == nullptr || !unpack.keep(reader.next(room, kChunk))) break;
  }
  // Of a member that was not read to its end the reason is known already.
  unpack.set_reason(reader.reason());
  if (!reader.right()) unpack.set_reason(Reason::corrupt);
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

// is_right tells whether all of a member came out, of the size and with the checksum that the tables state.
bool is_right(const ZipMember& member, std::string_view bytes) {
  return !member.truncated && (!member.crc_known || (bytes.size() == member.size && checksum(bytes) == member.crc));
}

void read_member(const ZipMember& member, Unpack& unpack) {
  unpack.begin();
  if (member.method == 8) return inflate_member(member, unpack);
  if (member.method == 93) {
    decode_stream(member.data, ARCHIVE_FILTER_ZSTD, unpack);
  } else {
    read_by_archive(member, unpack);
  }
  if (!is_right(member, unpack.bytes())) unpack.set_reason(Reason::corrupt);
}

void read_members(Context& context, ZipDirectory& directory) {
  // A document's own parts are no leaves, if its reader has read them.
  const bool office = std::ranges::any_of(context.leaf().types, is_office);
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
        if (office && member.own) continue;
        const bool right = member.own || is_right(member, member.data);
        more = unpack.give_view(member.data, member.name, right ? Reason::none : Reason::corrupt);
      } else if (member.method == 8 || member.method == 93 || is_read_by_archive(member.method)) {
        // What it unpacks to counts here as well, so that limits are the same whoever read it.
        if (office && member.own && unpack.count(member.size)) continue;
        read_member(member, unpack);
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

// read_document reads the parts of a document before its members, so that what it inflated and found right need not be
// inflated again. Why it could not read some is told afterwards: what hides members comes first.
Reason read_document(Context& context, ZipDirectory& directory) {
  Leaf& leaf = context.leaf();
  const Reason before = std::exchange(leaf.reason, Reason::none);
  try {
    read_zip_document(context, directory);
  } catch (const std::bad_alloc&) {
    context.fail(Reason::memory);
  } catch (const std::exception&) {
    context.fail(Reason::corrupt);
  }
  return std::exchange(leaf.reason, before);
}

}  // namespace

void read_zip(Context& context) {
  if (is_xml_document(context.bytes())) return;  // a flat document has its archive's type
  Leaf& leaf = context.leaf();
  const size_t most = size_t{context.budget().limits().members} + 1;
  ZipDirectory directory = read_zip_directory(context.bytes(), most, &context.budget());
  if (directory.inconsistent) context.mark(Mark::inconsistent);
  if (directory.damaged) context.fail(Reason::corrupt);
  if (directory.late) context.fail(Reason::time);
  const bool document = leaf.is(FileType::zip) || std::ranges::any_of(leaf.types, is_office);
  const Reason unread = document ? read_document(context, directory) : Reason::none;
  const bool whole = leaf.protection == Protection::yes;  // the document's, which all its parts are behind
  if (directory.overlaps > kOverlaps) {
    context.fail(Reason::overlap);
  } else {
    read_members(context, directory);
  }
  if (whole) leaf.protection = Protection::yes;
  if (unread != Reason::none) context.fail(unread);
}

}  // namespace postern::scan::worker

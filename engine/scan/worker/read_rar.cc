// SPDX-License-Identifier: Apache-2.0
// RAR 4 and 5: the headers are walked here, because what libarchive says of encryption is wrong for RAR 5 (it hands out
// encrypted bytes as content); contents are read by it. Headers: the technical notes of unrar, and rar's "RAR 5.0
// archive format".
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "engine/scan/worker/archive_reader.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kRar4 = "Rar!\x1a\x07\0"sv;
constexpr std::string_view kRar5 = "Rar!\x1a\x07\x01\0"sv;

struct RarMember {
  std::string_view name;
  uint64_t size = 0;
  bool encrypted = false;
  bool directory = false;
  bool old = false;    // packed as before RAR 2.9, which libarchive does not read
  bool split = false;  // goes on in, or came from, another volume
};

struct RarHeaders {
  std::vector<RarMember> members;
  bool encrypted = false;  // the headers themselves
  bool broken = false;
  bool cut = false;
  bool volume = false;  // more members are in other files
};

// A variable-length number of RAR 5; nullopt when it does not end.
std::optional<uint64_t> read_number(std::string_view bytes, uint64_t& at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 63 && at < bytes.size(); shift += 7) {
    const uint8_t byte = byte_at(bytes, at++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

// The extra area of a header: records of a size, a type and what belongs to it. Type 1 of a file is its encryption.
bool has_encryption_record(std::string_view extra) {
  uint64_t at = 0;
  while (at < extra.size()) {
    const std::optional<uint64_t> size = read_number(extra, at);
    if (!size || *size > extra.size() - at) return false;
    const uint64_t next = at + *size;
    const std::optional<uint64_t> type = read_number(extra, at);
    if (type == 1) return true;
    if (next <= at) return false;
    at = next;
  }
  return false;
}

RarHeaders walk5(std::string_view bytes, size_t most) {
  RarHeaders out;
  uint64_t at = kRar5.size();
  while (at + 7 <= bytes.size()) {
    uint64_t field = at + 4;
    const std::optional<uint64_t> size = read_number(bytes, field);
    if (!size || *size == 0 || *size > bytes.size() - field) {
      out.broken = true;
      return out;
    }
    const uint64_t end = field + *size;
    const std::string_view header = bytes.substr(0, end);
    const std::optional<uint64_t> type = read_number(header, field);
    const std::optional<uint64_t> flags = read_number(header, field);
    std::optional<uint64_t> extra = 0;
    std::optional<uint64_t> data = 0;
    if (flags && (*flags & 1) != 0) extra = read_number(header, field);
    if (flags && (*flags & 2) != 0) data = read_number(header, field);
    if (!type || !flags || !extra || !data || *extra > *size) {
      out.broken = true;
      return out;
    }
    if (*type == 4) {
      out.encrypted = true;
      return out;
    }
    if (*type == 1) {
      const std::optional<uint64_t> archive = read_number(header, field);
      out.volume |= archive && (*archive & 1) != 0;
    }
    if (*type == 2) {
      RarMember member;
      const std::optional<uint64_t> file = read_number(header, field);
      const std::optional<uint64_t> unpacked = read_number(header, field);
      read_number(header, field);
      if (file && (*file & 2) != 0) field += 4;
      if (file && (*file & 4) != 0) field += 4;
      read_number(header, field);
      read_number(header, field);
      const std::optional<uint64_t> length = read_number(header, field);
      member.name = length ? slice(header, field, *length) : ""sv;
      member.size = unpacked.value_or(0);
      member.directory = file && (*file & 1) != 0;
      member.split = (*flags & 0x18) != 0;
      member.encrypted = has_encryption_record(header.substr(end - *extra));
      if (out.members.size() >= most) {
        out.cut = true;
        return out;
      }
      out.members.push_back(member);
    }
    if (*type == 5) return out;
    if (*data > bytes.size() - end) {
      out.broken = true;
      return out;
    }
    at = end + *data;
  }
  return out;
}

RarHeaders walk4(std::string_view bytes, size_t most) {
  RarHeaders out;
  uint64_t at = kRar4.size();
  while (at + 7 <= bytes.size()) {
    const uint8_t type = byte_at(bytes, at + 2);
    const uint32_t flags = little16(bytes, at + 3);
    const uint64_t size = little16(bytes, at + 5);
    if (size < 7) {
      out.broken = true;
      return out;
    }
    if (type == 0x73) {
      if ((flags & 0x80) != 0) {
        out.encrypted = true;
        return out;
      }
      out.volume |= (flags & 1) != 0;
    }
    uint64_t data = (flags & 0x8000) != 0 || type == 0x74 ? little32(bytes, at + 7) : 0;
    if (type == 0x74) {
      RarMember member;
      member.size = little32(bytes, at + 11);
      uint64_t name = at + 32;
      if ((flags & 0x100) != 0) {
        data |= static_cast<uint64_t>(little32(bytes, at + 32)) << 32;
        name += 8;
      }
      member.name = slice(bytes, name, little16(bytes, at + 26));
      member.name = member.name.substr(0, member.name.find('\0'));
      member.encrypted = (flags & 4) != 0;
      member.split = (flags & 3) != 0;
      member.old = byte_at(bytes, at + 24) < 29 && byte_at(bytes, at + 25) > 0x30;
      member.directory = (flags & 0xe0) == 0xe0;
      if (out.members.size() >= most) {
        out.cut = true;
        return out;
      }
      out.members.push_back(member);
    }
    if (type == 0x7b) return out;
    if (data > bytes.size() || size + data > bytes.size() - at) {
      out.broken = true;
      return out;
    }
    at += size + data;
  }
  return out;
}

// read_contents gives the members that need no password. Its entries and `headers` are the same files in the same
// order; should they not be, what is left is not taken for read.
void read_contents(Context& context, std::string_view bytes, const RarHeaders& headers, bool five, Unpack& unpack) {
  ArchiveReader reader(five ? archive_read_support_format_rar5 : archive_read_support_format_rar);
  if (!reader.open(bytes)) return context.fail(Reason::corrupt);
  for (const RarMember& member : headers.members) {
    archive_entry* entry = nullptr;
    const int state = reader.next(entry);
    if (state == ARCHIVE_EOF) return context.fail(Reason::corrupt);
    if (state < ARCHIVE_WARN) return context.fail(reader.reason());
    if (context.budget().expired()) return context.fail(Reason::time);
    // Not by the mode, which other programs do not look at.
    if (member.directory) continue;
    const std::string name = entry_name(entry);
    if (member.encrypted) {
      if (!unpack.unread(name, member.size, Reason::password, Protection::yes)) return;
      continue;
    }
    unpack.begin();
    if (member.split) unpack.set_reason(Reason::partial);
    if (member.old) unpack.set_reason(Reason::unsupported);
    if (!member.split && !member.old) {
      if (!five && is_false_link(entry)) unpack.set_reason(Reason::unsupported);
      reader.read(unpack);
    }
    const Reason lost = unpack.reason();
    if (!unpack.give(name)) return;
    if (reader.dead()) return context.fail(lost);
  }
}

}  // namespace

void read_rar(Context& context) {
  std::string_view bytes = context.bytes();
  if (bytes.starts_with("RE~^")) return context.fail(Reason::unsupported);
  const size_t start = find_rar(bytes);
  if (start == std::string_view::npos && !bytes.starts_with("Rar!")) return context.fail(Reason::corrupt);
  if (start != std::string_view::npos) bytes.remove_prefix(start);
  const bool five = bytes.starts_with(kRar5);
  const size_t most = size_t{context.budget().limits().members} + 1;
  const RarHeaders headers = five ? walk5(bytes, most) : walk4(bytes, most);
  Unpack unpack(context);
  if (headers.encrypted) {
    context.leaf().protection = Protection::yes;
    unpack.unread("", 0, Reason::password, Protection::yes);
    return;
  }
  if (headers.broken) context.fail(Reason::corrupt);
  if (headers.volume) context.fail(Reason::partial);
  if (headers.cut) context.fail(Reason::members);
  bool any_plain = false;
  for (const RarMember& member : headers.members) {
    if (member.directory) continue;
    unpack.count_protection(member.encrypted);
    any_plain |= !member.encrypted;
  }
  unpack.settle_protection();
  if (any_plain) {
    read_contents(context, bytes, headers, five, unpack);
    return;
  }
  for (const RarMember& member : headers.members) {
    if (member.directory) continue;
    if (!unpack.unread(member.name, member.size, Reason::password, Protection::yes)) return;
  }
}

size_t find_rar(std::string_view bytes) {
  constexpr uint64_t kMostSummed = 16u << 20;
  constexpr size_t kHeader = 2u << 20;  // longer ones are none
  constexpr std::string_view kMark = "Rar!\x1a\x07"sv;
  uint64_t summed = 0;
  for (size_t at = bytes.find(kMark); at != std::string_view::npos; at = bytes.find(kMark, at + 1)) {
    uint64_t begin = 0;
    uint64_t size = 0;
    const bool five = has(bytes, at, kRar5);
    if (five) {
      begin = at + kRar5.size() + 4;
      uint64_t field = begin;
      const std::optional<uint64_t> stated = read_number(bytes, field);
      if (!stated || *stated > std::min<uint64_t>(bytes.size() - field, kHeader)) continue;
      size = field + *stated - begin;
    } else if (has(bytes, at, kRar4)) {
      begin = at + kRar4.size() + 2;
      size = std::max<uint64_t>(little16(bytes, begin + 3), 2) - 2;
      if (byte_at(bytes, begin) != 0x73) continue;
    } else {
      continue;
    }
    const std::string_view covered = slice(bytes, begin, size);
    // Marks without end, each before a header as long as may be: what took that trouble is taken at its word.
    summed += covered.size();
    if (summed > kMostSummed) return at;
    const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(covered.data()), static_cast<uInt>(covered.size()));
    if (five ? crc == little32(bytes, begin - 4) : (crc & 0xffff) == little16(bytes, begin - 2)) return at;
  }
  return std::string_view::npos;
}

}  // namespace postern::scan::worker

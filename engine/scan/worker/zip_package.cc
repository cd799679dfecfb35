// SPDX-License-Identifier: Apache-2.0
// Members of a zip file, by its central directory or else by local headers.
#include "engine/scan/worker/zip_package.h"

#include <zlib.h>

#include <algorithm>

#include "engine/base/text.h"
#include "engine/scan/worker/octets.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMembers = 20000;

// Inflater is raw deflate with its state freed.
struct Inflater {
  z_stream stream{};
  bool good = false;
  Inflater() { good = inflateInit2(&stream, -MAX_WBITS) == Z_OK; }
  ~Inflater() {
    if (good) inflateEnd(&stream);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

}  // namespace

std::optional<ZipPackage> ZipPackage::open(std::string_view bytes) {
  ZipPackage package(bytes);
  if (!package.read_directory()) {
    package.members_.clear();
    package.without_directory_ = true;
    package.read_headers();
  }
  if (package.members_.empty()) return std::nullopt;
  return package;
}

bool ZipPackage::read_directory() {
  const size_t from = bytes_.size() > 65557 ? bytes_.size() - 65557 : 0;
  const size_t found = bytes_.substr(from).rfind("PK\x05\x06"sv);
  if (found == std::string_view::npos) return false;
  const size_t end = from + found;
  uint64_t count = le16(bytes_, end + 10);
  uint64_t size = le32(bytes_, end + 12);
  uint64_t start = le32(bytes_, end + 16);
  if ((count == 0xffff || start == 0xffffffff || size == 0xffffffff) && end >= 20 &&
      piece(bytes_, end - 20, 4) == "PK\x06\x07"sv) {
    const uint64_t wide = le64(bytes_, end - 12);
    if (piece(bytes_, wide, 4) == "PK\x06\x06"sv) {
      count = le64(bytes_, wide + 32);
      size = le64(bytes_, wide + 40);
      start = le64(bytes_, wide + 48);
    }
  }
  // What stands before the archive shifts all places.
  uint64_t shift = 0;
  if (piece(bytes_, start, 4) != "PK\x01\x02"sv && size <= end) {
    shift = end - size - start;
    start = end - size;
  }
  uint64_t at = start;
  for (uint64_t i = 0; i < count && members_.size() < kMembers; ++i) {
    const std::string_view row = piece(bytes_, at);
    if (!row.starts_with("PK\x01\x02"sv) || row.size() < 46) return !members_.empty();
    PackageMember member;
    const size_t name = le16(row, 28), extra = le16(row, 30), comment = le16(row, 32);
    member.encrypted = (le16(row, 8) & 1) != 0;
    member.method = le16(row, 10);
    member.packed = le32(row, 20);
    member.size = le32(row, 24);
    member.place = le32(row, 42);
    member.name = std::string(piece(row, 46, name));
    const std::string_view extras = piece(row, 46 + name, extra);
    for (size_t k = 0; k + 4 <= extras.size(); k += 4 + le16(extras, k + 2)) {
      if (le16(extras, k) != 1) continue;
      size_t field = k + 4;
      for (uint64_t* value : {&member.size, &member.packed, &member.place}) {
        if (*value != 0xffffffff) continue;
        *value = le64(extras, field);
        field += 8;
      }
    }
    member.place += shift;
    members_.push_back(std::move(member));
    at += 46 + name + extra + comment;
  }
  return !members_.empty();
}

void ZipPackage::read_headers() {
  size_t at = bytes_.find("PK\x03\x04"sv);
  while (at != std::string_view::npos && members_.size() < kMembers) {
    const std::string_view row = bytes_.substr(at);
    if (row.size() < 30) return;
    PackageMember member;
    const size_t name = le16(row, 26), extra = le16(row, 28);
    member.encrypted = (le16(row, 6) & 1) != 0;
    member.method = le16(row, 8);
    member.packed = le32(row, 18);
    member.size = le32(row, 22);
    member.place = at;
    member.name = std::string(piece(row, 30, name));
    const size_t begin = at + 30 + name + extra;
    const size_t next = bytes_.find(
        "PK\x03\x04"sv,
        std::min(bytes_.size(), begin + static_cast<size_t>(std::min<uint64_t>(member.packed, bytes_.size()))));
    // Where the size comes after the data, deflate knows its own end.
    if (member.packed == 0 || (le16(row, 6) & 8) != 0)
      member.packed = (next == std::string_view::npos ? bytes_.size() : next) - std::min(begin, bytes_.size());
    if (begin <= bytes_.size()) members_.push_back(std::move(member));
    at = next;
  }
}

const PackageMember* ZipPackage::find(std::string_view name) const {
  if (name.starts_with('/')) name.remove_prefix(1);
  for (const PackageMember& member : members_) {
    std::string_view other = member.name;
    if (other.starts_with('/')) other.remove_prefix(1);
    if (base::iequals(other, name)) return &member;
  }
  return nullptr;
}

std::string_view ZipPackage::data(const PackageMember& member) const {
  const std::string_view row = piece(bytes_, member.place, 30);
  if (!row.starts_with("PK\x03\x04"sv)) return {};
  return piece(bytes_, member.place + 30 + le16(row, 26) + le16(row, 28), member.packed);
}

Reason ZipPackage::inflate(const PackageMember& member, Budget& budget,
                           const std::function<bool(std::string_view)>& take) const {
  if (member.encrypted) return Reason::password;
  std::string_view packed = data(member);
  const bool cut = packed.size() < member.packed;
  uint64_t out = 0;
  const uint64_t in = packed.size();
  if (member.method == 0) {
    while (!packed.empty()) {
      const std::string_view now = packed.substr(0, 65536);
      packed.remove_prefix(now.size());
      if (const Reason reason = budget.out(now.size(), out, in); reason != Reason::none) return reason;
      out += now.size();
      if (!take(now)) return Reason::none;
    }
    return cut ? Reason::corrupt : Reason::none;
  }
  if (member.method != 8) return Reason::unsupported;
  Inflater inflater;
  if (!inflater.good) return Reason::memory;
  z_stream& stream = inflater.stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  char buffer[32768];
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    const size_t got = sizeof buffer - stream.avail_out;
    if (const Reason reason = budget.out(got, out, in); reason != Reason::none) return reason;
    out += got;
    if (got > 0 && !take({buffer, got})) return Reason::none;
    if (status == Z_STREAM_END) return Reason::none;
    if (status != Z_OK || got == 0) return Reason::corrupt;
  }
}

std::string ZipPackage::read(const PackageMember& member, Budget& budget, size_t most) const {
  std::string out;
  inflate(member, budget, [&](std::string_view bytes) {
    out.append(bytes.substr(0, most - out.size()));
    return out.size() < most;
  });
  return out;
}

}  // namespace postern::scan::worker

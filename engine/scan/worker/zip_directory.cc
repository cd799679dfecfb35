// SPDX-License-Identifier: Apache-2.0
// The tables of a ZIP file and the holes between its members.
#include "engine/scan/worker/zip_directory.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/filetype.h"

namespace postern::scan::worker {
namespace {

constexpr std::string_view kLocal = "PK\x03\x04";
constexpr std::string_view kCentral = "PK\x01\x02";
constexpr std::string_view kEnd = "PK\x05\x06";
constexpr std::string_view kEnd64 = "PK\x06\x06";
constexpr std::string_view kLocator64 = "PK\x06\x07";
constexpr std::string_view kDescriptor = "PK\x07\x08";
constexpr uint64_t kLocalSize = 30;
constexpr uint64_t kCentralSize = 46;
constexpr uint64_t kEndSize = 22;
constexpr uint32_t kUnknown32 = 0xffffffff;
// A comment of 64 KiB, and what some programs append behind it.
constexpr size_t kTail = (64u << 10) + 4096;
// More ends than this are no accident, and the last ones are what programs look at.
constexpr size_t kMostEnds = 8;
// What may come out while the end of an unlabelled member is looked for.
constexpr uint64_t kMostProbe = 64ull << 20;

struct End {
  uint64_t at = 0;
  uint64_t entries = 0;
  uint64_t size = 0;
  uint64_t offset = 0;
  bool doubtful = false;  // its fields do not fit each other
};

// last_end is the last mark of an end of central directory that begins before `before`, by memrchr, since most of the
// tail of a large file is looked at for others.
size_t last_end(std::string_view bytes, size_t before) {
  while (before > 0) {
    const void* found = ::memrchr(bytes.data(), kEnd.front(), before);
    if (found == nullptr) return std::string_view::npos;
    before = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (has(bytes, before, kEnd)) return before;
  }
  return std::string_view::npos;
}

std::vector<End> find_ends(std::string_view bytes) {
  std::vector<End> ends;
  const size_t floor = bytes.size() > kTail ? bytes.size() - kTail : 0;
  const std::string_view tail = bytes.substr(floor);
  size_t before = tail.size();
  while (ends.size() < kMostEnds) {
    const size_t found = last_end(tail, before);
    if (found == std::string_view::npos) break;
    before = found;
    const size_t at = floor + found;
    End end;
    end.at = at;
    end.entries = little16(bytes, at + 10);
    end.size = little32(bytes, at + 12);
    end.offset = little32(bytes, at + 16);
    end.doubtful = at + kEndSize + little16(bytes, at + 20) != bytes.size() || little16(bytes, at + 8) != end.entries;
    const bool wants64 = end.entries == 0xffff || end.size == kUnknown32 || end.offset == kUnknown32;
    if (at >= 20 && has(bytes, at - 20, kLocator64)) {
      uint64_t at64 = little64(bytes, at - 12);
      if (!has(bytes, at64, kEnd64) && at >= 76) at64 = at - 76;
      if (has(bytes, at64, kEnd64)) {
        End wide = end;
        wide.entries = little64(bytes, at64 + 32);
        wide.size = little64(bytes, at64 + 40);
        wide.offset = little64(bytes, at64 + 48);
        wide.at = at64;
        wide.doubtful |= at64 + 12 + little64(bytes, at64 + 4) != at - 20;
        // Who does not know of the wide record reads the narrow one, which may tell another tale.
        if (!wants64 && (wide.entries != end.entries || wide.size != end.size || wide.offset != end.offset)) {
          wide.doubtful = true;
          ends.push_back(end);
        }
        end = wide;
      }
    }
    ends.push_back(end);
  }
  return ends;
}

// NextMark finds the next of one mark. Places that are asked for only grow, so that each byte is looked at once,
// however many members end at the same one; by memmem, which is as fast where a mark's first letter is everywhere.
class NextMark {
 public:
  NextMark(std::string_view bytes, std::string_view mark) : bytes_(bytes), mark_(mark) {}
  // next is where the mark stands at `at` or behind; npos when it does not.
  size_t next(size_t at) {
    if (searched_ && (found_ == std::string_view::npos || found_ >= at)) return found_;
    searched_ = true;
    const std::string_view rest = slice(bytes_, at);
    const void* found = rest.empty() ? nullptr : ::memmem(rest.data(), rest.size(), mark_.data(), mark_.size());
    found_ = found == nullptr ? std::string_view::npos
                              : static_cast<size_t>(static_cast<const char*>(found) - bytes_.data());
    return found_;
  }

 private:
  std::string_view bytes_;
  std::string_view mark_;
  size_t found_ = 0;
  bool searched_ = false;
};

// unicode_name is the name in an Info-ZIP Unicode Path field (header ID 0x7075), which is good as long as the name it
// was made for is still there; empty when there is none.
std::string_view unicode_name(const ZipMember& member) {
  for (uint64_t at = 0; at + 4 <= member.extra.size();) {
    const uint64_t length = little16(member.extra, at + 2);
    if (little16(member.extra, at) == 0x7075) {
      const std::string_view field = slice(member.extra, at + 4, length);
      const bool good = field.size() > 5 && byte_at(field, 0) == 1 && little32(field, 1) == checksum(member.name);
      return good ? field.substr(5) : std::string_view();
    }
    at += 4 + length;
  }
  return {};
}

// is_spelling tells whether a name is another only in another code page. What is ASCII stays so in every one; letters
// that are not, and those with an accent (U+0300 to U+036F) behind them, have others in their place, a question mark,
// or an escape.
bool is_spelling(std::string_view name, std::string_view unicode) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::ranges::all_of(unicode, is_ascii)) return name == unicode;
  size_t at = 0;
  for (size_t i = 0; i < unicode.size(); ++i) {
    if (!is_ascii(unicode[i]) || byte_at(unicode, i + 1) == 0xcc || byte_at(unicode, i + 1) == 0xcd) continue;
    at = name.find(unicode[i], at);
    if (at == std::string_view::npos) return false;
    ++at;
  }
  return type_of_extension(plain_name(name)) == type_of_extension(plain_name(unicode));
}

class Walk {
 public:
  Walk(std::string_view bytes, size_t most, const Budget* budget) : bytes_(bytes), most_(most), budget_(budget) {}

  ZipDirectory run() {
    const std::vector<End> ends = find_ends(bytes_);
    // An end inside another's directory or comment is worth a look, but only one directory that leads somewhere is
    // ordinary. One inside a member is an archive in the archive, which is found when the member is looked into.
    size_t used = 0;
    for (const End& end : ends) {
      if (used == 1 && !out_.inconsistent && is_in_member(end.at)) continue;
      const size_t before = out_.members.size();
      read_central(end);
      if (out_.members.size() > before) ++used;
      out_.inconsistent |= end.doubtful && (used > 0 || end.entries == 0) && &end == &ends.front();
    }
    out_.central = !ends.empty();
    for (const ZipMember& member : out_.members) out_.inconsistent |= has_odd_extra(member.extra);
    out_.inconsistent |= used > 1;
    match_local();
    count_overlaps();
    read_gaps();
    read_unicode_names();
    // Without a directory only readers of streams find anything.
    if (!out_.central && !out_.members.empty()) out_.inconsistent = true;
    return std::move(out_);
  }

 private:
  bool full() {
    if (out_.members.size() < most_) return false;
    out_.cut = true;
    return true;
  }

  // late asks the clock now and then.
  bool late() {
    if (budget_ != nullptr && ++steps_ % 256 == 0) out_.late |= budget_->expired();
    return out_.late;
  }

  void read_central(const End& end) {
    // Where the directory says it is, and where it must be when something was put before the whole file.
    std::array<std::pair<uint64_t, uint64_t>, 2> starts = {std::pair{end.offset, uint64_t{0}},
                                                           std::pair{end.offset, uint64_t{0}}};
    size_t count = 1;
    if (end.size <= end.at && end.at - end.size != end.offset && end.at - end.size > end.offset) {
      starts[1] = {end.at - end.size, end.at - end.size - end.offset};
      count = 2;
    }
    bool any = false;
    for (size_t i = 0; i < count; ++i) {
      const auto [start, shift] = starts[i];
      if (!has(bytes_, start, kCentral) || seen_central(start)) continue;
      if (any) out_.inconsistent = true;
      any = true;
      central_begin_.push_back(start);
      uint64_t at = start;
      uint64_t entries = 0;
      while (has(bytes_, at, kCentral) && !full() && !late()) {
        at = read_central_entry(at, shift);
        ++entries;
      }
      central_end_.push_back(at);
      if (!out_.cut && (entries != end.entries || at != start + end.size)) out_.inconsistent = true;
    }
    if (!any && end.entries > 0) {
      out_.inconsistent = true;
      out_.damaged |= !seen_central(end.offset);
    }
  }

  // is_in_member tells whether a place is in the bytes of a member that the directories and its local header place
  // there.
  bool is_in_member(uint64_t at) const {
    for (size_t i = 0; i < out_.members.size(); ++i) {
      const ZipMember& member = out_.members[i];
      if (member.header >= at || !has(bytes_, member.header, kLocal)) continue;
      const Local local = read_local(member.header);
      if (local.member.method == member.method && at >= local.data && at - local.data < packed_[i]) return true;
    }
    return false;
  }

  bool seen_central(uint64_t start) const {
    for (size_t i = 0; i < central_end_.size(); ++i) {
      if (start >= central_begin_[i] && start < central_end_[i]) return true;
    }
    return false;
  }

  uint64_t read_central_entry(uint64_t at, uint64_t shift) {
    ZipMember member;
    member.flags = little16(bytes_, at + 8);
    member.method = little16(bytes_, at + 10);
    member.crc = little32(bytes_, at + 16);
    uint64_t packed = little32(bytes_, at + 20);
    member.size = little32(bytes_, at + 24);
    const uint64_t name = little16(bytes_, at + 28);
    const uint64_t extra = little16(bytes_, at + 30);
    const uint64_t comment = little16(bytes_, at + 32);
    uint64_t header = little32(bytes_, at + 42);
    member.name = slice(bytes_, at + kCentralSize, name);
    member.extra = slice(bytes_, at + kCentralSize + name, extra);
    widen(member.extra, member.size, packed, &header);
    member.header = header + shift;
    member.central = true;
    const uint64_t next = at + kCentralSize + name + extra + comment;
    if (next > bytes_.size()) {
      out_.damaged = true;
      out_.inconsistent = true;
    }
    packed_.push_back(packed);
    out_.members.push_back(member);
    return next;
  }

  // The Zip64 field of an entry, header ID 1: the numbers that did not fit, in order.
  static void widen(std::string_view extra, uint64_t& size, uint64_t& packed, uint64_t* header) {
    uint64_t at = 0;
    while (at + 4 <= extra.size()) {
      const uint32_t id = little16(extra, at);
      const uint64_t length = little16(extra, at + 2);
      if (id == 1) {
        uint64_t field = at + 4;
        const uint64_t end = std::min<uint64_t>(extra.size(), at + 4 + length);
        const auto take = [&](uint64_t& value) {
          if (value != kUnknown32 || field + 8 > end) return;
          value = little64(extra, field);
          field += 8;
        };
        take(size);
        take(packed);
        if (header != nullptr) take(*header);
        return;
      }
      at += 4 + length;
    }
  }

  // has_odd_extra tells whether extra fields overrun their place, or one is given twice, so that readers choose. Zeros
  // that align what follows are no fields.
  static bool has_odd_extra(std::string_view extra) {
    uint64_t at = 0;
    std::vector<uint32_t> ids;
    while (at + 4 <= extra.size() && ids.size() < 64) {
      const uint32_t id = little16(extra, at);
      const uint64_t length = little16(extra, at + 2);
      at += 4 + length;
      if (id == 0) continue;
      if (at > extra.size() || std::ranges::find(ids, id) != ids.end()) return true;
      ids.push_back(id);
    }
    return false;
  }

  // descriptor_fits tells whether the record behind streamed data says what the directory says; one may be missing.
  bool descriptor_fits(const ZipMember& member, uint64_t at, uint64_t packed) const {
    uint64_t field = at;
    if (has(bytes_, at, kDescriptor)) field += 4;
    const bool narrow = little32(bytes_, field + 4) == (packed & UINT32_MAX) &&
                        little32(bytes_, field + 8) == (member.size & UINT32_MAX);
    const bool wide = little64(bytes_, field + 4) == packed && little64(bytes_, field + 12) == member.size;
    return little32(bytes_, field) == member.crc && (narrow || wide);
  }

  struct Local {
    ZipMember member;
    uint64_t packed = 0;
    uint64_t data = 0;
  };

  Local read_local(uint64_t at) const {
    Local local;
    ZipMember& member = local.member;
    member.header = at;
    member.flags = little16(bytes_, at + 6);
    member.method = little16(bytes_, at + 8);
    member.crc = little32(bytes_, at + 14);
    local.packed = little32(bytes_, at + 18);
    member.size = little32(bytes_, at + 22);
    const uint64_t name = little16(bytes_, at + 26);
    const uint64_t extra = little16(bytes_, at + 28);
    member.name = slice(bytes_, at + kLocalSize, name);
    member.extra = slice(bytes_, at + kLocalSize + name, extra);
    widen(member.extra, member.size, local.packed, nullptr);
    local.data = at + kLocalSize + name + extra;
    return local;
  }

  void set_data(ZipMember& member, uint64_t data, uint64_t packed) const {
    member.data = slice(bytes_, data, packed);
    member.truncated = member.data.size() < packed;
  }

  // match_local looks at the local header of each entry of the directory. Where it tells another tale that changes what
  // comes out, there are two members.
  void match_local() {
    const size_t count = out_.members.size();
    for (size_t i = 0; i < count && !late(); ++i) {
      const uint64_t header = out_.members[i].header;
      if (!has(bytes_, header, kLocal)) {
        out_.members[i].readable = false;
        out_.inconsistent = true;
        continue;
      }
      const Local local = read_local(header);
      ZipMember& member = out_.members[i];
      set_data(member, local.data, packed_[i]);
      taken_.emplace_back(header, local.data + member.data.size());
      const bool streamed = (local.member.flags & 8) != 0;
      if (streamed && !member.truncated && !descriptor_fits(member, local.data + packed_[i], packed_[i])) {
        out_.inconsistent = true;
      }
      out_.inconsistent |= has_odd_extra(local.member.extra);
      const bool sizes = streamed && local.packed == 0 && local.member.size == 0
                             ? false
                             : local.packed != packed_[i] || local.member.size != member.size;
      const bool crc = local.member.crc != member.crc && !(streamed && local.member.crc == 0);
      const bool method = local.member.method != member.method || local.member.encrypted() != member.encrypted();
      const bool name = local.member.name != member.name || other_unicode_name(local.member, member);
      if (!sizes && !crc && !method && !name && (member.flags & 8) == (local.member.flags & 8)) continue;
      out_.inconsistent = true;
      if (!method && !name && (!sizes || local.packed == packed_[i])) continue;
      if (full()) continue;
      ZipMember other = local.member;
      set_data(other, local.data, sizes || method ? local.packed : packed_[i]);
      if (streamed && local.packed == 0) set_data(other, local.data, packed_[i]);
      other.crc_known = !streamed;
      out_.members.push_back(other);
    }
  }

  // other_unicode_name tells whether a local header gives a member a name that its entry in the directory does not.
  static bool other_unicode_name(const ZipMember& local, const ZipMember& entry) {
    const std::string_view unicode = unicode_name(local);
    return !unicode.empty() && unicode != unicode_name(entry) && !is_spelling(local.name, unicode);
  }

  // read_unicode_names gives members the names that archive programs show. Where that is not the same name in another
  // code page, some will call the member one thing and some another, and there are two.
  void read_unicode_names() {
    const size_t count = out_.members.size();
    for (size_t i = 0; i < count && !late(); ++i) {
      const std::string_view unicode = unicode_name(out_.members[i]);
      if (unicode.empty() || unicode == out_.members[i].name) continue;
      if (is_spelling(out_.members[i].name, unicode)) {
        out_.members[i].name = unicode;
        continue;
      }
      out_.inconsistent = true;
      if (full()) continue;
      ZipMember other = out_.members[i];
      other.name = unicode;
      other.central = false;
      out_.members.push_back(other);
    }
  }

  void count_overlaps() {
    std::ranges::sort(taken_);
    uint64_t end = 0;
    for (const auto& [begin, stop] : taken_) {
      if (begin < end) ++out_.overlaps;
      end = std::max(end, stop);
    }
  }

  // read_gaps looks for members where the directories know of none.
  void read_gaps() {
    for (size_t i = 0; i < central_begin_.size(); ++i) taken_.emplace_back(central_begin_[i], central_end_[i]);
    std::ranges::sort(taken_);
    std::vector<std::pair<uint64_t, uint64_t>> gaps;
    uint64_t end = 0;
    for (const auto& [begin, stop] : taken_) {
      if (begin > end) gaps.emplace_back(end, begin);
      end = std::max(end, stop);
    }
    gaps.emplace_back(end, bytes_.size());
    for (const auto& [begin, stop] : gaps) {
      if (begin < stop) read_gap(begin, stop);
    }
  }

  void read_gap(uint64_t begin, uint64_t stop) {
    uint64_t at = begin;
    while (true) {
      const size_t found = next_local_.next(at);
      if (found == std::string_view::npos || found + kLocal.size() > stop || full() || late()) return;
      Local local = read_local(found);
      ZipMember& member = local.member;
      // Four bytes may stand anywhere by chance: a header has a name and a version that exist.
      if (member.name.empty() || little16(bytes_, found + 4) % 256 > 90 || local.data > stop) {
        at = found + kLocal.size();
        continue;
      }
      const bool streamed = (member.flags & 8) != 0;
      if (streamed && local.packed == 0) {
        local.packed = find_end(local.data, stop, member.method);
        member.crc_known = false;
      }
      set_data(member, local.data, local.packed);
      if (out_.central) out_.inconsistent = true;
      out_.members.push_back(member);
      at = std::max<uint64_t>(found + kLocal.size(), local.data + member.data.size());
    }
  }

  // find_end tells how many bytes a member has that does not say: where its stream ends, or before the next record, or
  // all until `stop`.
  uint64_t find_end(uint64_t begin, uint64_t stop, uint32_t method) {
    if (method == 8) {
      Inflater inflater(slice(bytes_, begin, stop - begin), Inflater::Format::raw);
      std::array<char, 32768> sink;
      while (inflater.going() && probed_ < kMostProbe) probed_ += inflater.next(sink.data(), sink.size());
      if (inflater.ended()) return inflater.used();
    }
    for (NextMark* mark : {&next_descriptor_, &next_local_, &next_central_}) {
      stop = std::min<uint64_t>(stop, mark->next(begin));
    }
    return stop - begin;
  }

  std::string_view bytes_;
  size_t most_;
  const Budget* budget_;
  uint32_t steps_ = 0;
  NextMark next_descriptor_{bytes_, kDescriptor};
  NextMark next_local_{bytes_, kLocal};
  NextMark next_central_{bytes_, kCentral};
  ZipDirectory out_;
  std::vector<uint64_t> packed_;                      // of the central members, in their order
  std::vector<std::pair<uint64_t, uint64_t>> taken_;  // byte ranges that members and directories have
  std::vector<uint64_t> central_begin_;
  std::vector<uint64_t> central_end_;
  uint64_t probed_ = 0;
};

}  // namespace

bool is_zip(std::string_view bytes) {
  if (bytes.starts_with(kLocal) || bytes.starts_with(kEnd)) return true;
  // Spanned files begin with a mark of their own.
  if ((bytes.starts_with(kDescriptor) || bytes.starts_with("PK00")) && has(bytes, 4, kLocal)) return true;
  for (const End& end : find_ends(bytes)) {
    if (end.entries == 0) {
      if (end.size == 0 && end.at + kEndSize + little16(bytes, end.at + 20) == bytes.size() && end.at == 0) return true;
      continue;
    }
    if (has(bytes, end.offset, kCentral) || (end.size <= end.at && has(bytes, end.at - end.size, kCentral)))
      return true;
  }
  return false;
}

ZipDirectory read_zip_directory(std::string_view bytes, size_t most, const Budget* budget) {
  return Walk(bytes, most, budget).run();
}

std::span<ZipMember> ZipDirectory::listed() {
  const auto end = std::ranges::find(members, false, &ZipMember::central);
  const auto count = static_cast<size_t>(end - members.begin());
  return std::span(members).first(count == 0 ? members.size() : count);
}

ZipMember* ZipDirectory::find(std::string_view name) {
  if (name.starts_with('/')) name.remove_prefix(1);
  for (ZipMember& member : listed()) {
    if (base::iequals(member.name.substr(member.name.starts_with('/') ? 1 : 0), name)) return &member;
  }
  return nullptr;
}

uint32_t checksum(std::string_view bytes, uint32_t before) {
  return static_cast<uint32_t>(crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

MemberReader::MemberReader(const ZipMember& member) : member_(member) {
  if (member.encrypted() || !member.readable) return;
  if (member.method == 0) stored_ = member.data;
  if (member.method == 8) inflater_.emplace(member.data, Inflater::Format::raw);
}

size_t MemberReader::next(char* room, size_t size) {
  size_t got = 0;
  if (inflater_) {
    got = inflater_->next(room, size);
  } else {
    got = stored_.copy(room, size);
    stored_.remove_prefix(got);
  }
  size_ += got;
  crc_ = checksum({room, got}, crc_);
  return got;
}

Reason MemberReader::reason() const {
  if (member_.encrypted()) return Reason::password;
  if (!member_.readable) return Reason::corrupt;
  if (inflater_) return inflater_->reason();
  if (member_.method != 0) return Reason::unsupported;
  return member_.truncated ? Reason::corrupt : Reason::none;
}

bool MemberReader::right() const {
  if (going() || reason() != Reason::none || member_.truncated) return false;
  return !member_.crc_known || (size_ == member_.size && crc_ == member_.crc);
}

std::string inflate_head(const ZipMember& member, size_t most) {
  MemberReader reader(member);
  std::string out;
  std::array<char, 8192> piece;
  while (reader.going() && out.size() < most) {
    out.append(piece.data(), reader.next(piece.data(), std::min(piece.size(), most - out.size())));
  }
  return out;
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// ISO 9660 (ECMA-119) with Joliet and Rock Ridge names: directories are walked here, files are pieces of the image and
// cost nothing. An image may have several volume descriptors that show different files: each is walked.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/mime/charset.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/looked_at.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

constexpr uint64_t kSector = 2048;
constexpr int kDescriptors = 32;
constexpr int kDirectoryDepth = 64;
constexpr int kContinuations = 8;
constexpr size_t kDirectories = 20000;

// Iso is the image as its sectors are: 2048 bytes each, or raw ones of 2352 with a header before the content.
class Iso {
 public:
  Iso(Context& context)
      : context_(context),
        bytes_(context.bytes()),
        unpack_(context),
        walked_(context, bytes_.size()),
        files_(context, bytes_.size()) {}

  void read() {
    if (!has(bytes_, 32769, "CD001")) {
      // Raw sectors: contents are not in one piece.
      const uint64_t lead = has(bytes_, 37649, "CD001") ? 16 : 24;
      if (!unpack_raw(lead)) return context_.fail(unpack_.reason());
      bytes_ = raw_;
    }
    int shown = 0;
    // Joliet first: its names are the ones that Windows shows.
    for (const bool joliet : {true, false}) {
      for (int i = 0; i < kDescriptors; ++i) {
        const uint64_t at = 32768 + kSector * static_cast<uint64_t>(i);
        if (!has(bytes_, at + 1, "CD001")) break;
        const uint8_t kind = byte_at(bytes_, at);
        if (kind != (joliet ? 2 : 1)) continue;
        const uint64_t block = little16(bytes_, at + 128);
        block_ = block >= 512 && block <= 32768 ? block : kSector;
        wide_ = joliet && has(bytes_, at + 88, "%/");
        walk(at + 156);
        if (stopped_) return;
        ++shown;
      }
    }
    if (shown == 0) context_.fail(Reason::corrupt);
    if (shown > 1 && mismatch_) context_.mark(Mark::inconsistent);
  }

 private:
  bool unpack_raw(uint64_t lead) {
    unpack_.begin();
    for (uint64_t at = 0; at + lead < bytes_.size(); at += 2352) {
      if (!unpack_.append(slice(bytes_, at + lead, kSector))) return false;
    }
    raw_ = std::string(unpack_.bytes());
    unpack_.begin();
    return true;
  }

  struct Open {
    uint64_t at;
    uint64_t size;
    std::string path;
    int depth;
  };

  void walk(uint64_t root) {
    std::vector<Open> open = {{little32(bytes_, root + 2) * block_, little32(bytes_, root + 10), "", 0}};
    std::unordered_set<uint64_t> seen;
    walked_.again();
    while (!open.empty() && !stopped_) {
      const Open directory = std::move(open.back());
      open.pop_back();
      if (!seen.insert(directory.at).second) continue;
      if (seen.size() > kDirectories || directory.depth > kDirectoryDepth) {
        context_.fail(Reason::members);
        stopped_ = true;
        return;
      }
      read_directory(directory, open);
    }
  }

  bool spend(uint64_t bytes) {
    stopped_ |= !walked_.take(bytes);
    return !stopped_;
  }

  void read_directory(const Open& directory, std::vector<Open>& open) {
    uint64_t at = directory.at;
    const uint64_t end = std::min<uint64_t>(directory.at + directory.size, bytes_.size());
    if (directory.at + directory.size > bytes_.size()) context_.fail(Reason::corrupt);
    std::string joined;
    while (at < end && !stopped_) {
      const uint64_t length = byte_at(bytes_, at);
      if (length == 0) {
        // A record does not cross a sector; the rest of this one is empty.
        if (!spend(kSector - at % kSector)) return;
        at = (at / kSector + 1) * kSector;
        continue;
      }
      const std::string_view record = slice(bytes_, at, std::min<uint64_t>(length, end - at));
      at += length;
      if (!spend(length)) return;
      if (record.size() < 34) {
        context_.fail(Reason::corrupt);
        return;
      }
      const std::string_view identifier = slice(record, 33, byte_at(record, 32));
      if (identifier == std::string_view("\0", 1) || identifier == "\1") continue;
      std::string path = name_of(record, identifier);
      if (stopped_) return;
      // Where both are too long for a name, the file's own is the one that tells its type.
      if (directory.path.size() + path.size() <= kMaxName) path.insert(0, directory.path);
      const uint64_t begin = little32(record, 2) * block_ + byte_at(record, 1) * block_;
      const uint64_t size = little32(record, 10);
      const uint8_t flags = byte_at(record, 25);
      if ((flags & 2) != 0) {
        if (open.size() > kDirectories) {
          context_.fail(Reason::members);
          stopped_ = true;
          return;
        }
        open.push_back({begin, size, path.substr(0, kMaxName - 1) + "/", directory.depth + 1});
        continue;
      }
      if (!give(path, begin, size, (flags & 0x80) != 0, joined)) stopped_ = true;
    }
  }

  // Shown is how a file was handed over: as what its name called it.
  struct Shown {
    std::optional<FileType> type;
    std::string extension;
    bool wide;
  };

  // is_news tells whether a name tells more of the bytes than those they were handed over under: nothing but their name
  // makes a script of some. Names that were cut to three letters behind the dot tell less.
  bool is_news(const std::vector<Shown>& before, const Shown& name) const {
    if (before.empty()) return true;
    return name.type && std::ranges::none_of(before, [&](const Shown& each) {
             const bool cut = each.wide && !name.wide && name.extension.size() == 3;
             return each.type == name.type || (cut && each.extension.starts_with(name.extension));
           });
  }

  // give hands a file over once for each type that its names call it, whatever number of descriptors show it.
  bool give(const std::string& path, uint64_t begin, uint64_t size, bool more_extents, std::string& joined) {
    const std::string_view piece = slice(bytes_, begin, size);
    const Reason reason = piece.size() < size ? Reason::corrupt : Reason::none;
    if (more_extents || !joined.empty()) {
      if (joined.size() + piece.size() > context_.budget().limits().size) {
        joined.clear();
        return unpack_.unread(path, size, Reason::size);
      }
      if (!spend(piece.size())) return false;
      joined += piece;
      if (more_extents) return true;
      const bool more = unpack_.give_view(joined, path, reason);
      joined.clear();
      return more;
    }
    const std::string plain = plain_name(path);
    const size_t dot = plain.rfind('.');
    Shown name{type_of_extension(plain), dot == std::string::npos ? std::string() : plain.substr(dot + 1), wide_};
    std::vector<Shown>& before = given_[{begin, size}];
    if (size > 0 && !is_news(before, name)) return true;
    if (before.empty() && wide_seen_ && !wide_) mismatch_ = true;
    wide_seen_ |= wide_;
    before.push_back(std::move(name));
    if (!files_.take(piece.size())) return false;
    return unpack_.give_view(piece, path, reason);
  }

  std::string name_of(std::string_view record, std::string_view identifier) {
    if (wide_) {
      std::string name = mime::to_utf8(identifier, "utf-16be").utf8;
      return without_version(std::move(name));
    }
    // Rock Ridge: NM records behind the identifier, and where a CE record says they go on; a few times, as such records
    // may go round in circles.
    std::string name;
    std::string_view area = slice(record, 33 + identifier.size() + (identifier.size() % 2 == 0 ? 1 : 0), record.size());
    for (int hop = 0; hop < kContinuations && !area.empty(); ++hop) {
      std::string_view next;
      uint64_t at = 0;
      while (at + 4 <= area.size()) {
        const uint64_t length = byte_at(area, at + 2);
        if (length < 4) break;
        if (has(area, at, "NM") && length > 5 && name.size() < 4096) name += slice(area, at + 5, length - 5);
        if (has(area, at, "CE") && length >= 28) {
          next = slice(bytes_, little32(area, at + 4) * block_ + little32(area, at + 12), little32(area, at + 20));
        }
        at += length;
      }
      if (hop > 0 && !spend(at)) break;
      area = next;
    }
    return name.empty() ? without_version(std::string(identifier)) : name;
  }

  static std::string without_version(std::string name) {
    const size_t version = name.rfind(';');
    if (version != std::string::npos) name.resize(version);
    if (name.ends_with('.')) name.pop_back();
    return name;
  }

  Context& context_;
  std::string_view bytes_;
  Unpack unpack_;
  std::string raw_;
  LookedAt walked_;  // of directories, for one descriptor
  LookedAt files_;   // for all
  uint64_t block_ = kSector;
  bool wide_ = false;
  bool wide_seen_ = false;
  bool mismatch_ = false;
  bool stopped_ = false;
  std::map<std::pair<uint64_t, uint64_t>, std::vector<Shown>> given_;  // by where they are
};

}  // namespace

void read_iso(Context& context) { Iso(context).read(); }

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// OLE2 compound files ([MS-CFB]) by the streams that their root holds: a small bounded walk over the directory, for the
// names only.
#include <algorithm>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/filetype_parts.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kSignature = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"sv;
constexpr size_t kEntries = 20000;
constexpr uint64_t kEntry = 128;
constexpr uint32_t kNone = 0xffffffff;

class Directory {
 public:
  explicit Directory(std::string_view bytes) : bytes_(bytes) {
    shift_ = little16(bytes, 30);
    if (shift_ < 7 || shift_ > 16) shift_ = 9;
    read_chain();
  }

  // root_names returns the names of what is directly in the root, storages with a trailing slash.
  std::vector<std::u16string> root_names() const {
    std::vector<std::u16string> names;
    if (entries_.empty()) return names;
    std::vector<uint32_t> open = {little32(bytes_, entries_[0] + 76)};
    std::unordered_set<uint32_t> seen;
    while (!open.empty()) {
      const uint32_t index = open.back();
      open.pop_back();
      if (index >= entries_.size() || !seen.insert(index).second) continue;
      names.push_back(name(entries_[index]));
      open.push_back(little32(bytes_, entries_[index] + 68));
      open.push_back(little32(bytes_, entries_[index] + 72));
    }
    // A directory whose tree is damaged still has entries.
    if (names.empty()) {
      for (size_t i = 1; i < entries_.size(); ++i) names.push_back(name(entries_[i]));
    }
    return names;
  }

  std::string_view root_class() const { return entries_.empty() ? ""sv : slice(bytes_, entries_[0] + 80, 16); }

 private:
  uint64_t sector(uint32_t index) const { return (static_cast<uint64_t>(index) + 1) << shift_; }

  uint32_t next(uint32_t index) const {
    const uint32_t per_sector = (1u << shift_) / 4;
    const uint32_t table = index / per_sector;
    uint32_t where = kNone;
    if (table < 109) {
      where = little32(bytes_, 76 + 4ull * table);
    } else {
      // The rest of the table of tables is a chain of sectors of its own.
      uint32_t link = little32(bytes_, 68);
      uint32_t skip = table - 109;
      while (skip >= per_sector - 1 && sector(link) < bytes_.size()) {
        skip -= per_sector - 1;
        link = little32(bytes_, sector(link) + 4ull * (per_sector - 1));
      }
      where = little32(bytes_, sector(link) + 4ull * skip);
    }
    if (sector(where) >= bytes_.size()) return kNone;
    return little32(bytes_, sector(where) + 4ull * (index % per_sector));
  }

  void read_chain() {
    std::unordered_set<uint32_t> seen;
    for (uint32_t at = little32(bytes_, 48); sector(at) < bytes_.size() && entries_.size() < kEntries; at = next(at)) {
      if (!seen.insert(at).second) return;
      for (uint64_t i = 0; i < (1ull << shift_); i += kEntry) {
        // An entry that is not used keeps its number.
        entries_.push_back(sector(at) + i);
      }
    }
  }

  std::u16string name(uint64_t entry) const {
    const uint32_t length = std::min<uint32_t>(little16(bytes_, entry + 64), 64);
    std::u16string out;
    for (uint32_t i = 0; i + 2 < length; i += 2) out.push_back(static_cast<char16_t>(little16(bytes_, entry + i)));
    return out;
  }

  std::string_view bytes_;
  uint32_t shift_ = 9;
  std::vector<uint64_t> entries_;
};

// MSI packs two characters into one from this range.
bool is_msi_name(const std::u16string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char16_t c) { return c >= 0x3800 && c <= 0x4840; });
}

constexpr std::string_view kMsiClass = "\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"sv;
constexpr std::string_view kMstClass = "\x82\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"sv;
constexpr std::string_view kMspClass = "\x86\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"sv;

}  // namespace

void add_ole_types(std::string_view bytes, Found& found) {
  if (!bytes.starts_with(kSignature)) return;
  const Directory directory(bytes);
  const std::vector<std::u16string> names = directory.root_names();
  const auto any = [&](std::u16string_view name) { return std::ranges::find(names, name) != names.end(); };
  const auto starts = [&](std::u16string_view name) {
    return std::ranges::any_of(names, [&](const std::u16string& entry) { return entry.starts_with(name); });
  };
  const size_t before = found.types.size();
  if (directory.root_class() == kMsiClass || directory.root_class() == kMspClass ||
      directory.root_class() == kMstClass || std::ranges::count_if(names, is_msi_name) >= 3) {
    found.add(FileType::msi);
  }
  if (any(u"WordDocument")) found.add(FileType::doc);
  if (any(u"Workbook") || any(u"Book") || any(u"WORKBOOK") || any(u"BOOK")) found.add(FileType::xls);
  if (any(u"PowerPoint Document") || any(u"PP40") || any(u"PP97_DUALSTORAGE")) found.add(FileType::ppt);
  if (any(u"__properties_version1.0") || any(u"__nameid_version1.0")) found.add(FileType::msg);
  if (any(u"VisioDocument")) found.add(FileType::visio);
  if (any(u"Quill")) found.add(FileType::publisher);
  if (starts(u"   1") && starts(u"Props")) found.add(FileType::mpp);
  if (any(u"FileHeader") && (any(u"BodyText") || any(u"ViewText") || any(u"DocInfo"))) found.add(FileType::hwp);
  if (any(u"MatOST") || any(u"MM")) found.add(FileType::wps);
  if (found.types.size() == before) {
    found.add(FileType::ole);
    found.ask_magic = !any(u"EncryptedPackage");
  }
}

}  // namespace postern::scan::worker

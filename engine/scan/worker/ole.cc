// SPDX-License-Identifier: Apache-2.0
// Compound files: tables of sectors, the directory, chains; and the writer.
#include "engine/scan/worker/ole.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"

namespace postern::scan::worker {
namespace {

constexpr uint32_t kEndOfChain = 0xfffffffe;
constexpr uint32_t kFree = 0xffffffff;
constexpr uint32_t kNoEntry = 0xffffffff;
constexpr size_t kMaxEntries = 100000;

}  // namespace

std::optional<CompoundFile> CompoundFile::open(std::string_view bytes) {
  CompoundFile file(bytes);
  if (!file.load()) return std::nullopt;
  return file;
}

std::string_view CompoundFile::sector(uint32_t number) const {
  return slice(bytes_, (static_cast<uint64_t>(number) + 1) << shift_, 1ull << shift_);
}

bool CompoundFile::load() {
  if (!bytes_.starts_with(kCompoundFileMagic) || bytes_.size() < 512) return false;
  shift_ = little16(bytes_, 0x1e);
  mini_shift_ = little16(bytes_, 0x20);
  cutoff_ = little32(bytes_, 0x38);
  if (shift_ < 7 || shift_ > 16 || mini_shift_ < 3 || mini_shift_ >= shift_) return false;
  load_fat();
  if (!load_directory(little32(bytes_, 0x30))) return false;
  // The directory is there, so whatever else is wrong costs streams, not the file.
  const CompoundStream table = chain(little32(bytes_, 0x3c), UINT64_MAX, fat_, {});
  for (size_t at = 0; at + 4 <= table.bytes().size(); at += 4) mini_fat_.push_back(little32(table.bytes(), at));
  mini_ = chain(entries_[0].start, entries_[0].size, fat_, {});
  return true;
}

void CompoundFile::load_fat() {
  const uint64_t sectors = bytes_.size() >> shift_;
  const uint64_t per_sector = (1ull << shift_) / 4;
  const auto add = [&](uint32_t number) {
    const std::string_view table = sector(number);
    if (table.size() < (1ull << shift_)) damaged_ = true;
    // What a cut table lacks is free.
    for (size_t at = 0; at < (1ull << shift_); at += 4)
      fat_.push_back(at + 4 <= table.size() ? little32(table, at) : kFree);
  };
  const auto enough = [&] { return fat_.size() > sectors; };
  for (size_t at = 0x4c; at < 0x200 && !enough(); at += 4) {
    const uint32_t number = little32(bytes_, at);
    if (number < 0xfffffffa) add(number);
  }
  uint32_t next = little32(bytes_, 0x44);
  for (uint64_t hops = 0; next < 0xfffffffa && !enough(); ++hops) {
    const std::string_view list = sector(next);
    if (list.size() < (1ull << shift_) || hops > sectors) {
      damaged_ = true;
      return;
    }
    for (uint64_t i = 0; i + 1 < per_sector && !enough(); ++i) {
      const uint32_t number = little32(list, i * 4);
      if (number < 0xfffffffa) add(number);
    }
    next = little32(list, (per_sector - 1) * 4);
  }
}

CompoundStream CompoundFile::chain(uint32_t first, uint64_t size, const std::vector<uint32_t>& fat,
                                   std::string_view mini) {
  const bool small = mini.data() != nullptr;
  const uint32_t shift = small ? mini_shift_ : shift_;
  const std::string_view base = small ? mini : bytes_;
  const uint64_t unit = 1ull << shift;
  const auto offset = [&](uint32_t number) { return (static_cast<uint64_t>(number) + (small ? 0 : 1)) << shift; };
  // Runs of sectors that follow each other. A chain is at most as long as its table, and none is longer than what it
  // lies in without going in circles.
  std::vector<std::string_view> runs;
  uint64_t have = 0;
  uint32_t number = first;
  for (size_t hops = 0; number < 0xfffffffa && have < size; ++hops) {
    const uint64_t at = offset(number);
    if (hops > fat.size() || at >= base.size() || have > base.size()) {
      damaged_ = true;
      break;
    }
    const std::string_view part = slice(base, at, std::min(unit, size - have));
    if (!runs.empty() && runs.back().data() + runs.back().size() == part.data()) {
      runs.back() = std::string_view(runs.back().data(), runs.back().size() + part.size());
    } else {
      runs.push_back(part);
    }
    have += part.size();
    if (number >= fat.size()) {
      if (have < size) damaged_ = true;
      break;
    }
    number = fat[number];
  }
  if (size != UINT64_MAX && have < size) damaged_ = true;
  if (runs.empty()) return CompoundStream();
  if (runs.size() == 1) return CompoundStream(runs.front());
  std::string all;
  all.reserve(have);
  for (const std::string_view run : runs) all.append(run);
  return CompoundStream(std::move(all));
}

bool CompoundFile::load_directory(uint32_t first) {
  const CompoundStream directory = chain(first, UINT64_MAX, fat_, {});
  const std::string_view bytes = directory.bytes();
  if (bytes.size() < 128) return false;
  const size_t count = std::min(bytes.size() / 128, kMaxEntries);
  std::vector<bool> used(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view row = bytes.substr(i * 128, 128);
    CompoundEntry entry;
    const uint32_t kind = byte_at(row, 66);
    used[i] = kind == 1 || kind == 2 || kind == 5;
    const size_t length = std::min<size_t>(little16(row, 64), 64);
    entry.name16 = std::string(until_nul16(row.substr(0, length)));
    entry.name = utf16(entry.name16);
    entry.clsid = std::string(row.substr(80, 16));
    entry.is_storage = kind != 2;
    entry.start = little32(row, 116);
    entry.size = shift_ == 9 ? little32(row, 120) : little64(row, 120);
    entries_.push_back(std::move(entry));
    left_.push_back(little32(row, 68));
    right_.push_back(little32(row, 72));
    child_of_.push_back(little32(row, 76));
  }
  std::vector<bool> seen(count);
  seen[0] = true;
  std::vector<uint32_t> storages{0};
  while (!storages.empty()) {
    const uint32_t storage = storages.back();
    storages.pop_back();
    add_children(storage, child_of_[storage], seen, storages);
  }
  for (uint32_t i = 1; i < count; ++i) {
    if (seen[i] || !used[i]) continue;
    // Out of the tree: no program shows it, and it is scanned all the same.
    seen[i] = true;
    entries_[i].parent = 0;
    entries_[0].children.push_back(i);
  }
  return true;
}

void CompoundFile::add_children(uint32_t storage, uint32_t first, std::vector<bool>& seen,
                                std::vector<uint32_t>& storages) {
  std::vector<uint32_t> open{first};
  std::vector<uint32_t> found;
  while (!open.empty()) {
    const uint32_t index = open.back();
    open.pop_back();
    if (index == kNoEntry) continue;
    if (index >= entries_.size() || seen[index]) {
      damaged_ = true;
      continue;
    }
    seen[index] = true;
    entries_[index].parent = storage;
    found.push_back(index);
    if (entries_[index].is_storage) storages.push_back(index);
    open.push_back(left_[index]);
    open.push_back(right_[index]);
  }
  std::ranges::sort(found);
  entries_[storage].children = std::move(found);
}

std::optional<uint32_t> CompoundFile::find(uint32_t storage, std::string_view name) const {
  for (const uint32_t child : entries_[storage].children) {
    if (base::iequals(entries_[child].name, name)) return child;
  }
  return std::nullopt;
}

CompoundStream CompoundFile::read(uint32_t entry) {
  const CompoundEntry& what = entries_[entry];
  if (what.is_storage || what.size == 0) return CompoundStream();
  if (what.size >= cutoff_) return chain(what.start, what.size, fat_, {});
  const std::string_view mini = mini_.bytes();
  if (mini.empty()) {
    damaged_ = true;
    return CompoundStream();
  }
  return chain(what.start, what.size, mini_fat_, mini);
}

uint64_t CompoundFile::size_of(uint32_t storage) const {
  uint64_t size = 0;
  std::vector<uint32_t> open{storage};
  while (!open.empty()) {
    const uint32_t now = open.back();
    open.pop_back();
    for (const uint32_t child : entries_[now].children) {
      if (entries_[child].is_storage) {
        open.push_back(child);
      } else {
        size += std::min<uint64_t>(entries_[child].size, bytes_.size());
      }
    }
  }
  return size;
}

std::string CompoundFile::rebuild(uint32_t storage) {
  CompoundWriter writer(entries_[storage].clsid);
  struct Open {
    uint32_t from, to;
  };
  std::vector<Open> open{{storage, 0}};
  while (!open.empty()) {
    const Open now = open.back();
    open.pop_back();
    for (const uint32_t child : entries_[now.from].children) {
      const CompoundEntry& entry = entries_[child];
      if (entry.is_storage) {
        open.push_back({child, writer.storage(now.to, entry.name16, entry.clsid)});
      } else {
        writer.stream(now.to, entry.name16, std::string(read(child).bytes()));
      }
    }
  }
  return writer.finish();
}

CompoundWriter::CompoundWriter(std::string clsid) {
  nodes_.push_back({name16("Root Entry"), std::move(clsid), {}, true, {}});
}

uint32_t CompoundWriter::storage(uint32_t parent, std::string name, std::string clsid) {
  const auto number = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({std::move(name), std::move(clsid), {}, true, {}});
  nodes_[parent].children.push_back(number);
  return number;
}

uint32_t CompoundWriter::stream(uint32_t parent, std::string name, std::string bytes) {
  const auto number = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({std::move(name), std::string(16, '\0'), std::move(bytes), false, {}});
  nodes_[parent].children.push_back(number);
  return number;
}

std::string CompoundWriter::finish() const {
  constexpr size_t kSector = 512;
  constexpr size_t kMini = 64;
  constexpr size_t kCutoff = 4096;
  std::string body;
  std::vector<uint32_t> fat;
  std::string mini;
  std::vector<uint32_t> mini_fat;
  const auto pad = [](std::string& text, size_t unit) { text.resize((text.size() + unit - 1) / unit * unit, '\0'); };
  const auto place = [&pad](std::string& into, std::vector<uint32_t>& table, std::string_view bytes, size_t unit) {
    if (bytes.empty()) return kEndOfChain;
    const auto first = static_cast<uint32_t>(table.size());
    into.append(bytes);
    pad(into, unit);
    while (table.size() < into.size() / unit) table.push_back(static_cast<uint32_t>(table.size() + 1));
    table.back() = kEndOfChain;
    return first;
  };
  const auto number = [](std::string& text, size_t at, uint64_t value, size_t octets) {
    for (size_t i = 0; i < octets; ++i) text[at + i] = static_cast<char>(value >> (8 * i));
  };
  std::vector<uint32_t> starts(nodes_.size(), kEndOfChain);
  for (size_t i = 1; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.is_storage) continue;
    starts[i] =
        node.bytes.size() < kCutoff ? place(mini, mini_fat, node.bytes, kMini) : place(body, fat, node.bytes, kSector);
  }
  starts[0] = place(body, fat, mini, kSector);
  std::string directory(nodes_.size() * 128, '\0');
  std::vector<uint32_t> next(nodes_.size(), kNoEntry);
  for (const Node& node : nodes_) {
    for (size_t i = 0; i + 1 < node.children.size(); ++i) next[node.children[i]] = node.children[i + 1];
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    const size_t row = i * 128;
    const std::string_view name = std::string_view(node.name16).substr(0, 62);
    directory.replace(row, name.size(), name);
    number(directory, row + 64, name.size() + 2, 2);
    directory[row + 66] = static_cast<char>(i == 0 ? 5 : node.is_storage ? 1 : 2);
    directory[row + 67] = 1;
    number(directory, row + 68, kNoEntry, 4);
    number(directory, row + 72, next[i], 4);
    number(directory, row + 76, node.children.empty() ? kNoEntry : node.children.front(), 4);
    directory.replace(row + 80, 16, node.clsid, 0, 16);
    number(directory, row + 116, node.is_storage && i != 0 ? 0 : starts[i], 4);
    number(directory, row + 120, i == 0 ? mini.size() : node.bytes.size(), 4);
  }
  while (directory.size() % kSector != 0) {
    std::string unused(128, '\0');
    for (const size_t at : {68, 72, 76}) number(unused, at, kNoEntry, 4);
    directory += unused;
  }
  const uint32_t first_directory = place(body, fat, directory, kSector);
  std::string table(mini_fat.size() * 4, '\0');
  for (size_t i = 0; i < mini_fat.size(); ++i) number(table, i * 4, mini_fat[i], 4);
  while (table.size() % kSector != 0) table.push_back('\xff');
  const uint32_t first_mini = place(body, fat, table, kSector);
  // The table of sectors holds itself and the list of what did not fit into the header.
  constexpr size_t kPer = kSector / 4;
  size_t tables = 0, lists = 0;
  for (;;) {
    const size_t need = (fat.size() + tables + lists + kPer - 1) / kPer;
    const size_t lists_needed = need > 109 ? (need - 109 + kPer - 2) / (kPer - 1) : 0;
    if (need == tables && lists_needed == lists) break;
    tables = need;
    lists = lists_needed;
  }
  const size_t first_table = fat.size();
  const size_t first_list = first_table + tables;
  for (size_t i = 0; i < tables; ++i) fat.push_back(0xfffffffd);
  for (size_t i = 0; i < lists; ++i) fat.push_back(0xfffffffc);
  std::string sectors(tables * kSector, '\xff');
  for (size_t i = 0; i < fat.size(); ++i) number(sectors, i * 4, fat[i], 4);
  std::string list(lists * kSector, '\xff');
  for (size_t i = 109; i < tables; ++i) {
    number(list, ((i - 109) / (kPer - 1) * kPer + (i - 109) % (kPer - 1)) * 4, first_table + i, 4);
  }
  for (size_t i = 0; i < lists; ++i) {
    number(list, (i + 1) * kSector - 4, i + 1 < lists ? first_list + i + 1 : kEndOfChain, 4);
  }
  std::string header(kSector, '\0');
  header.replace(0, 8, kCompoundFileMagic);
  number(header, 0x18, 0x3e, 2);
  number(header, 0x1a, 3, 2);
  number(header, 0x1c, 0xfffe, 2);
  number(header, 0x1e, 9, 2);
  number(header, 0x20, 6, 2);
  number(header, 0x2c, tables, 4);
  number(header, 0x30, first_directory, 4);
  number(header, 0x38, kCutoff, 4);
  number(header, 0x3c, first_mini, 4);
  number(header, 0x40, table.size() / kSector, 4);
  number(header, 0x44, lists == 0 ? kEndOfChain : first_list, 4);
  number(header, 0x48, lists, 4);
  for (size_t i = 0; i < 109; ++i) number(header, 0x4c + i * 4, i < tables ? first_table + i : kFree, 4);
  return header + body + sectors + list;
}

std::string name16(std::string_view ascii) {
  std::string out;
  for (const char c : ascii) {
    out.push_back(c);
    out.push_back('\0');
  }
  return out;
}

}  // namespace postern::scan::worker

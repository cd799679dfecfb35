// SPDX-License-Identifier: Apache-2.0
// Images of disks made here, cluster by cluster and record by record: what their systems find in them is found, and
// what is written down once to be read a thousand times is not.
#include <gtest/gtest.h>

#include <algorithm>

#include "test/support/scan_files.h"

using namespace postern::scan;
using namespace postern::scan::test;

namespace {

using namespace std::string_literals;

std::string big(uint64_t value, size_t octets) {
  std::string out = little(value, octets);
  return {out.rbegin(), out.rend()};
}

// A FAT volume of clusters of one sector each.
struct FatImage {
  uint32_t bits = 32;
  uint32_t table_sectors = 1;
  uint32_t roots = 16;  // rows of the root, where it has a place of its own
  std::vector<uint32_t> table = {0x0ffffff8, 0x0fffffff};
  std::string data;

  // add puts bytes into clusters of their own, and returns the first of them.
  uint32_t add(std::string_view bytes) {
    const auto first = static_cast<uint32_t>(table.size());
    do {
      data += bytes.substr(0, 512);
      data.resize((table.size() - 1) * 512, '\0');
      bytes.remove_prefix(std::min<size_t>(512, bytes.size()));
      table.push_back(bytes.empty() ? 0x0fffffff : static_cast<uint32_t>(table.size() + 1));
    } while (!bytes.empty());
    return first;
  }

  static std::string row(std::string_view name, char attributes, uint32_t first, size_t size) {
    return std::string(name) + attributes + std::string(8, '\0') + little(first >> 16, 2) + std::string(4, '\0') +
           little(first & 0xffff, 2) + little(size, 4);
  }

  // bytes ends with the root's rows for a volume whose root has its own place; another's are in cluster `first`.
  std::string bytes(uint32_t first, std::string root = {}) const {
    const bool wide = bits == 32;
    const size_t root_sectors = wide ? 0 : (roots * 32 + 511) / 512;
    const size_t sectors = 1 + table_sectors + root_sectors + data.size() / 512;
    std::string out = "\xeb\x3c\x90MSDOS5.0" + little(512, 2) + "\1"s + little(1, 2) + "\1"s +
                      little(wide ? 0 : roots, 2) + little(0, 2) + "\xf8"s + little(wide ? 0 : table_sectors, 2);
    out.resize(32, '\0');
    out += little(sectors, 4) + little(wide ? table_sectors : 0, 4) + little(0, 4) + little(wide ? first : 0, 4);
    out.resize(510, '\0');
    out += "\x55\xaa";
    for (const uint32_t entry : table) out += little(entry, bits / 8);
    out.resize(512 * (1 + table_sectors), '\0');
    root.resize(512 * root_sectors, '\0');
    return out + root + data;
  }
};

TEST(DiskImages, SmallFat32IsFat32) {
  FatImage image;
  const uint32_t file = image.add(program());
  const uint32_t root = image.add(FatImage::row("CALC    EXE", ' ', file, 512));
  const Verdict verdict = scan(image.bytes(root), "a.img");
  ASSERT_NE(leaf_named(verdict, "CALC.EXE"), nullptr);
  EXPECT_TRUE(has_program(verdict));
  EXPECT_TRUE(verdict.complete());
  // A root that is not there, and one of no rows.
  EXPECT_EQ(scan(image.bytes(0), "a.img").reason(), Reason::corrupt);
  image.bits = 16;
  image.roots = 0;
  EXPECT_EQ(scan(image.bytes(0), "a.img").reason(), Reason::corrupt);
}

TEST(DiskImages, NamesThatBeginWithADot) {
  FatImage image;
  const uint32_t file = image.add(program());
  const uint32_t folder = image.add("");
  const uint32_t root =
      image.add(FatImage::row(".       EXE", ' ', file, 512) + FatImage::row(".SUB       ", '\x10', folder, 0));
  const std::string rows = FatImage::row(".          ", '\x10', folder, 0) +
                           FatImage::row("..         ", '\x10', root, 0) + FatImage::row("..      JS ", ' ', file, 512);
  image.data.replace((folder - 2) * 512, rows.size(), rows);
  const Verdict verdict = scan(image.bytes(root), "a.img");
  EXPECT_NE(leaf_named(verdict, "..EXE"), nullptr);
  EXPECT_NE(leaf_named(verdict, ".SUB/...JS"), nullptr);
  EXPECT_EQ(verdict.leaves.size(), 3u);
  EXPECT_TRUE(verdict.complete());
}

// Folders that are each a part of the same chain, and rows that all name the same folder.
TEST(DiskImages, FoldersThatShareClusters) {
  FatImage image;
  image.bits = 16;
  image.table_sectors = 32;
  const auto folder = [](uint32_t first) { return FatImage::row("FOLDER     ", '\x10', first, 0); };
  std::string rows;
  while (rows.size() < 4096 * 512) rows += folder(2 + static_cast<uint32_t>(rows.size() / 32) % 4096);
  const uint32_t chain = image.add(rows);
  Verdict verdict = scan(image.bytes(0, folder(chain)), "a.img");
  EXPECT_EQ(verdict.reason(), Reason::overlap);
  std::string same;
  while (same.size() < 4096 * 512) same += folder(chain);
  image.data = same;
  verdict = scan(image.bytes(0, folder(chain)), "a.img");
  EXPECT_TRUE(verdict.complete()) << reason_name(verdict.reason());
}

// A chain in circles, of clusters that are behind the image's end.
TEST(DiskImages, ChainsOutsideTheImage) {
  FatImage image;
  const uint32_t root =
      image.add(FatImage::row("FOLDER     ", '\x10', 100, 0) + FatImage::row("A       TXT", ' ', 100, 99));
  image.table.resize(101, 100);
  std::string bytes = image.bytes(root);
  bytes.replace(32, 4, little(0xffffffff, 4));
  EXPECT_EQ(scan(bytes, "a.img").reason(), Reason::corrupt);
}

std::string both(uint32_t value) { return little(value, 4) + big(value, 4); }

std::string iso_record(std::string_view name, uint32_t sector, uint32_t size, char flags = 0) {
  std::string out = "\0"s + both(sector) + both(size) + std::string(7, '\0') + flags + "\0\0"s + little(1, 2) +
                    big(1, 2) + static_cast<char>(name.size()) + std::string(name);
  out.resize((out.size() + 1 + 1) / 2 * 2 - 1, '\0');
  return static_cast<char>(out.size() + 1) + out;
}

// iso makes a volume with a descriptor for each root; the first is Joliet's if there are two.
std::string iso(const std::vector<std::string>& roots, std::string_view files) {
  std::string descriptors, folders;
  for (size_t i = 0; i < roots.size(); ++i) {
    const bool joliet = i + 1 < roots.size();
    const auto sector = static_cast<uint32_t>(16 + roots.size() + 1 + i);
    std::string one = (joliet ? "\2"s : "\1"s) + "CD001\1";
    one.resize(88, '\0');
    if (joliet) one += "%/E";
    one.resize(128, '\0');
    one += little(2048, 2) + big(2048, 2);
    one.resize(156, '\0');
    one += iso_record("\0"s, sector, 2048, 2);
    one.resize(2048, '\0');
    descriptors += one;
    std::string folder = iso_record("\0"s, sector, 2048, 2) + iso_record("\1"s, sector, 2048, 2) + roots[i];
    folder.resize(2048, '\0');
    folders += folder;
  }
  std::string end = "\xff"s + "CD001\1";
  end.resize(2048, '\0');
  return std::string(16 * 2048, '\0') + descriptors + end + folders + std::string(files);
}

std::string wide(std::string_view text) {
  std::string out;
  for (const char c : text) out += "\0"s + c;
  return out;
}

TEST(DiskImages, OneExtentUnderTwoNames) {
  std::string text = "var a = new ActiveXObject('x')\r\n";
  text.resize(2048, ' ');
  const Verdict verdict =
      scan(iso({iso_record("A.TXT;1", 19, 40) + iso_record("B.TXT;1", 19, 40) + iso_record("RUN.JS;1", 19, 40)}, text));
  EXPECT_NE(leaf_named(verdict, "A.TXT"), nullptr);
  EXPECT_EQ(leaf_named(verdict, "B.TXT"), nullptr);
  ASSERT_NE(leaf_named(verdict, "RUN.JS"), nullptr);
  EXPECT_TRUE(leaf_named(verdict, "RUN.JS")->is(FileType::js));
}

TEST(DiskImages, NamesThatWereCutAreNoOthers) {
  const Verdict verdict = scan(iso({iso_record(wide("letter.docx"), 21, 512), iso_record("LETTER.DOC;1", 21, 512)},
                                   program() + std::string(1536, '\0')));
  EXPECT_NE(leaf_named(verdict, "letter.docx"), nullptr);
  EXPECT_EQ(verdict.leaves.size(), 2u);
  EXPECT_FALSE(verdict.leaves[0].has(Mark::inconsistent));
  EXPECT_TRUE(verdict.complete());
}

TEST(DiskImages, FilesThatShareBytes) {
  std::string root;
  for (uint32_t i = 0; i < 40; ++i) root += iso_record("F", 19, 400000 + i);
  EXPECT_EQ(scan(iso({root}, std::string(512 * 1024, ' '))).reason(), Reason::overlap);
  std::string rows;
  for (uint32_t i = 0; i < 200; ++i) rows += big(2, 4) + big(5000, 4) + big(40000, 4);
  const std::string apple = "\0\5\x16\0"s + "\0\2\0\0"s + std::string(16, '\0') + big(200, 2) + rows;
  EXPECT_EQ(scan(apple + std::string(50000, ' ')).reason(), Reason::overlap);
}

}  // namespace

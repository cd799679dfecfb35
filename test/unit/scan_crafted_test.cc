// SPDX-License-Identifier: Apache-2.0
// Documents whose tables point to the same bytes again and again: what is read ends with what is there.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "engine/scan/worker/compressed_rtf.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/ole.h"
#include "engine/scan/worker/pdf_structure.h"
#include "test/support/scan_alone.h"
#include "test/unit/scan_support.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;
using test::le16;
using test::le32;
using test::le64;

constexpr uint32_t kEnd = 0xfffffffe;

// A compound file with one stream in small sectors, of which each is followed by itself.
std::string circular(uint32_t size) {
  std::string header = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + std::string(16, '\0') + le16(0x3e) + le16(3) +
                       le16(0xfffe) + le16(9) + le16(6) + std::string(6, '\0') + le32(0) + le32(1) + le32(1) + le32(0) +
                       le32(0x7fffffff) + le32(2) + le32(1) + le32(kEnd) + le32(0) + le32(0);
  header.resize(512, '\xff');
  std::string fat = le32(0xfffffffd) + le32(kEnd) + le32(kEnd) + le32(kEnd);
  fat.resize(512, '\xff');
  std::string directory;
  const auto entry = [&](const std::u16string& name, char kind, uint32_t child, uint32_t start, uint32_t length) {
    std::string row;
    for (const char16_t c : name) row += le16(c);
    row.resize(64, '\0');
    row += le16(2 * (name.size() + 1)) + kind + '\1' + le32(0xffffffff) + le32(0xffffffff) + le32(child);
    row.resize(116, '\0');
    directory += row + le32(start) + le64(length);
  };
  entry(u"Root Entry", '\5', 1, 3, 512);
  entry(u"S", '\2', 0xffffffff, 0, size);
  directory.resize(512, '\0');
  std::string small;
  while (small.size() < 512) small += le32(0);
  return header + fat + directory + small + std::string(512, 'm');
}

TEST(ScanCrafted, AChainEndsWhereItGoesInCircles) {
  const std::string bytes = circular(1u << 30);
  auto file = CompoundFile::open(bytes);
  ASSERT_TRUE(file);
  const auto stream = file->find(0, "S");
  ASSERT_TRUE(stream);
  EXPECT_LE(file->read(*stream).bytes().size(), 512u + 64u);
  EXPECT_TRUE(file->damaged());
}

TEST(ScanCrafted, StreamsOfAVisioDrawingInEachOther) {
  std::string stream = "Visio (TM) Drawing";
  stream.resize(0x2c, '\0');
  const uint32_t rows = 10000;
  const uint32_t place = 0x40;
  const uint32_t length = 12 + rows * 18;
  stream += le32(place) + le32(length) + le16(0x50);
  stream.resize(place, '\0');
  stream += le32(4) + le32(rows) + le32(0);
  for (uint32_t i = 0; i < rows; ++i) stream += std::string(8, '\0') + le32(place) + le32(length) + le16(0x50);
  Alone context(stream);
  read_visio(context, stream);
  EXPECT_NE(context.leaf().reason, Reason::none);
}

TEST(ScanCrafted, PiecesOfADocumentThatAreTheSame) {
  std::string document(0x4000, 'x');
  document.replace(0, 4, le16(0xa5ec) + le16(0xc1));
  document.replace(0x0a, 2, le16(0));
  const uint32_t pieces = 1000;
  std::string table;
  for (uint32_t i = 0; i <= pieces; ++i) table += le32(i * 0x2000);
  for (uint32_t i = 0; i < pieces; ++i) table += le16(0) + le32(0x40000000 | 0x400 * 2) + le16(0);
  table = "\2" + le32(table.size()) + table;
  document.replace(0x1a2, 8, le32(0) + le32(table.size()));
  Alone context(document);
  read_word(context, document, table, {});
  EXPECT_EQ(context.leaf().reason, Reason::overlap);
}

TEST(ScanCrafted, AMillionEmptyStringsOfAWorkbook) {
  std::string stream = "\x09\x08" + le16(16) + le16(0x600) + le16(5) + std::string(12, '\0');
  stream += "\xfc"s + '\0' + le16(8) + le32(0x7fffffff) + le32(0x7fffffff);
  const std::string more = "\x3c"s + '\0' + le16(8220) + std::string(8220, '\0');
  for (int i = 0; i < 500; ++i) stream += more;
  Alone context(stream);
  read_workbook(context, stream);
  EXPECT_EQ(context.leaf().reason, Reason::text);
}

// stored_vba packs source without making it smaller (MS-OVBA 2.4.1).
std::string stored_vba(std::string_view bytes) {
  std::string out = "\1";
  for (; !bytes.empty(); bytes.remove_prefix(std::min<size_t>(bytes.size(), 4096))) {
    const std::string_view chunk = bytes.substr(0, 4096);
    out += le16(0x3000 + chunk.size() - 1) + std::string(chunk);
  }
  return out;
}

// A project of which every module is the stream "M", each with its source `step` further on.
std::string project(const std::string& module, size_t modules, uint32_t offset, uint32_t step = 0) {
  const auto record = [](uint32_t id, std::string_view body) {
    return le16(id) + le32(body.size()) + std::string(body);
  };
  std::string dir = record(3, le16(1252));
  for (size_t i = 0; i < modules; ++i) {
    dir += record(0x1a, "M") + record(0x32, "M\0"s) + record(0x31, le32(offset + i * step));
  }
  CompoundWriter writer;
  writer.stream(0, name16("dir"), stored_vba(dir));
  writer.stream(0, name16("M"), module);
  return writer.finish();
}

TEST(ScanCrafted, ModulesOfAProjectThatAreTheSame) {
  const auto read = [](const std::string& bytes) {
    auto file = CompoundFile::open(bytes);
    Alone context(bytes);
    read_vba(context, *file, 0);
    return context.leaf();
  };
  const std::string source = "Attribute VB_Name = \"M\"\r\nSub A()\r\nShell \"calculator\"\r\nEnd Sub\r\n";
  Leaf leaf = read(project(stored_vba(source), 1, 0));
  EXPECT_EQ(leaf.reason, Reason::none);
  EXPECT_EQ(leaf.marks, static_cast<uint16_t>(Mark::macro_vba));
  // Constants of the compiled code: one of the source, whole or a part of a literal, and one that is not in it.
  const auto constant = [](std::string_view text) { return "\xb9\0"s + le16(text.size()) + std::string(text); };
  std::string compiled = constant("calculator") + constant("calcul");
  leaf = read(project(compiled + stored_vba(source), 1, static_cast<uint32_t>(compiled.size())));
  EXPECT_FALSE(leaf.has(Mark::inconsistent));
  compiled += constant("powershell");
  leaf = read(project(compiled + stored_vba(source), 1, static_cast<uint32_t>(compiled.size())));
  EXPECT_TRUE(leaf.has(Mark::inconsistent));
  // One large module again and again, from the same place and from others.
  const std::string large = stored_vba(source + std::string(1u << 20, '\n'));
  leaf = read(project(large, 4000, 0));
  EXPECT_EQ(leaf.reason, Reason::none);
  EXPECT_TRUE(leaf.has(Mark::macro_vba));
  leaf = read(project(large, 4000, 1u << 30, 1));
  EXPECT_EQ(leaf.reason, Reason::size);
  EXPECT_TRUE(leaf.has(Mark::macro_vba));
  // Beginnings that all go on to sixteen megabytes of one letter, and end in a token that leads nowhere.
  std::string bombs;
  for (int i = 0; i < 60; ++i) bombs += "\1" + le16(0x3000 | ((60 - i) * 12 - 3 - 1)) + "\0Attribut"s;
  for (int i = 0; i < 4080; ++i) bombs += le16(0xb003) + "\2a\xff\x0f"s;
  bombs += le16(0xb003) + "\1\xff\xff\xff"s;
  leaf = read(project(bombs, 4000, 1u << 30, 1));
  EXPECT_EQ(leaf.reason, Reason::size);
  EXPECT_TRUE(leaf.has(Mark::macro_vba));
  // Beginnings of source without any, where nothing says where it is.
  std::string beginnings;
  for (int i = 0; i < 20000; ++i) beginnings += "\1\xff\xbf\0Attribut"s;
  leaf = read(project(beginnings, 1, 1u << 30));
  EXPECT_TRUE(leaf.has(Mark::macro_vba));
}

std::string times(size_t count, std::string_view text) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// Each would take minutes if it were read as often as it says.
TEST(ScanCrafted, SectionsOfAPdfThatAreTheSame) {
  const std::string rest(8u << 20, 'x');
  EXPECT_FALSE(pdf_structure("%PDF-1.4\n" + times(2000, "trailer<<(\n") + rest).encrypted);
  // An encryption dictionary for each trailer, of which none is there.
  std::string trailers;
  for (int i = 0; i < 1000; ++i) trailers += "\ntrailer<</Encrypt " + std::to_string(i) + " 0 R>>";
  EXPECT_FALSE(pdf_structure("%PDF-1.4" + trailers + times(1000000, " 1 0 x")).chain_whole);
  // Streams of objects of which each holds those behind it, and then a lot of empty blocks.
  const std::string head = "obj<</Type/ObjStm>>stream\n\x78\x01";
  const std::string stored = "\0"s + le16(head.size()) + le16(~head.size()) + head;
  EXPECT_TRUE(pdf_structure("%PDF-1.4\n" + head + times(300, stored) + times(400000, "\0\0\0\xff\xff"s)).bomb);
}

TEST(ScanCrafted, CompressedRtf) {
  // Eight octets as they are; then one, and five from where the dictionary begins.
  const auto expanded = [](std::string_view packed) {
    Alone context(packed);
    Unpack unpack(context);
    EXPECT_TRUE(expand_rtf(packed, unpack));
    return std::string(unpack.bytes());
  };
  const std::string head = le32(0) + le32(0) + "LZFu" + le32(0);
  EXPECT_EQ(expanded(head + "\0{\\rtf1 a"s + "\0bcdefghi"s), "{\\rtf1 abcdefghi");
  EXPECT_EQ(expanded(head + "\2x\x00\x03yzzzzzz"s), "x{\\rtfyzzzzz");
  EXPECT_EQ(expanded(le32(0) + le32(4) + "MELA" + le32(0) + "{abc}"), "{abc");
  Alone context("");
  Unpack unpack(context);
  EXPECT_FALSE(expand_rtf("0123456789abcdef", unpack));
}

}  // namespace
}  // namespace postern::scan::worker

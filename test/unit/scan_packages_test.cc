// SPDX-License-Identifier: Apache-2.0
// ZIP files of which programs see different members: names in another code page, ends that nobody states, and packages
// that call a document's part what is none.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/scan/worker/office.h"
#include "engine/scan/worker/xml_root.h"
#include "engine/scan/worker/zip_directory.h"
#include "test/support/scan_files.h"
#include "test/unit/scan_support.h"

using namespace postern::scan;
using namespace postern::scan::test;

namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

std::string unicode_path(std::string_view name, std::string_view unicode) {
  return le16(0x7075) + le16(5 + unicode.size()) + "\1" + le32(worker::checksum(name)) + std::string(unicode);
}

Verdict with_unicode_path(const std::string& name, std::string_view unicode, std::string_view made_for = {}) {
  Zip zip;
  zip.add(name, "just a text\n").extra = unicode_path(made_for.empty() ? name : made_for, unicode);
  return scan(zip.bytes());
}

TEST(ZipNames, UnicodePathIsAName) {
  const Verdict verdict = with_unicode_path("readme.txt", "readme.js");
  EXPECT_NE(leaf_named(verdict, "readme.txt"), nullptr);
  ASSERT_NE(leaf_named(verdict, "readme.js"), nullptr);
  EXPECT_TRUE(leaf_named(verdict, "readme.js")->is(FileType::js));
  EXPECT_TRUE(verdict.leaves[0].has(Mark::inconsistent));
  // Letters that look alike do not make it the same.
  EXPECT_TRUE(with_unicode_path("readme.txt",
                                "r\xd0\xb5"
                                "adme.js")
                  .leaves[0]
                  .has(Mark::inconsistent));
  // A field that was made for another name is none.
  EXPECT_EQ(with_unicode_path("readme.txt", "readme.js", "other").leaves.size(), 2u);
  EXPECT_FALSE(with_unicode_path("readme.txt", "readme.js", "other").leaves[0].has(Mark::inconsistent));
}

TEST(ZipNames, UnicodePathOfOneHeaderOnly) {
  Zip zip;
  zip.add("readme.txt", "just a text\n").extra = unicode_path("readme.txt", "readme.js");
  std::string bytes = zip.bytes();
  // Another checksum in the directory, so that only the local header has the name.
  const size_t directory = bytes.find("PK\x01\x02");
  bytes[bytes.find("\x75\x70", directory) + 5] ^= 1;
  const Verdict verdict = scan(bytes);
  EXPECT_NE(leaf_named(verdict, "readme.js"), nullptr);
  EXPECT_TRUE(verdict.leaves[0].has(Mark::inconsistent));
}

TEST(ZipNames, UnicodePathIsMostlyASpelling) {
  const std::pair<std::string, std::string> table[] = {
      {"caf\x82.txt", "caf\xc3\xa9.txt"},                                  // code page 437
      {"cafe.txt", "caf\xc3\xa9.txt"},                                     // without its accent
      {"caf\x82.txt", "cafe\xcc\x81.txt"},                                 // the accent apart
      {"caf#U00e9.txt", "caf\xc3\xa9.txt"},                                // an escape
      {"\x3f\x3f/\x3f\x3f.txt", "\xd1\x82\xd0\xb5/\xd1\x81\xd1\x82.txt"},  // nothing that fits
      {"\x83\x5c\x83\x74.txt", "\xe3\x82\xbd\xe3\x83\x95.txt"},            // Shift JIS, of which a half is ASCII
      {"same.txt", "same.txt"},
  };
  for (const auto& [name, unicode] : table) {
    const Verdict verdict = with_unicode_path(name, unicode);
    EXPECT_EQ(verdict.leaves.size(), 2u) << unicode;
    EXPECT_NE(leaf_named(verdict, unicode), nullptr) << unicode;
    EXPECT_FALSE(verdict.leaves[0].has(Mark::inconsistent)) << unicode;
  }
}

TEST(ZipBombs, EndsThatNobodyStates) {
  Zip zip;
  for (int i = 0; i < 20000; ++i) {
    ZipEntry& entry = zip.add("a", "");
    entry.flags = 8;
    entry.crc = 0;
    entry.in_central = false;
  }
  std::string bytes = zip.bytes();
  bytes.resize(bytes.find("PK\x05\x06"));
  bytes += std::string(4u << 20, 'P');
  EXPECT_EQ(worker::read_zip_directory(bytes, 20000).members.size(), 20000u);
  // No more is looked at when the time is over.
  ScanLimits limits;
  limits.time = std::chrono::milliseconds(0);
  const worker::Budget over(limits);
  EXPECT_TRUE(worker::read_zip_directory(bytes, 20000, &over).late);
  Job job;
  job.bytes = bytes;
  job.limits.time = std::chrono::milliseconds(0);
  EXPECT_EQ(worker::scan_job(job).reason(), Reason::time);
}

// Word 2003 XML with a project of macros in it.
std::string word_2003() {
  return "<?xml version=\"1.0\"?><w:wordDocument xmlns:w=\"http://schemas.microsoft.com/office/word/2003/wordml\">"
         "<w:binData w:name=\"calc.exe\">TVqQAAMAAAAEAAAA</w:binData><w:p><w:r><w:t>invoice</w:t></w:r></w:p>"
         "</w:wordDocument>";
}

constexpr std::string_view kTypes =
    "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"xml\" "
    "ContentType=\"application/xml\"/><Default Extension=\"vml\" "
    "ContentType=\"application/vnd.openxmlformats-officedocument.vmlDrawing\"/><Override PartName=\"/hidden.xml\" "
    "ContentType=\"application/vnd.openxmlformats-officedocument.theme+xml\"/></Types>";

TEST(PackageParts, NothingIsHiddenByContentTypes) {
  for (const std::string name : {"invoice.xml", "hidden.xml", "styles.xml", "word/theme/numbering.xml"}) {
    for (const std::string_view types : {"<Types/>"sv, kTypes}) {
      const Verdict verdict =
          scan(zip_of({{"[Content_Types].xml", std::string(types)}, {name, word_2003()}}), "docs.zip");
      const Leaf* leaf = nullptr;
      for (const Leaf& each : verdict.leaves) leaf = each.path == "!" + name ? &each : leaf;
      ASSERT_NE(leaf, nullptr) << name;
      EXPECT_NE(leaf_named(verdict, "calc.exe"), nullptr) << name;
    }
  }
  // Other XML beside a document is read as what it is.
  const Verdict verdict = scan(
      zip_of({{"[Content_Types].xml", std::string(kTypes)}, {"a.xml", "<invoice><total>needle</total></invoice>"}}));
  ASSERT_NE(leaf_named(verdict, "a.xml"), nullptr);
  EXPECT_NE(leaf_named(verdict, "a.xml")->text.find("needle"), std::string::npos);
}

TEST(PackageParts, NothingIsHiddenByAManifest) {
  const std::string office = " xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\"";
  const std::vector<std::pair<std::string, std::string>> parts = {
      {"mimetype", "application/vnd.oasis.opendocument.text"},
      {"content.xml", "<office:document-content" + office + "/>"},
      {"settings.xml", "<office:document-settings" + office + "/>"},
      {"META-INF/manifest.xml",
       "<manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\"/>"}};
  EXPECT_EQ(scan(zip_of(parts)).leaves.size(), 1u);
  std::vector<std::pair<std::string, std::string>> more = parts;
  more.emplace_back("invoice.xml", word_2003());
  more.emplace_back("a.xml", "<invoice><total>needle</total></invoice>");
  const Verdict verdict = scan(zip_of(more));
  EXPECT_NE(leaf_named(verdict, "calc.exe"), nullptr);
  ASSERT_NE(leaf_named(verdict, "a.xml"), nullptr);
  EXPECT_NE(leaf_named(verdict, "a.xml")->text.find("needle"), std::string::npos);
}

TEST(PackageParts, VmlIsRead) {
  const std::string head = "<xml xmlns:v=\"urn:schemas-microsoft-com:vml\"><v:shape><v:textbox>";
  const std::string tail = "</v:textbox><v:textpath string=\"art\"/></v:shape></xml>";
  for (const std::string text : {"<div>nee<b>dle</b></div>", "<div>needle<br></div>"}) {
    const Verdict verdict = scan(
        zip_of({{"[Content_Types].xml", std::string(kTypes)}, {"xl/drawings/vmlDrawing1.vml", head + text + tail}}));
    EXPECT_NE(verdict.leaves[0].text.find("needle"), std::string::npos) << text;
    EXPECT_TRUE(verdict.complete()) << text;
    EXPECT_EQ(verdict.leaves.size(), 1u) << text;
  }
}

TEST(PackageParts, RootsOfXml) {
  const auto root = [](std::string_view head) {
    const worker::XmlRoot found = worker::root_of(head);
    return found.name + " " + found.space;
  };
  EXPECT_EQ(root("\xef\xbb\xbf<?xml version='1.0'?><!-- <a> --><!DOCTYPE a>\n<b:a x = '>' xmlns='y' xmlns:b = \"z\"/>"),
            "a z");
  EXPECT_EQ(root("<a xmlns='y'>"), "a y");
  EXPECT_EQ(root("<a>"), "a ");
  EXPECT_EQ(root("<a xmlns='&#x79;'>"), "a ");
  EXPECT_EQ(root("\xff\xfe<\0a\0/\0>\0"s), "a ");
  for (const std::string_view none : {"", "a", "<a", "<a b", "<a b='", "<a b=c>", "<!-- <a>", "\xff\xfe"}) {
    EXPECT_EQ(root(none), " ") << none;
  }
}

}  // namespace

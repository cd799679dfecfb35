// SPDX-License-Identifier: Apache-2.0
// Documents in older forms: what stands in odd places of them, what opens by a password that everybody has, and forms
// that nobody reads and nobody calls clean.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <bit>

#include "engine/scan/worker/office.h"
#include "test/support/scan_files.h"

using namespace postern::scan;
using namespace postern::scan::test;
using namespace std::string_literals;
using worker::CompoundWriter;
using worker::name16;
using worker::rc4;

namespace {

std::string record(uint64_t type, std::string_view body, uint64_t version = 0, uint64_t instance = 0) {
  return little(version | instance << 4, 2) + little(type, 2) + little(body.size(), 4) + std::string(body);
}

std::string presentation(std::string_view records, std::string_view user = {}) {
  CompoundWriter writer;
  writer.stream(0, name16("PowerPoint Document"), std::string(records));
  writer.stream(0, name16("Current User"), std::string(user));
  return writer.finish();
}

// properties is a table of properties of a shape, each with text.
std::string properties(const std::vector<std::pair<uint32_t, std::string>>& texts) {
  std::string table, values;
  for (const auto& [kind, text] : texts) {
    const std::string wide = name16(text) + "\0\0"s;
    table += little(kind | 0xc000, 2) + little(wide.size(), 4);
    values += wide;
  }
  return record(0xf00b, table + values, 3, texts.size());
}

TEST(ScanDocuments, CommentsAndDescriptionsOfSlides) {
  const std::string comment = record(0x2ee0, record(0x0fba, name16("Here is a comment"), 0, 1), 15);
  // What others put there is no row of records, and what follows it is read all the same.
  const std::string foreign = record(0x138b, "\x0f\0\xba\x0f\xff\xff\xff\x7f tags"s);
  const Verdict verdict =
      scan(presentation(record(0x03e8,
                               record(0x138b, comment) + foreign +
                                   properties({{0x00c0, "WordArt"}, {0x0381, "A falcon"}}) + record(0x0fa8, "after"),
                               15)));
  EXPECT_EQ(verdict.leaves[0].text, "Here is a comment\nWordArt\nA falcon\nafter");
  EXPECT_EQ(verdict.leaves[0].reason, Reason::none);
  EXPECT_FALSE(verdict.leaves[0].has(Mark::active_content));
}

TEST(ScanDocuments, AControlOnASlide) {
  const Verdict verdict = scan(presentation(record(0x03e8, record(0x0fee, record(0x0fba, name16("x")), 15), 15)));
  EXPECT_TRUE(verdict.leaves[0].has(Mark::active_content));
}

std::string sha1(std::string_view bytes) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), out, &length, EVP_sha1(), nullptr);
  return {reinterpret_cast<const char*>(out), length};
}

// protected_presentation is encrypted, each object by itself.
std::string protected_presentation(std::string_view password) {
  const std::string salt(16, 's'), verifier(16, 'v');
  const std::string base = sha1(salt + name16(password));
  const auto key = [&base](uint32_t block) { return sha1(base + little(block, 4)).substr(0, 16); };
  const std::string checked = rc4(key(0), verifier + sha1(verifier));
  const std::string header = little(4, 4) + little(0, 4) + little(0x6801, 4) + little(0x8004, 4) + little(128, 4) +
                             little(1, 4) + little(0, 8);
  const std::string information = little(2, 2) + little(2, 2) + little(4, 4) + little(header.size(), 4) + header +
                                  little(16, 4) + salt + checked.substr(0, 16) + little(20, 4) + checked.substr(16);
  const std::string document = record(0x03e8, record(0x0fa8, "opens freely"), 15);
  std::string stream = rc4(key(1), document);
  const size_t session = stream.size();
  stream += record(0x2f14, information, 15);
  const size_t list = stream.size();
  stream += record(0x1772, little(2u << 20 | 1, 4) + little(0, 4) + little(session, 4));
  const size_t edit = stream.size();
  stream += record(0x0ff5, little(0, 12) + little(list, 4) + little(1, 4) + little(2, 4) + little(0, 4) + little(2, 4));
  return presentation(stream, little(0, 8) + little(20, 4) + little(0xf3d1c4df, 4) + little(edit, 4));
}

TEST(ScanDocuments, APresentationThatMayOnlyNotBeChanged) {
  const Verdict open = scan(protected_presentation("/01Hannes Ruescher/01"));
  EXPECT_EQ(open.leaves[0].text, "opens freely");
  EXPECT_EQ(open.leaves[0].reason, Reason::none);
  EXPECT_EQ(open.leaves[0].protection, Protection::no);
  EXPECT_TRUE(open.leaves[0].has(Mark::encrypted_default));
  const Verdict closed = scan(protected_presentation("secret"));
  EXPECT_EQ(closed.leaves[0].text, "");
  EXPECT_EQ(closed.leaves[0].reason, Reason::password);
  EXPECT_EQ(closed.leaves[0].protection, Protection::yes);
}

TEST(ScanDocuments, FormsThatAreNotReadAreNotClean) {
  const auto holding = [](std::string_view stream) {
    CompoundWriter writer;
    writer.stream(0, name16(stream), "binary");
    return scan(writer.finish()).leaves[0].reason;
  };
  for (const std::string_view name :
       {"PP40", "MatOST", "StarWriterDocument", "PerfectOffice_MAIN", "NativeContent_MAIN"}) {
    EXPECT_EQ(holding(name), Reason::unsupported) << name;
  }
  // PowerPoint 95: the same name, other records.
  EXPECT_EQ(scan(presentation(record(0x0001, "old", 0))).leaves[0].reason, Reason::unsupported);
  for (const std::string_view name : {"Catalog", "Equation Native", "\x01Ole", "SwDocContentMgr"}) {
    EXPECT_EQ(holding(name), Reason::none) << name;
  }
  EXPECT_EQ(scan("HWP Document File V3.00 \x1a\1\2\3\4\5"s + std::string(200, '\0')).leaves[0].reason,
            Reason::unsupported);
}

std::string workbook(std::string_view records) {
  CompoundWriter writer;
  const auto record = [](uint32_t type, std::string_view body) {
    return little(type, 2) + little(body.size(), 2) + std::string(body);
  };
  writer.stream(
      0, name16("Workbook"),
      record(0x809, little(0x0600, 2) + little(0x0010, 2) + little(0, 12)) + std::string(records) + record(0x0a, ""));
  return writer.finish();
}

TEST(ScanDocuments, WordArtInAWorkbook) {
  const auto drawing = [](uint32_t type, std::string_view body) {
    return little(type, 2) + little(body.size(), 2) + std::string(body);
  };
  // A picture, then a shape within containers that end elsewhere, in pieces.
  const std::string art = record(0xf01e, std::string(100, 'p'), 0) + little(0x0f, 2) + little(0xf004, 2) +
                          little(0x4000, 4) + properties({{0x00c0, "Big letters"}, {0x0381, "A hawk"}}) +
                          record(0xf010, "anchor");
  for (const size_t cut : {5u, 60u, 130u, 140u, 150u}) {
    const Verdict verdict =
        scan(workbook(drawing(0xec, art.substr(0, cut)) + drawing(0x3c, art.substr(cut, 7)) + drawing(0x5d, "object") +
                      drawing(0xec, art.substr(std::min(cut + 7, art.size())))));
    EXPECT_EQ(verdict.leaves[0].text, "Big letters\nA hawk") << cut;
  }
}

TEST(ScanDocuments, WordPerfect5) {
  const auto group = [](char code, char kind, const std::string& body) {
    const std::string length = little(body.size() + 4, 2);
    return code + (kind + length) + body + length + kind + code;
  };
  const auto file = [](char kind, char version, const std::string& text) {
    return "\xffWPC" + little(16, 4) + '\1' + kind + version + std::string(5, '\0') + text;
  };
  const std::string text =
      "soft\x0dlines\x0a"
      "caf\xc0\x29\x01\xc0 "s +
      "\xc3\x0c\xc3" + "bold" + "\xc4\x0c\xc4" + "\xc1\1\2\3\4\5\6\7\xc1" + "tabbed" +
      group('\xd1', 1, "Courier font") + group('\xd5', 0, std::string(18, '\1') + "A header") +
      group('\xd6', 0, "\0\1\0\0"s + std::string(11, '\2') + "A note") + "end";
  const Verdict verdict = scan(file('\x0a', '\0', text));
  EXPECT_EQ(verdict.leaves[0].text, "soft lines\ncaf\xc3\xa9 bold\ttabbed\nA header\nA note\nend");
  EXPECT_EQ(verdict.leaves[0].reason, Reason::none);
  EXPECT_EQ(scan(file('\x0a', '\2', "caf\xf0\x29\x01\xf0"s)).leaves[0].text, "caf\xc3\xa9");
  EXPECT_EQ(scan(file('\x2c', '\2', text)).leaves[0].reason, Reason::unsupported);
  EXPECT_EQ(scan(file('\x0a', '\7', text)).leaves[0].reason, Reason::unsupported);
}

// database is an Access database of Jet 3 (0) or 4 (1) with one page of text.
std::string database(int version, const std::string& password, uint32_t key) {
  const size_t page = version == 0 ? 2048 : 4096;
  std::string head(page, '\0');
  const auto put = [&head](size_t at, const std::string& bytes) { head.replace(at, bytes.size(), bytes); };
  put(0x3e, little(key, 4));
  put(0x42, password);
  if (version == 1) {
    put(0x72, little(std::bit_cast<uint64_t>(36958.4), 8));
    const std::string mask = little(36958, 4);
    for (size_t i = 0; i < 40; ++i) head[0x42 + i] = static_cast<char>(head[0x42 + i] ^ mask[i % 4]);
  }
  put(0x18, rc4("\xc7\xda\x39\x6b", head.substr(0x18, version == 0 ? 126 : 128)));
  put(0, "\0\1\0\0Standard Jet DB\0"s + little(static_cast<uint64_t>(version), 4));
  std::string text = name16("Falcon prices");
  text.resize(page, '\0');
  return head + (key == 0 ? text : rc4(little(key ^ 1, 4), text));
}

TEST(ScanDocuments, PasswordsOfDatabases) {
  for (const int version : {0, 1}) {
    const Verdict plain = scan(database(version, "", 0));
    EXPECT_EQ(plain.leaves[0].protection, Protection::no);
    EXPECT_EQ(plain.leaves[0].reason, Reason::none);
    EXPECT_NE(plain.leaves[0].text.find("Falcon prices"), std::string::npos);
    EXPECT_FALSE(plain.leaves[0].has(Mark::encrypted_default));
    const Verdict locked = scan(database(version, "secret", 0));
    EXPECT_EQ(locked.leaves[0].protection, Protection::yes);
    EXPECT_EQ(locked.leaves[0].reason, Reason::password);
    const Verdict encoded = scan(database(version, "", 0x12345678));
    EXPECT_EQ(encoded.leaves[0].protection, Protection::no);
    EXPECT_NE(encoded.leaves[0].text.find("Falcon prices"), std::string::npos);
    EXPECT_TRUE(encoded.leaves[0].has(Mark::encrypted_default));
  }
}

TEST(ScanDocuments, DescriptionsOfPictures) {
  const Verdict verdict = scan(zip_of(
      {{"[Content_Types].xml",
        "<Types><Override PartName=\"/word/document.xml\" ContentType=\"application/"
        "vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>"},
       {"word/document.xml",
        "<w:document><w:body><w:p><w:r><w:t>mid</w:t></w:r><w:r><w:drawing><wp:inline><wp:docPr id=\"1\" "
        "name=\"Picture 1\" descr=\"A kestrel\" title=\"Bird\"/></wp:inline></w:drawing></w:r><w:r><w:t>dle</w:t></w:r>"
        "</w:p><w:pict><v:shape id=\"x\" alt=\"A buzzard\"/></w:pict></w:body></w:document>"}}));
  EXPECT_EQ(verdict.leaves[0].text, "middle\nBird\nA kestrel\nA buzzard");
}

}  // namespace

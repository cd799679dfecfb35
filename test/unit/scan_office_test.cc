// SPDX-License-Identifier: Apache-2.0
// Office documents: text, marks, protection and what is embedded, in files made here.
#include <gtest/gtest.h>

#include "engine/scan/worker/cell_format.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/rtf.h"
#include "test/support/scan_documents.h"
#include "test/support/scan_files.h"

using namespace postern::scan;
using namespace postern::scan::test;
using worker::CompoundFile;
using worker::CompoundWriter;
using worker::name16;

namespace {

std::string record(uint32_t type, const std::string& body) { return little(type, 2) + little(body.size(), 2) + body; }

const std::string kBof = record(0x809, little(0x600, 2) + little(5, 2) + little(0, 12));

std::string workbook(const std::string& records) {
  CompoundWriter writer;
  writer.stream(0, name16("Workbook"), kBof + records + record(0x0a, ""));
  return writer.finish();
}

std::string label(uint32_t row, uint32_t column, std::string_view text) {
  return record(0x204,
                little(row, 2) + little(column, 2) + little(0, 2) + little(text.size(), 2) + '\0' + std::string(text));
}

TEST(Compound, WhatIsWrittenIsRead) {
  CompoundWriter writer;
  const uint32_t storage = writer.storage(0, name16("Deep"));
  writer.stream(storage, name16("small"), "abc");
  std::string large;
  for (int i = 0; i < 9000000; ++i) large.push_back(static_cast<char>(i * 7 + i / 251));
  writer.stream(storage, name16("large"), large);
  writer.stream(0, name16("empty"), "");
  const std::string bytes = writer.finish();
  auto file = CompoundFile::open(bytes);
  ASSERT_TRUE(file);
  const auto deep = file->find(0, "DEEP");
  ASSERT_TRUE(deep);
  EXPECT_EQ(file->read(*file->find(*deep, "small")).bytes(), "abc");
  EXPECT_EQ(file->read(*file->find(*deep, "large")).bytes(), large);
  EXPECT_FALSE(file->damaged());
  const std::string rebuilt = file->rebuild(*deep);
  auto inner = CompoundFile::open(rebuilt);
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->read(*inner->find(0, "large")).bytes(), large);
}

TEST(Compound, EveryCutOfAFileIsReadOrRefused) {
  const std::string whole = word97("geheimes Projekt Falkenflug");
  for (size_t size = 0; size < whole.size(); size += 61) {
    const Verdict verdict = scan(whole.substr(0, size));
    EXPECT_FALSE(verdict.leaves.empty());
  }
  std::string odd = whole;
  for (const unsigned char shift : {0, 5, 31, 255}) {
    odd[0x1e] = static_cast<char>(shift);
    EXPECT_EQ(scan(odd).reason(), Reason::corrupt);
  }
}

TEST(Word97, TextFieldsAndProtection) {
  const Verdict verdict =
      scan(word97("Projekt\rFalken\x07"
                  "flug\x13 HYPERLINK \"http://example.org/x\" \x14here\x15\r"));
  EXPECT_TRUE(verdict.leaves[0].is(FileType::doc));
  EXPECT_EQ(verdict.leaves[0].text, "Projekt\nFalken\tflug\nhttp://example.org/x\nhere");
  EXPECT_TRUE(verdict.complete());
  EXPECT_TRUE(scan(word97("\x13 DDEAUTO c:\\\\x cmd \x14y\x15\r")).leaves[0].has(Mark::macro_dde));
  const Verdict locked = scan(word97("secret", 0x0100));
  EXPECT_EQ(locked.leaves[0].protection, Protection::yes);
  EXPECT_EQ(locked.reason(), Reason::password);
  EXPECT_TRUE(locked.leaves[0].text.empty());
}

TEST(Word97, ProgramsAreFoundWhereverTheyAre) {
  const Verdict packed_one = scan(word97("x", 0, {{"\x01Ole10Native", packed("song.wav", program())}}));
  const Leaf* song = leaf_named(packed_one, "song.wav");
  ASSERT_NE(song, nullptr);
  EXPECT_TRUE(song->in_group(Group::executable));
  EXPECT_TRUE(song->has(Mark::embedded));
  EXPECT_EQ(song->path, "!Ole10Native:song.wav");
  EXPECT_TRUE(has_program(scan(word97("x", 0, {{"Data", "junk before " + program()}}))));
  // A document in a document in a document.
  CompoundWriter outer;
  const uint32_t pool = outer.storage(0, name16("ObjectPool"));
  const uint32_t object = outer.storage(pool, name16("_1"));
  outer.stream(object, name16("Workbook"), kBof + label(0, 0, "inner cell") + record(0x0a, ""));
  const uint32_t mbd = outer.storage(object, name16("MBD1"));
  outer.stream(mbd, name16("\x01Ole10Native"), packed("a.txt", program()));
  const Verdict nested = scan(outer.finish());
  EXPECT_TRUE(has_program(nested));
  ASSERT_NE(leaf_named(nested, "_1"), nullptr);
  EXPECT_TRUE(holds(leaf_named(nested, "_1")->text, "inner cell"));
}

TEST(Excel97, CellsAndMarks) {
  const std::string shared =
      record(0xfc, little(2, 4) + little(2, 4) + little(4, 2) + '\0' + "left" + little(5, 2) + '\0' + "un") +
      record(0x3c, std::string(1, '\0') + "sed");
  const std::string cell = record(0xfd, little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4));
  const std::string sheet = record(0x85, little(0, 4) + little(0, 2) + little(3, 1) + '\0' + "Tab");
  const Verdict verdict = scan(workbook(sheet + shared + cell + label(0, 1, "right") + label(1, 0, "below")));
  EXPECT_EQ(verdict.leaves[0].text, "Tab\nleft\tright\nbelow\nunsed");
  EXPECT_TRUE(verdict.complete());
  const std::string macro_sheet = record(0x85, little(0, 4) + little(0x0102, 2) + little(1, 1) + '\0' + "M");
  EXPECT_TRUE(scan(workbook(macro_sheet)).leaves[0].has(Mark::macro_xlm));
  const std::string link = record(0x1ae, little(1, 2) + little(9, 2) + '\0' + "cmd\x03/c ca");
  EXPECT_TRUE(scan(workbook(link)).leaves[0].has(Mark::macro_dde));
  const Verdict locked = scan(workbook(record(0x2f, little(0, 2) + little(1, 2) + little(2, 2)) + label(0, 0, "x")));
  EXPECT_EQ(locked.leaves[0].protection, Protection::yes);
  EXPECT_EQ(locked.reason(), Reason::password);
}

TEST(Excel97, ManyReferencesToOneLongStringEndAtTheLimitOfText) {
  const std::string text(8000, 'a');
  std::string records = record(0xfc, little(1, 4) + little(1, 4) + little(text.size(), 2) + '\0' + text);
  for (uint32_t i = 0; i < 20000; ++i) records += record(0xfd, little(i & 0xffff, 2) + little(0, 4) + little(0, 4));
  const Verdict verdict = scan(workbook(records));
  EXPECT_EQ(verdict.reason(), Reason::text);
}

TEST(Numbers, AreShownAsCellsShowThem) {
  using worker::format_number;
  EXPECT_EQ(format_number(0.76041666666, "h:mm", false), "18:15");
  EXPECT_EQ(format_number(45000, "d.m.yyyy", false), "15.3.2023");
  EXPECT_EQ(format_number(61, "yyyy-mm-dd", false), "1900-03-01");
  EXPECT_EQ(format_number(1234567.891, "#,##0.00", false), "1,234,567.89");
  EXPECT_EQ(format_number(-5, "0.0;(0.0)", false), "(5.0)");
  EXPECT_EQ(format_number(0.256, "0.0%", false), "25.6%");
  EXPECT_EQ(format_number(123456789, "000\\-00\\-0000", false), "123-45-6789");
  EXPECT_EQ(format_number(123456789012345, "General", false), "123456789012345");
  EXPECT_EQ(format_number(1e300, "d.m.yyyy", false), "1e+300");
}

TEST(Docx, TextOfAllParts) {
  const Verdict verdict =
      scan(docx("<w:p><w:r><w:t>Fal</w:t></w:r><w:r><w:t>ken&#102;lug</w:t></w:r></w:p>"
                "<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
                "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></"
                "w:tc></w:tr></w:tbl>"
                "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>"
                "<mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>",
                {{"word/header1.xml", "<w:hdr xmlns:w=\"x\"><w:p><w:r><w:t>in the header</w:t></w:r></w:p></w:hdr>"},
                 {"docProps/core.xml", "<c><title>the title</title></c>"}}));
  const std::string& text = verdict.leaves[0].text;
  EXPECT_EQ(text, "Falkenflug\ndeleted\na\nb\nbox\nin the header\nthe title");
  EXPECT_TRUE(verdict.complete());
  Job job;
  const std::string bytes = docx("", {{"docProps/core.xml", "<c><title>the title</title></c>"}});
  job.bytes = bytes;
  job.want_metadata = false;
  EXPECT_FALSE(holds(worker::scan_job(job).leaves[0].text, "title"));
}

TEST(Docx, MarksOfWhatRunsOrLoads) {
  const auto marks = [](const std::string& bytes) { return scan(bytes).leaves[0]; };
  EXPECT_TRUE(marks(docx("<w:p><w:fldSimple w:instr=\" DDEAUTO c:\\x y \"/></w:p>")).has(Mark::macro_dde));
  EXPECT_TRUE(
      marks(docx("<w:p><w:r><w:fldChar w:fldCharType=\"begin\"/></w:r><w:r><w:instrText>DD</w:instrText></w:r>"
                 "<w:r><w:instrText>E c:\\x</w:instrText></w:r><w:r><w:fldChar w:fldCharType=\"end\"/></w:r></w:p>"))
          .has(Mark::macro_dde));
  EXPECT_TRUE(
      marks(docx("", {{"word/_rels/settings.xml.rels",
                       "<Relationships><Relationship Type=\"http://x/attachedTemplate\" TargetMode=\"External\" "
                       "Target=\"http://example.org/t.dotm\"/></Relationships>"}}))
          .has(Mark::remote_template));
  EXPECT_FALSE(
      marks(docx("", {{"word/_rels/settings.xml.rels",
                       "<Relationships><Relationship Type=\"http://x/attachedTemplate\" TargetMode=\"External\" "
                       "Target=\"file:///C:\\Templates\\t.dotm\"/></Relationships>"}}))
          .has(Mark::remote_template));
  EXPECT_TRUE(marks(docx("", {{"xl/externalLinks/externalLink1.xml",
                               "<externalLink><ddeLink ddeService=\"cmd\"/></externalLink>"}}))
                  .has(Mark::macro_dde));
}

TEST(Docx, BombsAreRefused) {
  std::string laughs = "<!DOCTYPE l [<!ENTITY a \"ha\">";
  for (char c = 'b'; c < 'm'; ++c) {
    laughs += std::string("<!ENTITY ") + c + " \"";
    for (int i = 0; i < 10; ++i) laughs += std::string("&") + static_cast<char>(c - 1) + ";";
    laughs += "\">";
  }
  laughs += "]><w:document xmlns:w=\"x\"><w:t>&l;</w:t></w:document>";
  const Verdict word = scan(docx("", {{"word/footnotes.xml", laughs}}));
  EXPECT_EQ(word.reason(), Reason::unsupported);
  const Verdict text = scan(odt("<text:p>visible</text:p>", {{"styles.xml", laughs}}));
  EXPECT_EQ(text.reason(), Reason::unsupported);
  EXPECT_TRUE(holds(text.leaves[0].text, "visible"));
  std::string deep;
  for (int i = 0; i < 400000; ++i) deep += "<w:p>";
  EXPECT_EQ(scan(docx(deep)).reason(), Reason::depth);
}

TEST(Odt, TextOfAllKinds) {
  const Verdict verdict = scan(
      odt("<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
          "<text:p>Fal<text:span>ken<text:span>flug</text:span></text:span><text:s text:c=\"1000000000\"/>x</text:p>"
          "<table:table><table:table-row><table:table-cell><text:p>a</text:p></"
          "table:table-cell><table:table-cell><text:p>b</text:p>"
          "</table:table-cell></table:table-row></table:table>"
          "<text:p>n<office:annotation><text:p>comment</text:p></office:annotation>ote</text:p>"));
  EXPECT_EQ(verdict.leaves[0].text, "deleted\nFalkenflug x\na\nb\nnote\ncomment");
  EXPECT_TRUE(verdict.complete());
}

TEST(Odt, EncryptionIsInTheManifestOnly) {
  const std::string entry =
      "<manifest:file-entry manifest:full-path=\"content.xml\"><manifest:encryption-data/></manifest:file-entry>";
  EXPECT_EQ(scan(odt("", {}, entry)).leaves[0].protection, Protection::yes);
  EXPECT_EQ(scan(odt("<text:p>manifest:encryption-data</text:p>")).leaves[0].protection, Protection::no);
}

TEST(Odt, BasicIsAMacro) {
  const Verdict verdict =
      scan(odt("", {{"Basic/Standard/M.xml", "<script:module xmlns:script=\"x\">Sub Main\nEnd Sub</script:module>"}}));
  EXPECT_TRUE(verdict.leaves[0].has(Mark::macro_vba));
  EXPECT_TRUE(holds(verdict.leaves[0].text, "Sub Main"));
}

TEST(Flat, FilesInBase64AreChildren) {
  const std::string flat =
      "<office:document xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" xmlns:text=\"t\" "
      "office:mimetype=\"application/vnd.oasis.opendocument.text\"><office:body><text:p>flat text</text:p>"
      "<office:binary-data>TVqQAAMAAAAEAAAA</office:binary-data></office:body></office:document>";
  EXPECT_TRUE(worker::is_xml_document(flat));
  const Verdict verdict = scan(flat, "x.fodt");
  EXPECT_TRUE(holds(verdict.leaves[0].text, "flat text"));
  ASSERT_EQ(verdict.leaves.size(), 2u);
  EXPECT_EQ(verdict.leaves[1].size, 12u);
}

TEST(Rtf, TextInItsCodePages) {
  const Verdict verdict = scan(
      "{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}{\\f1\\fcharset204 Arial;}}{\\*\\generator junk}"
      "Fal{\\b ken}flug \\'fc\\f1\\'cf\\f0\\u8364?x\\par next\\cell cell{\\field{\\*\\fldinst HYPERLINK "
      "\"http://a.example/\"}"
      "{\\fldrslt here}}}");
  EXPECT_EQ(verdict.leaves[0].text, "Falkenflug \xc3\xbc\xd0\x9f\xe2\x82\xacx\nnext\tcell\nhttp://a.example/\nhere");
}

TEST(Rtf, ObjectsHoweverTheyAreWritten) {
  const std::string body = packed("notes.txt", program()).substr(4);
  const std::string object = little(0x501, 4) + little(2, 4) + little(8, 4) + std::string("Package\0", 8) +
                             little(0, 8) + little(body.size(), 4) + body;
  const std::string hex = hex_of(object);
  for (const std::string& form :
       {hex, hex.substr(0, 11) + "\r\n \t" + hex.substr(11), hex.substr(0, 21) + "{\\*\\junk 4141}" + hex.substr(21),
        hex.substr(0, 30) + "\\x\\y1 " + hex.substr(30),
        hex.substr(0, 20) + "\\bin4 " + object.substr(10, 4) + hex.substr(28)}) {
    const Verdict verdict = scan("{\\rt{\\object\\objemb{\\*\\objdata " + form + "}{\\result text}}}", "x.doc");
    EXPECT_TRUE(has_program(verdict)) << form.substr(0, 80);
    EXPECT_NE(leaf_named(verdict, "notes.txt"), nullptr);
  }
  EXPECT_TRUE(scan("{\\rtf1{\\*\\template http://example.org/t}}").leaves[0].has(Mark::remote_template));
  EXPECT_FALSE(scan("{\\rtf1{\\*\\template C:\\\\t.dot}}").leaves[0].has(Mark::remote_template));
}

TEST(Vba, CompressedSourceIsText) {
  // A container of one raw chunk and one of literals and a copy.
  EXPECT_EQ(worker::decompress_vba(std::string("\x01\x19\xb0\x00"
                                               "abcdefgh\x00"
                                               "ijklmnop\x00qrstuv.",
                                               29),
                                   10000),
            "abcdefghijklmnopqrstuv.");
  EXPECT_EQ(worker::decompress_vba(std::string("\x01\x03\xb0\x02"
                                               "a\x05\x00",
                                               7),
                                   10000),
            "aaaaaaaaa");
  EXPECT_FALSE(worker::decompress_vba(std::string("\x01\x03\xb0\x01\x45\x00\x00", 7), 10000));
  EXPECT_FALSE(worker::decompress_vba("x", 10000));
}

TEST(Parts, AreTheDocumentsOwnOnlyIfTheyLookSo) {
  using worker::is_document_part;
  const std::string word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
  EXPECT_TRUE(is_document_part("word/document.xml", "<?xml version=\"1.0\"?><w:document xmlns:w=\"" + word + "\">"));
  EXPECT_TRUE(is_document_part("word/document.xml", "<document xmlns='" + word + "'/>"));
  EXPECT_FALSE(is_document_part("word/document.xml", "<document xmlns:w='" + word + "'/>"));
  EXPECT_FALSE(is_document_part("word/document.xml", "<document/>"));
  EXPECT_FALSE(is_document_part("word/document.xml",
                                "<w:wordDocument xmlns:w='http://schemas.microsoft.com/office/word/2003/wordml'>"));
  EXPECT_FALSE(
      is_document_part("content.xml", "<o:document xmlns:o='urn:oasis:names:tc:opendocument:xmlns:office:1.0'>"));
  EXPECT_TRUE(is_document_part("customXml/item1.xml", "<any/>"));
  EXPECT_FALSE(is_document_part("customXml/item1.xml", "<html xmlns='http://www.w3.org/1999/xhtml'>"));
  EXPECT_FALSE(is_document_part("word/document.xml", program()));
  EXPECT_FALSE(is_document_part("word/embeddings/oleObject1.bin", worker::kCompoundFileMagic));
  EXPECT_FALSE(is_document_part("word/media/image1.svg", "<svg>"));
}

TEST(Msg, BodyRecipientsAndAttachments) {
  CompoundWriter writer;
  writer.stream(0, name16("__properties_version1.0"), std::string(32, '\0'));
  writer.stream(0, name16("__substg1.0_0037001F"), name16("the subject"));
  writer.stream(0, name16("__substg1.0_1000001F"), name16("the body"));
  const uint32_t attachment = writer.storage(0, name16("__attach_version1.0_#00000000"));
  writer.stream(attachment, name16("__substg1.0_3707001F"), name16("calc.pdf"));
  writer.stream(attachment, name16("__substg1.0_37010102"), program());
  const uint32_t second = writer.storage(0, name16("__attach_version1.0_#00000001"));
  const uint32_t inner = writer.storage(second, name16("__substg1.0_3701000D"));
  writer.stream(inner, name16("__properties_version1.0"), std::string(24, '\0'));
  writer.stream(inner, name16("__substg1.0_1000001F"), name16("inner body"));
  const Verdict verdict = scan(writer.finish());
  EXPECT_EQ(verdict.leaves[0].text, "the subject\nthe body");
  ASSERT_NE(leaf_named(verdict, "calc.pdf"), nullptr);
  EXPECT_TRUE(leaf_named(verdict, "calc.pdf")->in_group(Group::executable));
  EXPECT_TRUE(holds(verdict.leaves.back().text, "inner body"));
}

}  // namespace

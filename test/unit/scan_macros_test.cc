// SPDX-License-Identifier: Apache-2.0
// What documents start or load when they are opened, however it is written: fields, links, scripts, wrapped projects.
#include <gtest/gtest.h>

#include "engine/mime/transfer_coding.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/office.h"
#include "test/support/scan_documents.h"
#include "test/support/scan_files.h"
#include "test/unit/scan_support.h"

using namespace postern::scan;
using namespace postern::scan::test;
using worker::CompoundWriter;
using worker::name16;

namespace {

using namespace std::string_literals;

Leaf first(const std::string& bytes, std::string_view name = "") { return scan(bytes, name).leaves[0]; }
std::string rtf(const std::string& body) { return "{\\rtf1\\ansi " + body + "}"; }
bool starts(const std::string& bytes) { return first(bytes).has(Mark::macro_dde); }

// A compound file with a project whose code cannot be told, which counts as a macro.
std::string project() {
  CompoundWriter writer;
  const uint32_t vba = writer.storage(0, name16("VBA"));
  writer.stream(vba, name16("dir"), "x");
  writer.stream(vba, name16("_VBA_PROJECT"), "x");
  return writer.finish();
}

std::string active_mime(const std::string& content, size_t header = 0x32) {
  std::string out = "ActiveMime\0\0\x01\xf0"s;
  out.resize(0x1e, '\0');
  out += le16(header - 46);
  out.resize(header, '\0');
  return out + deflate_raw(content, MAX_WBITS);
}

bool has_project(const Verdict& verdict) {
  for (const Leaf& leaf : verdict.leaves) {
    if (leaf.has(Mark::macro_vba)) return true;
  }
  return false;
}

TEST(ActiveMime, IsUnwrappedWhereverItIs) {
  const Verdict plain = scan(active_mime(project()), "editdata.mso");
  EXPECT_TRUE(plain.leaves[0].is(FileType::activemime));
  ASSERT_EQ(plain.leaves.size(), 2u);
  EXPECT_TRUE(plain.leaves[1].is(FileType::ole));
  EXPECT_TRUE(has_project(plain));
  EXPECT_TRUE(has_project(scan(active_mime(project(), 0x22a))));
  // Its header says nothing of where it begins.
  std::string odd = active_mime(project(), 0x100);
  odd.replace(0x1e, 2, "\xff\xff");
  EXPECT_TRUE(has_project(scan(odd)));
  const std::string page =
      "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: "
      "text/html\r\n\r\n<html>text</html>\r\n--b\r\nContent-Location: file:///C:/x/editdata.mso\r\n"
      "Content-Transfer-Encoding: base64\r\nContent-Type: application/x-mso\r\n\r\n" +
      postern::mime::encode_base64(active_mime(project())) + "\r\n--b--\r\n";
  EXPECT_TRUE(has_project(scan(page, "page.doc")));
  const std::string flat =
      "<?xml version=\"1.0\"?><w:wordDocument xmlns:w=\"http://schemas.microsoft.com/office/word/2003/wordml\">"
      "<w:docSuppData><w:binData w:name=\"editdata.mso\">" +
      postern::mime::encode_base64(active_mime(project())) + "</w:binData></w:docSuppData></w:wordDocument>";
  EXPECT_TRUE(has_project(scan(flat, "x.xml")));
  EXPECT_EQ(scan("ActiveMime\0\0\x01\xf0 and nothing that is packed"s).reason(), Reason::corrupt);
  const std::string whole = active_mime(project());
  EXPECT_EQ(scan(whole.substr(0, whole.size() - 20)).leaves[0].reason, Reason::corrupt);
}

TEST(Remote, FilesOnAServer) {
  using worker::is_remote;
  for (const std::string_view target :
       {"\\\\host\\t.dot", "//host/t.dot", "http://host/t", "file:///\\\\server\\share\\t.dot", "file:////server/x",
        "file://///server/x", "file://server/x", "file:\\\\server\\x", "FILE:///%5C%5Cserver%5Cx", "mhtml:http://x"}) {
    EXPECT_TRUE(is_remote(target)) << target;
  }
  for (const std::string_view target : {"C:\\t.dot", "t.dot", "", "file:///C:\\t.dot", "file:///C:/t.dot",
                                        "file:///c|/t.dot", "file:///home/me/t.ott", "../Templates/t.dot"}) {
    EXPECT_FALSE(is_remote(target)) << target;
  }
}

TEST(Fields, ThoseInAnInstructionArePartOfIt) {
  // The result of one does not end the other.
  EXPECT_TRUE(
      starts(rtf("{\\field{\\*\\fldinst DDEAUTO c:\\\\x.exe \"/k calc\" {\\field{\\*\\fldinst QUOTE 65}{\\fldrslt "
                 "A}}}{\\fldrslt x}}")));
  // The command is what QUOTE computes, or what is there as its result, or neither.
  const std::string quote = "{\\field{\\*\\fldinst {\\field{\\*\\fldinst QUOTE 68 0x44 \"E\"}{\\fldrslt ";
  EXPECT_TRUE(starts(rtf(quote + "x}} c:\\\\x}{\\fldrslt y}}")));
  EXPECT_TRUE(starts(rtf("{\\field{\\*\\fldinst {\\field{\\*\\fldinst REF a}{\\fldrslt DDE}} c:\\\\x}{\\fldrslt y}}")));
  EXPECT_FALSE(starts(rtf("{\\field{\\*\\fldinst {\\field{\\*\\fldinst REF a}{\\fldrslt PAGE}}}{\\fldrslt DDE x}}")));
  EXPECT_TRUE(starts(word97("\x13 \x13 QUOTE 68 68 69 \x14x\x15 c:\\x\x14y\x15\r")));
  EXPECT_TRUE(
      starts(word97("\x13\x13 REF a \x14"
                    "DDEAUTO\x15 c:\\x\x14y\x15\r")));
  const auto field = [](const std::string& instruction, const std::string& shown) {
    const auto mark = [](const std::string& kind) { return "<w:r><w:fldChar w:fldCharType=\"" + kind + "\"/></w:r>"; };
    return mark("begin") + instruction + mark("separate") + shown + mark("end");
  };
  const auto code = [](const std::string& text) { return "<w:r><w:instrText>" + text + "</w:instrText></w:r>"; };
  const auto run = [](const std::string& text) { return "<w:r><w:t>" + text + "</w:t></w:r>"; };
  const auto paragraph = [](const std::string& runs) { return docx("<w:p>" + runs + "</w:p>"); };
  EXPECT_TRUE(starts(paragraph(field(field(code("QUOTE 68 68 69"), "") + code(" c:\\x"), run("y")))));
  EXPECT_TRUE(starts(paragraph(field(field(code("REF a"), run("DDEAUTO c:\\x")), run("y")))));
  EXPECT_TRUE(starts(paragraph(field("<w:fldSimple w:instr=\"QUOTE 68 68 69\">" + run("z") + "</w:fldSimple>", ""))));
  EXPECT_TRUE(starts(docx("<w:p><w:r><w:instrText>D&#68;E c:\\x</w:instrText></w:r></w:p>")));
  const std::string twice = "<mc:AlternateContent><mc:Choice>" + code("DDE") + "</mc:Choice><mc:Fallback>" +
                            code("XX") + "</mc:Fallback></mc:AlternateContent>";
  EXPECT_TRUE(starts(paragraph(field(twice + code("AUTO c:\\x"), ""))));
  EXPECT_FALSE(starts(paragraph(field(code("PAGE"), run("DDE x")))));
  EXPECT_EQ(first(paragraph(run("Fal") + field(code("PAGE"), run("ken")) + run("flug"))).text, "Falkenflug");
}

TEST(Fields, TabsAndParagraphsPartWords) {
  EXPECT_TRUE(
      starts(word97("\x13"
                    "DDEAUTO\rc:\\x\x14y\x15\r")));
  EXPECT_TRUE(starts(word97("\x13" + std::string(9000, ' ') + "DDEAUTO c:\\x\x14y\x15\r")));
  EXPECT_TRUE(starts(rtf("{\\field{\\*\\fldinst DDEAUTO\\tab c:\\\\x}}")));
  EXPECT_TRUE(starts(rtf("{\\field{\\*\\fldinst DDEAUTO\\par c:\\\\x}}")));
  const std::string begin = "<w:r><w:fldChar w:fldCharType=\"begin\"/></w:r>";
  const std::string end = "<w:r><w:fldChar w:fldCharType=\"end\"/></w:r>";
  for (const std::string_view between : {"<w:r><w:tab/></w:r>", "<w:r><w:br/></w:r>", "</w:p><w:p>"}) {
    EXPECT_TRUE(starts(docx("<w:p>" + begin + "<w:r><w:instrText>DDEAUTO</w:instrText></w:r>" + std::string(between) +
                            "<w:r><w:instrText>c:\\x</w:instrText></w:r>" + end + "</w:p>")));
  }
}

TEST(Fields, TooManyInsideEachOther) {
  EXPECT_EQ(scan(word97(std::string(100, '\x13') + "DDE x" + std::string(100, '\x15'))).reason(), Reason::depth);
  // One behind the other is no depth.
  std::string many;
  for (int i = 0; i < 200; ++i) many += "{\\*\\fldinst PAGE}";
  EXPECT_TRUE(scan(rtf(many)).complete());
}

TEST(Rtf, DestinationsThatAreNotFirst) {
  const std::string body = packed("notes.txt", program()).substr(4);
  const std::string object =
      little(0x501, 4) + little(2, 4) + little(8, 4) + "Package\0"s + little(0, 8) + little(body.size(), 4) + body;
  EXPECT_TRUE(has_program(scan(rtf("{\\object\\objemb\\objw1\\objdata " + hex_of(object) + "}"))));
  EXPECT_TRUE(starts(rtf("{\\field{\\i\\fldinst DDEAUTO c:\\\\x}}")));
  EXPECT_TRUE(first(rtf("{\\i\\template http://example.org/t}")).has(Mark::remote_template));
  // Programs that do not enter them show them.
  EXPECT_TRUE(holds(first(rtf("a {\\i\\template Falkenflug}")).text, "Falkenflug"));
  EXPECT_EQ(first("{\\rtf1\\ansi\\pict Falkenflug}").text, "Falkenflug");
  EXPECT_EQ(first(rtf("a{\\b\\pict 010203}b")).text, "ab");
}

TEST(Rtf, TextThatStandsApart) {
  EXPECT_EQ(first(rtf("{\\info{\\title T}{\\*\\company Acme}{\\nofcharsws10}}\\pard\\plain Falkenflug")).text,
            "T\nAcme\nFalkenflug");
  EXPECT_EQ(first(rtf("Fal{\\footnote\\pard\\plain see Adler}ken\\par next")).text, "Falken\nsee Adler\nnext");
  EXPECT_EQ(first(rtf("a{\\footnote one\\par two}\\cell b\\par c{\\header h}")).text, "a\tb\none\ntwo\nc\nh");
  EXPECT_EQ(first(rtf("Fal{\\field{\\*\\fldinst PAGE}{\\fldrslt ken}}flug")).text, "Falkenflug");
  EXPECT_EQ(first(rtf("a{\\shp{\\*\\shpinst{\\sp{\\sn gtextUNICODE}{\\sv CONFIDENTIAL}}{\\sp{\\sn fLine}{\\sv 0}}"
                      "{\\shptxt box\\par}}}b"))
                .text,
            "ab\nCONFIDENTIAL\nbox");
  EXPECT_EQ(first(rtf("{\\pict{\\*\\picprop{\\sp{\\sn wzDescription}{\\sv a map}}}0102}")).text, "a map");
}

std::string moniker(const std::string& clsid, const std::string& data, uint32_t flags = 1) {
  CompoundWriter writer;
  writer.stream(0, name16("\x01Ole"),
                little(0x02000001, 4) + little(flags, 4) + little(0, 12) + little(data.size() + 16, 4) + clsid + data);
  return writer.finish();
}

TEST(OleLinks, GoWhereTheirMonikersSay) {
  const std::string url_class = "\xe0\xc9\xea\x79\xf9\xba\xce\x11\x8c\x82\0\xaa\0\x4b\xa9\x0b"s;
  const std::string file_class = "\x03\x03\0\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"s;
  const std::string wide = name16("http://example.org/x.hta") + "\0\0"s;
  const std::string url = little(wide.size(), 4) + wide;
  EXPECT_TRUE(first(moniker(url_class, url)).has(Mark::remote_template));
  EXPECT_TRUE(first(moniker(url_class, url, 0)).has(Mark::remote_template));
  EXPECT_TRUE(holds(first(moniker(url_class, url)).text, "http://example.org/x.hta"));
  const auto file = [](const std::string& path) {
    const std::string unicode = name16(path);
    return little(0, 2) + little(path.size() + 1, 4) + path + '\0' + little(0xffff, 2) + little(0xdead, 2) +
           std::string(20, '\0') + little(unicode.size() + 6, 4) + little(unicode.size(), 4) + little(3, 2) + unicode;
  };
  EXPECT_TRUE(first(moniker(file_class, file("\\\\host\\x.doc"))).has(Mark::remote_template));
  EXPECT_FALSE(first(moniker(file_class, file("C:\\x.doc"))).has(Mark::remote_template));
  EXPECT_FALSE(first(moniker(file_class, file("\\\\host\\x.doc"), 0)).has(Mark::remote_template));
  const std::string object = little(0x501, 4) + little(2, 4) + little(9, 4) + "OLE2Link\0"s + little(0, 8);
  const std::string link = moniker(url_class, url);
  const Verdict verdict =
      scan(rtf("{\\object\\objautlink{\\*\\objdata " + hex_of(object + little(link.size(), 4) + link) + "}}"));
  ASSERT_EQ(verdict.leaves.size(), 2u);
  EXPECT_TRUE(verdict.leaves[1].has(Mark::remote_template));
}

TEST(Word97, TheAttachedTemplate) {
  const auto associations = [](std::vector<std::string> strings) {
    std::string out = little(0xffff, 2) + little(strings.size(), 2) + little(0, 2);
    for (const std::string& text : strings) out += little(text.size(), 2) + name16(text);
    return out;
  };
  const Leaf far = first(word97("x", 0, {}, associations({"", "\\\\host\\t.dot", "the title"})));
  EXPECT_TRUE(far.has(Mark::remote_template));
  EXPECT_TRUE(holds(far.text, "the title"));
  // What the property set says is not said twice.
  EXPECT_EQ(first(word97("x", 0, {{"\x05SummaryInformation", "y"}}, associations({"", "", "t"}))).text, "x");
  EXPECT_FALSE(first(word97("x", 0, {}, associations({"", "Normal.dot", "t"}))).has(Mark::remote_template));
  EXPECT_FALSE(first(word97("x", 0, {}, associations({"", "", "http://title"}))).has(Mark::remote_template));
}

TEST(Flat, LongCommentsHideNothing) {
  for (const size_t length : {17000u, 70000u, 2000000u}) {
    const std::string word = "<!--" + std::string(length, 'x') +
                             "--><w:wordDocument xmlns:w=\"http://schemas.microsoft.com/office/word/2003/wordml\"><w:p>"
                             "<w:fldSimple w:instr=\"DDEAUTO c:\\x\"/><w:r><w:t>text</w:t></w:r></w:p>"
                             "</w:wordDocument>";
    EXPECT_TRUE(starts("<?xml version=\"1.0\"?>" + word)) << length;
    EXPECT_TRUE(starts(word)) << length;
  }
  EXPECT_FALSE(worker::is_xml_document("<a>" + std::string(20000, 'x') + "</a>"));
}

TEST(Odt, ScriptsAndCallsThatRunByThemselves) {
  const auto listener = [](const std::string& target) {
    return odt(
        "<office:event-listeners><script:event-listener xmlns:script=\"s\" xmlns:xlink=\"x\" "
        "script:event-name=\"dom:load\" xlink:href=\"" +
        target + "\"/></office:event-listeners>");
  };
  EXPECT_TRUE(first(listener("vnd.sun.star.script:a.py$b?language=Python&amp;location=share")).has(Mark::macro_vba));
  EXPECT_FALSE(first(listener("#page2")).has(Mark::macro_vba));
  EXPECT_FALSE(first(odt("<text:p>vnd.sun.star.script:</text:p>")).has(Mark::macro_vba));
  const auto cell = [](const std::string& formula) {
    return odt("<table:table-cell table:formula=\"" + formula + "\"/>");
  };
  EXPECT_TRUE(starts(cell("of:=DDE(&quot;cmd&quot;;&quot;/c calc&quot;;&quot;A0&quot;)")));
  EXPECT_FALSE(starts(cell("of:=CONCATENATE(&quot;DDE(&quot;;[.A1])")));
}

TEST(Spreadsheet2003, FormulasTargetsAndHeaders) {
  const Leaf leaf = first(
      "<?xml version=\"1.0\"?><Workbook xmlns=\"urn:schemas-microsoft-com:office:spreadsheet\" "
      "xmlns:ss=\"urn:schemas-microsoft-com:office:spreadsheet\" xmlns:x=\"urn:schemas-microsoft-com:office:excel\">"
      "<Worksheet ss:Name=\"S\"><Table><Row><Cell ss:Formula=\"=cmd|'/c calc'!A0\" ss:HRef=\"http://example.org/\">"
      "<Data>1</Data></Cell></Row></Table><x:PageSetup><x:Header x:Data=\"&amp;CGeheim\"/></x:PageSetup></Worksheet>"
      "</Workbook>",
      "x.xml");
  EXPECT_TRUE(leaf.has(Mark::macro_dde));
  EXPECT_TRUE(holds(leaf.text, "http://example.org/\t1"));
  EXPECT_TRUE(holds(leaf.text, "\nGeheim"));
}

TEST(Formulas, WhatStartsAProgram) {
  using worker::calls_dde;
  using worker::is_dde_formula;
  EXPECT_TRUE(is_dde_formula("=cmd|'/c calc'!A0"));
  EXPECT_TRUE(is_dde_formula("=1+cmd|'/c calc'!A0"));
  EXPECT_FALSE(is_dde_formula("=IF(A1=\"a|b\",\"c!\",'x|y'!A1)+T[a|b]+S!A1"));
  EXPECT_TRUE(calls_dde("msoxl:=dde (\"a\";\"b\";\"c\")"));
  EXPECT_FALSE(calls_dde("of:=ADDED(1)+SUM(\"DDE(\")"));
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// What a reader of a document sees, and what a document starts, wherever in its package that stands and whatever the
// parts are called.
#include <gtest/gtest.h>

#include <array>

#include "test/support/scan_documents.h"
#include "test/support/scan_files.h"

using namespace postern::scan;
using namespace postern::scan::test;
using namespace std::string_literals;

namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

const std::string kWord = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"";
const std::string kDocuments = "application/vnd.openxmlformats-officedocument.";

// package is an OOXML package of parts with these content types, in their order.
std::string package(const std::vector<std::array<std::string, 3>>& parts) {
  std::string types = "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">";
  Members members(1);
  for (const auto& [name, type, bytes] : parts) {
    if (!type.empty()) types += "<Override PartName=\"/" + name + "\" ContentType=\"" + type + "\"/>";
    members.emplace_back(name, bytes);
  }
  members[0] = {"[Content_Types].xml", types + "</Types>"};
  return zip_of(members);
}
std::string document(const std::string& body, const std::string& name = "word/document.xml") {
  return package({{name, kDocuments + "wordprocessingml.document.main+xml",
                   "<w:document " + kWord + "><w:body>" + body + "</w:body></w:document>"}});
}
std::string run(const std::string& text, const std::string& properties = "") {
  return "<w:r><w:rPr>" + properties + "</w:rPr><w:t xml:space=\"preserve\">" + text + "</w:t></w:r>";
}
std::string field(const std::string& instruction) {
  return "<w:p><w:r><w:fldChar w:fldCharType=\"begin\"/></w:r><w:r><w:instrText>" + instruction +
         "</w:instrText></w:r><w:r><w:fldChar w:fldCharType=\"end\"/></w:r></w:p>";
}
Leaf first(const std::string& bytes, std::string_view name = "") { return scan(bytes, name).leaves[0]; }
std::string text(const std::string& bytes) { return first(bytes).text; }

TEST(ScanVisible, PartsAreWhatTheirTypeAndRootSay) {
  const std::string body = "<w:p>" + run("Falken") + run("flug") + "</w:p>" + field("DDEAUTO c:\\\\x cmd");
  for (const char* name :
       {"word/document.xml", "xl/worksheets/d.xml", "xl/workbook.xml", "xl/styles.xml", "xl/sharedStrings.xml",
        "customXml/document.xml", "docProps/document.xml", "docProps/core.xml", "a/vbaProject.bin", "d", "x.vml"}) {
    const Leaf leaf = first(document(body, name));
    EXPECT_TRUE(holds(leaf.text, "Falkenflug")) << name << ": " << leaf.text;
    EXPECT_TRUE(leaf.has(Mark::macro_dde)) << name;
  }
  // A type with parameters, and one of another program: what reads by roots reads it.
  const std::string root = "<w:hdr " + kWord + "><w:p>" + run("Falken") + run("flug") + "</w:p></w:hdr>";
  for (const char* type : {"spreadsheetml.sharedStrings+xml", "spreadsheetml.worksheet+xml", "spreadsheetml.styles+xml",
                           "wordprocessingml.header+xml; a=sharedstrings"}) {
    EXPECT_TRUE(holds(text(package({{"word/header1.xml", kDocuments + type, root}})), "Falkenflug")) << type;
  }
  const std::string slide =
      "<p:sld xmlns:p=\"p\" xmlns:a=\"a\"><a:p><a:r><a:t>Falken</a:t></a:r><a:r><a:t>flug</a:t></a:r></a:p></p:sld>";
  EXPECT_TRUE(
      holds(text(package({{"xl/worksheets/s.xml", kDocuments + "presentationml.slide+xml", slide}})), "Falkenflug"));
}

TEST(ScanVisible, PartsOfAWorkbookInOddPlaces) {
  const std::string link = "<externalLink><ddeLink ddeService=\"cmd\" ddeTopic=\"/c calc\"/></externalLink>";
  for (const char* name : {"xl/externalLinks/e.xml", "xl/worksheets/e.xml", "xl/workbook.xml", "customXml/e.xml",
                           "docProps/e.xml", "xl/styles.xml"}) {
    EXPECT_TRUE(first(package({{name, kDocuments + "spreadsheetml.externalLink+xml", link}})).has(Mark::macro_dde))
        << name;
  }
  // A sheet is one whatever type it has, and where no type is known.
  const std::string sheet =
      "<worksheet><sheetData><row><c t=\"inlineStr\"><is><t>Falken</t><t>flug</t></is></c><c><f>cmd|'/c calc'!A0</f>"
      "</c></row></sheetData></worksheet>";
  for (const std::string& type : {kDocuments + "spreadsheetml.worksheet+xml", ""s, "text/xml"s,
                                  kDocuments + "wordprocessingml.document.main+xml"}) {
    const Leaf leaf = first(package({{"xl/worksheets/sheet1.xml", type, sheet}}));
    EXPECT_TRUE(holds(leaf.text, "Falkenflug")) << type;
    EXPECT_TRUE(leaf.has(Mark::macro_dde)) << type;
  }
}

TEST(ScanVisible, PartsOfABinaryWorkbookByTheirType) {
  const std::string cell = little(0, 8) + little(10, 4) + "F\0a\0l\0k\0e\0n\0f\0l\0u\0g\0"s;
  const std::string sheet = "\x81\x01\0"s + "\0\x19"s + std::string(25, '\0') + "\x06"s + little(cell.size(), 1) + cell;
  const std::string link = "\xe8\x02\x02"s + little(1, 2);
  for (const char* name : {"sheet1.bin", "sheet1.dat", "sheet1", "sheet1.xml", "vbaProject.bin"}) {
    const Leaf leaf = first(package({{"xl/worksheets/"s + name, "application/vnd.ms-excel.worksheet", sheet}}));
    EXPECT_TRUE(holds(leaf.text, "Falkenflug")) << name << ": " << leaf.text;
    EXPECT_EQ(leaf.reason, Reason::none) << name;
    EXPECT_TRUE(first(package({{"xl/externalLinks/"s + name, "application/vnd.ms-excel.externalLink", link}}))
                    .has(Mark::macro_dde))
        << name;
  }
  // Workbooks in a workbook are files of their own.
  const std::string inner = zip_of({{"a", "b"}});
  for (const char* type : {"application/vnd.ms-excel.sheet.macroEnabled.12", "application/vnd.ms-excel.sheet"}) {
    EXPECT_EQ(first(package({{"xl/embeddings/inner.xlsm", type, inner}})).reason, Reason::none) << type;
  }
}

TEST(ScanVisible, FieldsThatLoadFromElsewhere) {
  for (const char* instruction :
       {"LINK htmlfile \"http://192.0.2.1/x\" \"\" \\a \\p", "LINK Excel.Sheet.8 \"\\\\\\\\192.0.2.1\\\\x.xls\" R1C1",
        "LINK \\a Excel.Sheet.8 \"\\\\\\\\192.0.2.1\\\\x.xls\"", "DATABASE \\d \"http://192.0.2.1/x\"",
        "LINK x\"http://192.0.2.1/x\"", "DATABASE \\c \"Provider=x;Data Source=\\\\\\\\192.0.2.1\\\\x\"",
        "INCLUDEPICTURE \\d \"http://192.0.2.1/x\""}) {
    EXPECT_TRUE(first(document(field(instruction))).has(Mark::remote_template)) << instruction;
    std::string escaped;
    for (const char* c = instruction; *c != '\0'; ++c) escaped += *c == '\\' ? "\\\\"s : std::string(1, *c);
    const std::string rtf = "{\\rtf1 {\\field{\\*\\fldinst " + escaped + "}{\\fldrslt x}}}";
    EXPECT_TRUE(first(rtf).has(Mark::remote_template)) << rtf;
  }
  for (const char* instruction :
       {"LINK Excel.Sheet.12 \"C:\\\\x.xlsx\" \"Tab!R1C1:R2C2\" \\a \\f 4 \\h",
        "LINK Excel.Sheet.12 \"C:\\\\x\" R1C1:R2C2", "INCLUDEPICTURE \"x.png\" \\* MERGEFORMAT",
        "DATABASE \\d \"C:\\\\x.mdb\" \\c \"DSN=MS Access;DBQ=C:\\\\x.mdb\"", "TIME \\@ \"HH:mm\"",
        "HYPERLINK \"http://example.org/\""}) {
    EXPECT_FALSE(first(document(field(instruction))).has(Mark::remote_template)) << instruction;
  }
  EXPECT_EQ(text(document(field("HYPERLINK \\o \"a tip\" \"http://example.org/\""))), "http://example.org/");
  EXPECT_EQ(text(document(field("HYPERLINK \\l \"there\""))), "there");
  EXPECT_EQ(text(document(field("HYPERLINK \\l\"there\""))), "there");
}

TEST(ScanVisible, SlidesThatRunPrograms) {
  const auto slide = [](const std::string& link) {
    return package({{"ppt/slides/slide1.xml", kDocuments + "presentationml.slide+xml",
                     "<p:sld xmlns:p=\"p\" xmlns:a=\"a\" xmlns:r=\"r\"><p:cNvPr><a:" + link + "/></p:cNvPr></p:sld>"}});
  };
  EXPECT_TRUE(first(slide("hlinkMouseOver r:id=\"r1\" action=\"ppaction://program\"")).has(Mark::macro_dde));
  EXPECT_TRUE(first(slide("hlinkClick r:id=\"r1\" action=\"ppaction://program\"")).has(Mark::macro_dde));
  EXPECT_FALSE(first(slide("hlinkClick r:id=\"r1\" action=\"ppaction://hlinksldjump\"")).has(Mark::macro_dde));
}

TEST(ScanVisible, HiddenLettersDoNotPartAWord) {
  const std::string hidden = run("xyz", "<w:vanish/>");
  EXPECT_EQ(text(document("<w:p>" + run("a Fal") + hidden + run("ken") + hidden + run("flug b") + "</w:p>")),
            "a Falxyzkenxyzflug b\na Falkenflug b");
  // What is hidden between words, or hidden no longer, is read once.
  EXPECT_EQ(text(document("<w:p>" + run("one ") + hidden + run("two") + "</w:p>")), "one xyztwo");
  EXPECT_EQ(text(document("<w:p>" + run("one") + run("x", "<w:vanish w:val=\"0\"/>") + run("two") + "</w:p>")),
            "onextwo");
}

TEST(ScanVisible, LabelsOfListsAndChoices) {
  const auto numbering = [](const std::string& format) {
    return package({{"word/numbering.xml", kDocuments + "wordprocessingml.numbering+xml",
                     "<w:numbering " + kWord + "><w:lvlText w:val=\"" + format + "\"/></w:numbering>"}});
  };
  EXPECT_EQ(text(numbering("Falkenflug %1:")), "Falkenflug :");
  EXPECT_EQ(text(numbering("%1.%2.")), "");
  EXPECT_EQ(text(numbering("o")), "");
  EXPECT_EQ(text(numbering("\xef\x82\xb7\xef\x82\xb7\xef\x82\xb7")), "");
  EXPECT_TRUE(
      holds(text(document("<w:p>" + run("Choose ") +
                          "<w:r><w:ffData><w:ddList><w:listEntry w:val=\"Falkenflug\"/></w:ddList></w:ffData></w:r>" +
                          run("now") + "</w:p>")),
            "Choose now\nFalkenflug"));
}

std::string open_document(const std::string& body) {
  const std::string spaces =
      "xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" xmlns:text=\"t\" xmlns:table=\"b\" "
      "xmlns:form=\"f\" xmlns:style=\"s\"";
  return zip_of({{"mimetype", "application/vnd.oasis.opendocument.spreadsheet"},
                 {"META-INF/manifest.xml", "<manifest/>"},
                 {"content.xml", "<office:document-content " + spaces + ">" + body + "</office:document-content>"}});
}

TEST(ScanVisible, CellsOfOpenDocumentWithTheirTextInAnAttribute) {
  const std::string cell = "<table:table-cell office:string-value=\"Falken flug\">";
  EXPECT_EQ(text(open_document(cell + "</table:table-cell>" + cell + "<text:p>Falken</text:p><text:p>flug</text:p>" +
                               "</table:table-cell>" + cell + "<text:p>other</text:p></table:table-cell>")),
            "Falken flug\nFalken\nflug\nother\nFalken flug");
}

TEST(ScanVisible, FormsAndListsOfOpenDocument) {
  EXPECT_EQ(
      text(open_document("<form:button form:label=\"Press\"/><form:textarea form:current-value=\"now\" "
                         "form:value=\"then\"/><form:listbox><form:option form:label=\"one\"/></form:listbox>"
                         "<text:p>in <text:drop-down><text:label text:value=\"two\"/>a</text:drop-down> row</text:p>")),
      "Press\nthen\nnow\none\nin a row\ntwo");
  EXPECT_EQ(text(open_document("<text:list-level-style-number style:num-prefix=\"Chapter \" style:num-suffix=\".\"/>"
                               "<text:list-level-style-number style:num-list-format=\"%1%.%2%\"/>")),
            "Chapter ");
}

TEST(ScanVisible, FormsThatAreNotRead) {
  EXPECT_EQ(first(zip_of({{"Index/Document.iwa", "\0\x10\0\0x"s}})).reason, Reason::unsupported);
  EXPECT_EQ(first(zip_of({{"My.pages/Index/Document.iwa", "\0\x10\0\0x"s}})).reason, Reason::unsupported);
  EXPECT_EQ(first(zip_of({{"Document.iwa.txt", "x"}})).reason, Reason::none);
}

// property_list is a binary property list of these objects.
std::string property_list(const std::vector<std::string>& objects) {
  std::string out = "bplist00", table;
  for (const std::string& object : objects) {
    table += static_cast<char>(out.size() >> 8 & 0xff);
    table += static_cast<char>(out.size() & 0xff);
    out += object;
  }
  const size_t at = out.size();
  return out + table + std::string(6, '\0') + "\x02\x01"s + std::string(7, '\0') + static_cast<char>(objects.size()) +
         std::string(14, '\0') + static_cast<char>(at >> 8 & 0xff) + static_cast<char>(at & 0xff);
}

TEST(ScanVisible, WebArchives) {
  const std::string page = "<html><body>Falken<b>flug</b></body></html>";
  const std::string data = "\x4f\x11"s + '\0' + static_cast<char>(page.size()) + page;
  const std::string name = "\x5f\x10\x0fWebMainResource";
  const std::string archive = property_list({"\xd1\x01\x02", name, data, "\x44text"});
  const Verdict verdict = scan(archive, "a.webarchive");
  ASSERT_EQ(verdict.leaves.size(), 3u);
  EXPECT_EQ(verdict.leaves[1].text, "Falkenflug");
  EXPECT_TRUE(verdict.leaves[1].is(FileType::html));
  EXPECT_TRUE(verdict.complete());
  EXPECT_EQ(first(archive.substr(0, archive.size() - 40), "a.webarchive").reason, Reason::corrupt);
  EXPECT_EQ(first(property_list({"\xd1\x01\x02", name, "\x4f\x11\xff\xff" + page}), "a").reason, Reason::corrupt);
  // Settings are property lists, too.
  EXPECT_TRUE(scan(property_list({"\xd1\x01\x02", "\x53key", data}), "Info.plist").complete());
}

}  // namespace

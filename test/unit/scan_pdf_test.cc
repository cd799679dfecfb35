// SPDX-License-Identifier: Apache-2.0
// PDF made here object by object: text, protection, what is embedded, damage, and files made to cost.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "engine/scan/worker/pdf_structure.h"
#include "engine/scan/worker/scan_job.h"
#include "test/unit/scan_support.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;

std::string pdf(const std::vector<std::string>& objects, const std::string& trailer = "") {
  std::string out = "%PDF-1.5\n";
  std::vector<size_t> places;
  for (size_t i = 0; i < objects.size(); ++i) {
    places.push_back(out.size());
    out += std::to_string(i + 1) + " 0 obj\n" + objects[i] + "\nendobj\n";
  }
  const size_t table = out.size();
  out += "xref\n0 " + std::to_string(objects.size() + 1) + "\n0000000000 65535 f \n";
  for (const size_t place : places) {
    const std::string digits = std::to_string(place);
    out += std::string(10 - digits.size(), '0') + digits + " 00000 n \n";
  }
  return out + "trailer\n<</Size " + std::to_string(objects.size() + 1) + "/Root 1 0 R" + trailer + ">>\nstartxref\n" +
         std::to_string(table) + "\n%%EOF\n";
}
std::string stream(const std::string& data, const std::string& more = "") {
  return "<</Length " + std::to_string(data.size()) + more + ">>\nstream\n" + data + "\nendstream";
}
std::string flate(const std::string& data) { return stream(test::deflate_raw(data, MAX_WBITS), "/Filter/FlateDecode"); }

// A document of one page with that content.
std::vector<std::string> page(const std::string& content, const std::string& resources = "") {
  return {"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
          "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>" + resources +
              ">>>>",
          content, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"};
}
std::string words(const std::string& text) { return "BT /F 12 Tf 72 700 Td (" + text + ") Tj ET"; }

Verdict scan(std::string_view bytes) {
  Job job;
  job.bytes = bytes;
  job.name = "a.pdf";
  return scan_job(job);
}
Leaf top(std::string_view bytes) { return scan(bytes).leaves.at(0); }
bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

TEST(ScanPdf, TextOfPages) {
  const Leaf leaf = top(pdf(page(stream(words("Needle in a page")))));
  EXPECT_TRUE(has(leaf.text, "Needle in a page")) << leaf.text;
  EXPECT_EQ(leaf.reason, Reason::none);
  EXPECT_EQ(leaf.protection, Protection::no);
}

TEST(ScanPdf, TextThatStandsForWhatIsDrawn) {
  const std::string drawn = words("Needle in a page");
  for (const char* mark :
       {"/Span<</ActualText(ok)>>BDC ", "/Span<</ActualText()>>BDC ", "/Span <</Actual#54ext<FEFF00AD>>> BDC "}) {
    const Leaf leaf = top(pdf(page(stream(mark + drawn + " EMC"))));
    EXPECT_TRUE(has(leaf.text, "Needle in a page")) << mark << leaf.text;
    EXPECT_EQ(leaf.reason, Reason::none);
    EXPECT_TRUE(has(top(pdf(page(flate(mark + drawn + " EMC")))).text, "Needle in a page")) << mark;
  }
  EXPECT_TRUE(has(top(pdf(page(stream("/Span<</ActualText(said)>>BDC " + drawn + " EMC")))).text, "said"));
  // By a name, and in a form.
  const std::string named = "/Span /P BDC " + drawn + " EMC";
  EXPECT_TRUE(has(top(pdf(page(stream(named), "/Properties<</P<</ActualText(ok)>>>>"))).text, "Needle in a page"));
  std::vector<std::string> objects = page(stream("/X Do"), "/XObject<</X 6 0 R>>");
  objects.push_back(stream(
      named, "/Type/XObject/Subtype/Form/BBox[0 0 612 792]/Resources<</Font<</F 5 0 R>>/Properties<</P 7 0 R>>>>"));
  objects.push_back("<</ActualText(ok)>>");
  EXPECT_TRUE(has(top(pdf(objects)).text, "Needle in a page"));
  // What is the same but for a hyphen is given once.
  const Leaf same = top(
      pdf(page(stream(words("Needle") + " /Span<</ActualText<FEFF00AD>>>BDC BT /F 12 Tf 72 600 Td (-) Tj ET EMC"))));
  EXPECT_EQ(same.text.find("Needle"), same.text.rfind("Needle")) << same.text;
}

// Where it is not certain how another reader takes the bytes, what is drawn is read or a reason given.
TEST(ScanPdf, TextThatStandsForWhatIsDrawnIsFoundOutOfStepToo) {
  const std::string drawn = words("Needle in a page");
  const std::string marked = "/Span<</ActualText(ok)>>BDC " + drawn + " EMC";
  const std::string image = "BI /W 8 /H 1 /BPC 1 /IM true ID xEI";
  EXPECT_TRUE(has(top(pdf(page(stream(image + marked)))).text, "Needle in a page"));
  const auto two = [](const std::string& first, const std::string& second) {
    std::vector<std::string> objects = page(stream(first));
    for (std::string& object : objects) {
      const size_t at = object.find("/Contents 4 0 R");
      if (at != std::string::npos) object.replace(at, 15, "/Contents [4 0 R 6 0 R]");
    }
    objects.push_back(stream(second));
    return top(pdf(objects));
  };
  EXPECT_TRUE(has(two("BT /F 12 Tf 72 600 Td (", "< ) Tj ET " + marked).text, "Needle in a page"));
  EXPECT_EQ(two("/Span<</Actual", "Text(ok)>>BDC " + drawn + " EMC").reason, Reason::corrupt);
  EXPECT_EQ(two("/Span <</P /Some ", "(ok)>>BDC " + drawn + " EMC").reason, Reason::none);
}

TEST(ScanPdf, MorePropertiesThanAreLookedAtAreTold) {
  std::string many;
  for (int n = 0; n < 100'001; ++n) many += "/P" + std::to_string(n) + "<</ActualText()>>";
  const std::string named = "/Span /Q BDC " + words("Needle in a page") + " EMC";
  const Leaf leaf = top(pdf(page(stream(named), "/Properties<<" + many + "/Q<</ActualText(ok)>>>>")));
  EXPECT_EQ(leaf.reason, Reason::members);
}

TEST(ScanPdf, JunkBeforeTheHeader) {
  EXPECT_TRUE(has(top(std::string(900, '\n') + pdf(page(stream(words("Needle"))))).text, "Needle"));
}

TEST(ScanPdf, DamageThatReadersRepair) {
  std::string bytes = pdf(page(stream(words("Needle"))));
  bytes.replace(bytes.find("startxref") + 10, 3, "999");
  EXPECT_TRUE(has(top(bytes).text, "Needle"));
  EXPECT_EQ(top("%PDF-1.4\n" + std::string(100'000, '\0')).reason, Reason::corrupt);
  EXPECT_EQ(top("%PDF-1.4\n%%EOF\n").reason, Reason::corrupt);
}

TEST(ScanPdf, NotesFormsAndProperties) {
  std::vector<std::string> objects = page(stream(words("Page")));
  objects[0] = "<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]>>/Outlines<</First 7 0 R>>>>";
  objects[2].insert(objects[2].size() - 2, "/Annots[8 0 R]");
  objects.push_back("<</FT/Tx/T(name)/V(Field value)>>");
  objects.push_back("<</Title(Chapter one)/Next 7 0 R>>");
  objects.push_back("<</Type/Annot/Subtype/Text/Rect[0 0 9 9]/Contents(A note)>>");
  objects.push_back("<</Title(Document title)>>");
  const std::string text = top(pdf(objects, "/Info 9 0 R")).text;
  for (const char* part : {"Page", "Field value", "Chapter one", "A note", "Document title"}) {
    EXPECT_TRUE(has(text, part)) << part << " in " << text;
  }
}

TEST(ScanPdf, EmbeddedFilesAndActions) {
  std::vector<std::string> objects = page(stream(words("Page")));
  objects[0] = "<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[(a)6 0 R]>>>>>>";
  objects.push_back("<</Type/Filespec/F(calc.exe)/EF<</F 7 0 R>>>>");
  objects.push_back(flate("MZ"s + std::string(58, '\0') + "\x40\0\0\0PE\0\0\x4c\x01"s + std::string(300, '\0')));
  const Verdict verdict = scan(pdf(objects));
  ASSERT_EQ(verdict.leaves.size(), 2u);
  EXPECT_EQ(verdict.leaves[1].name, "calc.exe");
  EXPECT_TRUE(verdict.leaves[1].is(FileType::exe));
  EXPECT_FALSE(verdict.leaves[0].has(Mark::active_content));
  objects[0] = "<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>";
  EXPECT_TRUE(top(pdf(objects)).has(Mark::active_content));
}

TEST(ScanPdf, OutsideNamesTheHandler) {
  const std::vector<std::string> objects = page(stream(words("x")));
  EXPECT_FALSE(pdf_structure(pdf(objects)).encrypted);
  std::vector<std::string> with = objects;
  with.push_back("<</Filter/Adobe.PubSec/SubFilter/adbe.pkcs7.s5/V 4>>");
  const PdfStructure found = pdf_structure(pdf(with, "/Encrypt 6 0 R"));
  EXPECT_TRUE(found.encrypted);
  EXPECT_EQ(found.handler, "Adobe.PubSec");
  EXPECT_EQ(top(pdf(with, "/Encrypt 6 0 R")).protection, Protection::yes);
  with[5] = "(trailer\n<</Encrypt 6 0 R>>)";
  EXPECT_FALSE(pdf_structure(pdf(with)).encrypted);
}

// CharacterMaps: without any right to open a file, text by maps of poppler-data is found.
TEST(ScanPdf, CharacterMapsAreKeptForWhoCannotOpenFiles) {
  const auto document = [](const std::string& map, const std::string& order, const std::string& code) {
    std::vector<std::string> objects = page(stream("BT /F 24 Tf 100 700 Td <" + code + "> Tj ET"));
    objects[4] = "<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/" + map + "/DescendantFonts[6 0 R]>>";
    objects.push_back("<</Type/Font/Subtype/CIDFontType0/BaseFont/X/CIDSystemInfo<</Registry(Adobe)/Ordering(" + order +
                      ")/Supplement 2>>/FontDescriptor 7 0 R>>");
    objects.push_back(
        "<</Type/FontDescriptor/FontName/X/Flags 4/FontBBox[0 0 1000 1000]/ItalicAngle 0/Ascent 800"
        "/Descent -200/CapHeight 700/StemV 80>>");
    return pdf(objects);
  };
  const pid_t child = fork();
  if (child == 0) {
    prepare();
    // From here on no descriptor is free.
    const rlimit none{3, 3};
    setrlimit(RLIMIT_NOFILE, &none);
    bool good = has(top(document("90ms-RKSJ-H", "Japan1", "93fa967b8cea")).text, "日本語");
    good = good && has(top(document("GBK-EUC-H", "GB1", "d6d0cec4")).text, "中文");
    good = good && has(top(document("KSCms-UHC-H", "Korea1", "c7d1b1db")).text, "한글");
    good = good && has(top(document("ETen-B5-H", "CNS1", "a4a4a4e5")).text, "中文");
    good = good && has(top(document("UniJIS-UTF16-H", "Japan1", "65e5672c")).text, "日本");
    good = good && top(document("No-Such-Map-H", "Japan1", "65e5")).reason == Reason::unsupported;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(ScanPdf, BombsEndAtOnce) {
  const Leaf large = top(pdf(page(flate(std::string(100 << 20, 'q')))));
  EXPECT_NE(large.reason, Reason::none);
  // Forms that draw each other ten times, twelve deep.
  std::vector<std::string> objects = page(stream("/X0 Do"), "/XObject<</X0 6 0 R>>");
  for (int i = 0; i < 12; ++i) {
    std::string draw;
    for (int k = 0; k < 10; ++k) draw += "/X Do ";
    objects.push_back(stream(i == 11 ? words("a") : draw,
                             "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</Font<</F 5 0 R>>"
                             "/XObject<</X " +
                                 std::to_string(i + 7) + " 0 R>>>>"));
  }
  EXPECT_NE(top(pdf(objects)).reason, Reason::none);
  // Form fields of which each is two of the next.
  objects = page(stream(words("Needle")));
  objects[0] = "<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]>>>>";
  for (int i = 0; i < 30; ++i) {
    const std::string next = std::to_string(i + 7) + " 0 R ";
    objects.push_back(i == 29 ? "<</FT/Tx/T(a)>>" : "<</T(a)/Kids[" + next + next + "]>>");
  }
  EXPECT_TRUE(has(top(pdf(objects)).text, "Needle"));
  // More objects than any reader should keep.
  EXPECT_EQ(
      top(pdf(page(stream(words("a")))) + "xref\n0 90000000\ntrailer\n<</Size 90000000/Root 1 0 R>>\nstartxref\n" +
          std::to_string(pdf(page(stream(words("a")))).size()) + "\n%%EOF\n")
          .reason,
      Reason::members);
  // Pages in themselves, tables that lead back.
  objects = page(stream(words("a")));
  objects[1] = "<</Type/Pages/Kids[2 0 R 2 0 R 3 0 R]/Count 99999999>>";
  top(pdf(objects));
  const std::string bytes = pdf(page(stream(words("Needle"))));
  top(pdf(page(stream(words("Needle"))), "/Prev " + std::to_string(bytes.find("xref\n0"))));
}

std::string times(size_t count, const std::string& text) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

TEST(ScanPdf, PagesThatWereNotCountedAreNotDrawn) {
  // Nodes without pages before the page; its cost is found, but not looked at.
  std::vector<std::string> objects = page(stream(words("Needle")));
  std::string kids;
  for (int i = 0; i < 20001; ++i) kids += std::to_string(i + 6) + " 0 R ";
  objects[1] = "<</Type/Pages/Kids[" + kids + "3 0 R]/Count 1>>";
  for (int i = 0; i < 20001; ++i) objects.push_back("<</Type/Pages/Kids[]/Count 0/Parent 2 0 R>>");
  const Leaf leaf = top(pdf(objects));
  EXPECT_EQ(leaf.reason, Reason::members);
  EXPECT_FALSE(has(leaf.text, "Needle"));
  // A page that is shown twice is one of two.
  objects = page(stream(words("Needle")));
  objects[1] = "<</Type/Pages/Kids[3 0 R 3 0 R]/Count 2>>";
  EXPECT_TRUE(has(top(pdf(objects)).text, "Needle"));
  EXPECT_EQ(top(pdf(objects)).reason, Reason::none);
  // A number that is not right; with some, many readers show nothing.
  for (const char* const wrong : {"0", "1", "99999"}) {
    objects[1] = "<</Type/Pages/Kids[3 0 R 3 0 R]/Count "s + wrong + ">>";
    const Leaf other = top(pdf(objects));
    EXPECT_EQ(other.text, "Needle\nNeedle") << wrong;
    EXPECT_EQ(other.reason, wrong == "1"s ? Reason::none : Reason::corrupt) << wrong;
  }
  // More pages than are drawn.
  kids.clear();
  for (int i = 0; i < 1100; ++i) {
    kids += std::to_string(i + 6) + " 0 R ";
    objects.push_back(objects[2]);
  }
  objects[1] = "<</Type/Pages/Kids[" + kids + "]/Count 1100>>";
  EXPECT_TRUE(has(top(pdf(objects)).text, "Needle"));
  EXPECT_EQ(top(pdf(objects)).reason, Reason::text);
}

TEST(ScanPdf, WhatIsTooMuchIsTold) {
  const std::vector<std::string> plain = page(stream(words("Needle")));
  const auto reason = [](const std::vector<std::string>& objects) { return top(pdf(objects)).reason; };
  const auto catalogue = [](const std::string& more) { return "<</Type/Catalog/Pages 2 0 R" + more + ">>"; };
  // An action behind more numbers than in most arrays is found.
  std::vector<std::string> objects = plain;
  objects.push_back("[" + times(150000, "0 ") + "<</S/JavaScript/JS(a)>>]");
  EXPECT_TRUE(top(pdf(objects)).has(Mark::active_content));
  EXPECT_EQ(reason(objects), Reason::none);
  objects[5] = "[" + times(200001, "<<>>") + "]";
  EXPECT_EQ(reason(objects), Reason::members);
  // Fields, the options of one, notes, parts of a form.
  objects = plain;
  objects[0] = catalogue("/AcroForm<</Fields[" + times(20001, "<</FT/Tx/V(a)>>") + "]>>");
  EXPECT_EQ(reason(objects), Reason::members);
  objects[0] = catalogue("/AcroForm<</Fields[<</FT/Ch/Opt[" + times(20001, "(a)") + "]>>]>>");
  EXPECT_EQ(reason(objects), Reason::members);
  objects = plain;
  objects[2].insert(objects[2].size() - 2, "/Annots[" + times(20001, "null ") + "]");
  EXPECT_EQ(reason(objects), Reason::members);
  objects = plain;
  objects[0] = catalogue("/AcroForm<</XFA[" + times(257, "(a)") + "]>>");
  EXPECT_EQ(reason(objects), Reason::members);
  objects[0] = catalogue("/AcroForm<</XFA[6 0 R 6 0 R 7 0 R]>>");
  objects.push_back(flate(times(9000, "<a>" + std::string(1000, 'x') + "</a>")));
  objects.push_back(stream("<script>"));
  EXPECT_EQ(reason(objects), Reason::size);
}

// Each damaged document has a verdict. POSTERN_MUTATIONS says how many.
TEST(ScanPdf, DamagedDocumentsHaveVerdicts) {
  const char* const wanted = std::getenv("POSTERN_MUTATIONS");
  const int count = wanted == nullptr ? 300 : std::atoi(wanted);
  std::vector<std::string> objects = page(flate(words("Needle in a page")), "/XObject<</X 6 0 R>>");
  objects.push_back(stream("/X Do", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]"));
  objects.push_back("<</Type/Filespec/F(a.txt)/EF<</F 8 0 R>>>>");
  objects.push_back(flate("embedded words"));
  const std::string whole = pdf(objects);
  std::mt19937 random(72658);
  uint64_t most = 0;
  for (int i = 0; i < count; ++i) {
    std::string bytes = whole;
    for (unsigned k = 0; k < 1 + random() % 12; ++k) {
      const size_t at = random() % bytes.size();
      switch (random() % 5) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, random() % 40);
          break;
        case 2:
          bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 60));
          break;
        case 3:
          bytes[at] = static_cast<char>('0' + random() % 10);
          break;
        default:
          if (random() % 8 == 0) bytes.resize(at + 1);
      }
    }
    const std::clock_t before = std::clock();
    const Verdict verdict = scan(bytes);
    most = std::max<uint64_t>(most, static_cast<uint64_t>(std::clock() - before));
    ASSERT_FALSE(verdict.leaves.empty());
    ASSERT_NE(verdict.leaves[0].reason, Reason::time) << i;
  }
  RecordProperty("most_cpu_microseconds", std::to_string(most * 1'000'000 / CLOCKS_PER_SEC));
  std::printf("%d documents, most CPU of one: %llu ms\n", count,
              static_cast<unsigned long long>(most * 1000 / CLOCKS_PER_SEC));
}

}  // namespace
}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// Structured values: parameters in every form, all readings of a file name, and writing them back.
#include "engine/mime/content_type.h"

#include <gmock/gmock.h>

#include <random>

#include "engine/base/text.h"
#include "test/unit/mime_support.h"

namespace postern::mime {
namespace {

using namespace std::string_literals;
using testing::Contains;
using testing::ElementsAre;

// show writes a value as "type; name=value…", malformed and duplicates marked.
std::string show(const StructuredValue& value) {
  std::string out = value.value;
  for (const Parameter& parameter : value.parameters) out += "; " + parameter.name + "=" + parameter.value;
  if (value.malformed) out += " !malformed";
  if (value.duplicate_parameter) out += " !duplicate";
  return out;
}

TEST(ContentType, ReadsAsReadersDo) {
  const struct {
    std::string raw;
    std::string shown;
  } table[] = {
      {"text/plain", "text/plain"},
      {" Text/HTML ;\r\n\tCharset=\"UTF-8\" ", "text/html; charset=UTF-8"},
      {"text/plain; charset=us-ascii (Plain text)", "text/plain; charset=us-ascii"},
      {"text/plain; (a;b) charset (c) = (d) us-ascii", "text/plain; charset=us-ascii"},
      {"text/plain;charset=utf-8;", "text/plain; charset=utf-8"},
      {"multipart/mixed; boundary=\"a\\\"b\"", "multipart/mixed; boundary=a\"b"},
      {"multipart/mixed; boundary=\"b\\nd\"", "multipart/mixed; boundary=bnd"},
      {"multipart/mixed; boundary=----=_Part_1", "multipart/mixed; boundary=----=_Part_1"},
      {"text/plain; name*=utf-8'en'%C3%A9.txt", "text/plain; name=é.txt"},
      {"text/plain; name*=utf-8''%C3%A9%zz", "text/plain; name=é%zz"},
      {"text/plain; name*0=\"a b\"; name*1=c", "text/plain; name=a bc"},
      {"text/plain; name*1=b; name*0=a; x=y", "text/plain; name=ab; x=y"},
      {"text/plain; name*0*=utf-8''%C3; name*1*=%A9; name*2=%41", "text/plain; name=é%41"},
      {"text/plain; name*=iso-8859-1''%E9", "text/plain; name=é"},
      {"text/plain; name=plain; name*=utf-8''ext", "text/plain; name=ext; name=plain"},
      {"text/plain; name=\"=?utf-8?B?w6kudHh0?=\"", "text/plain; name=é.txt"},
      {"text/plain; name==?utf-8?Q?=C3=A9.txt?=", "text/plain; name=é.txt"},
      {"text/plain; name=\"\xE9\"", "text/plain; name=é"},
      {"text/plain; name=\"C:\\dir\\a.exe\"", "text/plain; name=C:\\dir\\a.exe"},
      // Broken, and still read.
      {"text", " !malformed"},
      {"", " !malformed"},
      {";charset=x", "; charset=x !malformed"},
      {"text/", " !malformed"},
      {"/plain", " !malformed"},
      {"text/plain/x; a=b", "; a=b !malformed"},
      {"text /plain", "text/plain !malformed"},
      {"text(c)/plain", "text/plain !malformed"},
      {"\"text/plain\"; a=b", "text/plain; a=b !malformed"},
      {"text/plain charset=utf-8", "text/plain; charset=utf-8 !malformed"},
      {"text/plain; charset=utf-8 name=a.txt", "text/plain; charset=utf-8; name=a.txt !malformed"},
      {"text/plain; name=my file.txt", "text/plain; name=my file.txt !malformed"},
      {"text/plain; name=\"a.txt\".exe", "text/plain; name=a.txt !malformed"},
      {"multipart/mixed; boundary=\"bnd", "multipart/mixed; boundary=bnd !malformed"},
      {"multipart/mixed; boundary=\"bnd\r\n", "multipart/mixed; boundary=bnd !malformed"},
      {"text/plain; junk; a=b", "text/plain; a=b !malformed"},
      {"text/plain; =b; a=b", "text/plain; a=b !malformed"},
      {"text/plain; *=b; a=b", "text/plain; a=b !malformed"},
      {"text/plain; *0=b; a=b", "text/plain; a=b !malformed"},
      {"text/plain; a=1; a=2", "text/plain; a=1; a=2 !duplicate"},
      {"text/plain; a=1; A=1", "text/plain; a=1; a=1"},
      {"text/plain; a*=utf-8''1; a*=utf-8''2", "text/plain; a=1; a=2 !duplicate"},
      {"text/plain; a*0=1; a*0=2", "text/plain; a=1 !malformed !duplicate"},
      {"text/plain; a*0=1; a*2=3", "text/plain; a=1 !malformed"},
      {"text/plain; a*x=1", "text/plain !malformed"},
      {"text/plain; a*=no-charset", "text/plain; a=no-charset !malformed"},
      {"text/plain; a=b\0c"s, "text/plain; a=b\0c !malformed"s},
      {"text/plain; (unclosed a=b", "text/plain !malformed"},
  };
  for (const auto& row : table) EXPECT_EQ(show(parse_content_type(row.raw)), row.shown) << row.raw;
}

TEST(Disposition, ReadsAsReadersDo) {
  EXPECT_EQ(show(parse_disposition("Attachment; FileName=a.txt")), "attachment; filename=a.txt");
  EXPECT_EQ(show(parse_disposition("inline")), "inline");
  EXPECT_EQ(show(parse_disposition("")), " !malformed");
  EXPECT_EQ(show(parse_disposition("filename=x")), "; filename=x !malformed");
  EXPECT_EQ(show(parse_disposition("attachment filename=x")), "attachment; filename=x !malformed");
  EXPECT_EQ(show(parse_disposition("\"attachment\"; filename=x")), "attachment; filename=x !malformed");
}

std::vector<std::string> names_of(std::string_view disposition, std::string_view type = "application/octet-stream") {
  return file_names(parse_content_type(type), parse_disposition(disposition));
}

TEST(FileNames, EveryReading) {
  EXPECT_THAT(names_of("attachment; filename=a.exe"), ElementsAre("a.exe"));
  EXPECT_THAT(names_of("attachment"), ElementsAre());
  EXPECT_THAT(names_of("attachment", "text/plain; name=b.txt"), ElementsAre("b.txt"));
  EXPECT_THAT(names_of("attachment; filename=a.txt", "text/plain; name=a.txt"), ElementsAre("a.txt"));
  EXPECT_THAT(names_of("attachment; filename=a.txt", "text/plain; name=b.exe"), ElementsAre("a.txt", "b.exe"));
  EXPECT_THAT(names_of("attachment; filename=x.txt; filename=clam.exe"), ElementsAre("x.txt", "clam.exe"));
  EXPECT_THAT(names_of("attachment; filename=x.txt; filename*=utf-8''clam%2Eexe"), ElementsAre("clam.exe", "x.txt"));
  EXPECT_THAT(names_of("attachment; filename*0=x; filename*2=.exe"), Contains("x.exe"));
  EXPECT_THAT(names_of("attachment; filename*1=x.exe"), Contains("x.exe"));
  EXPECT_THAT(names_of("attachment; filename=my clam.exe"), ElementsAre("my clam.exe", "my"));
  EXPECT_THAT(names_of("attachment; filename=\"a.txt\".exe"), Contains("a.txt.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"clam\r\n .exe\""), ElementsAre("clam .exe", "clam.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"clam%2Eexe\""), Contains("clam.exe"));
  EXPECT_THAT(names_of("attachment; filename='a.exe'"), ElementsAre("'a.exe'", "a.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"..\\\\..\\\\clam.exe\""), Contains("clam.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"..\\..\\clam.exe\""), Contains("clam.exe"));
  EXPECT_THAT(names_of("attachment; filename=/tmp/a.exe"), ElementsAre("/tmp/a.exe", "a.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"x.txt:a.exe\""), Contains("a.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"a.exe. . \""), ElementsAre("a.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"...\""), ElementsAre());
  EXPECT_THAT(names_of("attachment; filename=\"a.exe\0.txt\""s), ElementsAre("a.exe.txt", "a.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"a\x01\x7F.exe\""), ElementsAre("a.exe"));
  EXPECT_THAT(names_of("attachment; filename*=utf-8''a%E2%80%AEtxt.exe"), ElementsAre("atxt.exe"));
  EXPECT_THAT(names_of("attachment; filename*=utf-8''a%E2%81%A6%D8%9C%E2%80%8B%C2%85b.exe"), ElementsAre("ab.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"=?utf-8?Q?a=2Eexe?=\""), ElementsAre("a.exe"));
  EXPECT_THAT(names_of("attachment; filename*0=\"=?utf-8?Q?a=2E\"; filename*1=\"exe?=\""), Contains("a.exe"));
  EXPECT_THAT(names_of("attachment; filename=\"a.exe"), ElementsAre("a.exe"));
  EXPECT_THAT(names_of("attachment; name=a.exe", "text/plain; filename=b.exe"), ElementsAre("a.exe", "b.exe"));
}

TEST(ContentType, IsBoundedAndLinear) {
  test::CpuTime cpu;
  std::string many = "text/plain";
  for (int i = 0; i < 20000; ++i) many += "; a" + std::to_string(i) + "=b";
  const StructuredValue value = parse_content_type(many);
  EXPECT_EQ(value.parameters.size(), 64u);
  EXPECT_TRUE(value.malformed);
  std::string segments = "text/plain";
  for (int i = 0; i < 20000; ++i) segments += "; name*" + std::to_string(i) + "=bcd";
  EXPECT_LE(parse_content_type(segments).get("name").size(), 64u * 3);
  std::string blanks = "text/plain";
  for (int i = 0; i < 20000; ++i) blanks += " a=" + std::string(10, 'x');
  parse_content_type(blanks);
  for (const std::string& unit :
       {"("s, ")"s, "\""s, "\\"s, ";"s, "="s, "'"s, "%41"s, "*"s, "a "s, " "s, "=?utf-8?q?"s, "a*0=\""s}) {
    std::string attack = "text/plain; name=\"";
    while (attack.size() < 256 * 1024) attack += unit;
    parse_content_type(attack);
    parse_content_type("text/plain; name=" + attack.substr(18));
    parse_content_type(attack.substr(18));
    file_names(parse_content_type(attack), parse_disposition(attack));
  }
  EXPECT_LT(cpu.seconds(), test::kCpuBound);
}

TEST(EncodeParameter, RoundTrips) {
  EXPECT_EQ(encode_parameter("filename", "a.txt"), "filename=a.txt");
  EXPECT_EQ(encode_parameter("filename", "a b.txt"), "filename=\"a b.txt\"");
  EXPECT_EQ(encode_parameter("filename", "a\"\\.txt"), "filename=\"a\\\"\\\\.txt\"");
  EXPECT_EQ(encode_parameter("filename", "é.txt"), "filename*=utf-8''%C3%A9.txt");
  EXPECT_EQ(encode_parameter("filename", ""), "filename=\"\"");
  std::mt19937 random(5);
  const std::vector<std::string> alphabet = {"a", "Z", ".",  " ", "\"", "\\", "%",  "'",  "*", ";",
                                             "=", "?", "=?", "é", "日", "😀", "\n", "\r", "\t"};
  for (int round = 0; round < 5000; ++round) {
    std::string name;
    const size_t size = random() % (round % 20 == 0 ? 300 : 30);
    for (size_t i = 0; i < size; ++i) name += alphabet[random() % alphabet.size()];
    const std::string written = encode_parameter("filename", name);
    const StructuredValue parsed = parse_disposition(" attachment; " + written);
    ASSERT_EQ(parsed.get("filename"), name) << written;
    ASSERT_FALSE(parsed.malformed) << written;
    ASSERT_EQ(fold_value("Content-Disposition", "attachment; " + written), "attachment; " + written);
  }
}

TEST(Extension, GivesTheType) {
  EXPECT_EQ(type_from_extension("a.EXE"), "application/x-msdownload");
  EXPECT_EQ(type_from_extension("a.b.pdf"), "application/pdf");
  EXPECT_EQ(type_from_extension("a.docx"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document");
  EXPECT_EQ(type_from_extension("a.unheardof"), "");
  EXPECT_EQ(type_from_extension("exe"), "");
  EXPECT_EQ(type_from_extension("a."), "");
  EXPECT_EQ(type_from_extension(""), "");
}

}  // namespace
}  // namespace postern::mime

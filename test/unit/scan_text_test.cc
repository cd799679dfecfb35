// SPDX-License-Identifier: Apache-2.0
// Text and what hides in it: charsets, HTML, XML, vCard, header fields, tables.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/scan/worker/scan_job.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;

Verdict scan(std::string_view bytes, std::string_view name, std::string_view mime = "", std::string_view charset = "") {
  Job job;
  job.bytes = bytes;
  job.name = name;
  job.declared_mime = mime;
  job.charset = charset;
  return scan_job(job);
}
std::string text(std::string_view bytes, std::string_view name, std::string_view mime = "",
                 std::string_view charset = "") {
  return scan(bytes, name, mime, charset).leaves.at(0).text;
}
bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// A program small enough to be written here.
std::string program() {
  return "MZ"s + std::string(58, '\0') + "\x40\0\0\0"s + "PE\0\0"s + "\x4c\x01"s + std::string(16, '\0') + "\x02\x01"s +
         std::string(300, '\0');
}
std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kAlphabet[group >> (18 - 6 * k) & 63];
  }
  return out;
}
bool finds_program(const Verdict& verdict) {
  return std::ranges::any_of(verdict.leaves,
                             [](const Leaf& leaf) { return leaf.is(FileType::exe) && leaf.has(Mark::embedded); });
}

TEST(ScanText, CharsetByMarkCarrierAndLooks) {
  EXPECT_TRUE(has(text("Gr\xfc\xdf"
                       "e",
                       "a.txt", "text/plain", "iso-8859-1"),
                  "Grüße"));
  EXPECT_TRUE(has(text("\xff\xfeh\0i\0!\0"s, "a.txt", "text/plain", "us-ascii"), "hi!"));
  EXPECT_TRUE(has(text("h\0e\0l\0l\0o\0 \0y\0o\0u\0"s, "a.txt", "text/plain"), "hello you"));
  EXPECT_TRUE(has(text("plain words under a false label", "a.txt", "text/plain", "utf-32"), "plain words"));
  const Verdict unknown = scan("words", "a.txt", "text/plain", "x-no-such-charset");
  EXPECT_EQ(unknown.leaves[0].reason, Reason::unsupported);
  EXPECT_TRUE(has(unknown.leaves[0].text, "words"));
}

TEST(ScanText, EveryCharsetTakesAnyBytes) {
  std::mt19937 random(72708);
  for (const std::string_view charset : mime::charset_names()) {
    for (int i = 0; i < 40; ++i) {
      std::string bytes(random() % 200, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      EXPECT_TRUE(base::is_valid_utf8(mime::to_utf8(bytes, charset).utf8)) << charset;
      EXPECT_TRUE(base::is_valid_utf8(text(bytes, "a.txt", "text/plain", charset))) << charset;
    }
  }
}

TEST(ScanText, HtmlWordsAreWhole) {
  const std::string out = text(
      "<html><body><p>con<b>fi</b><!-- -->dential</p><td>one<td>two<div style='display:none'>hid&eacute;n</div>"
      "<img alt='picture of it'><textarea>boxed</textarea><noscript>no</noscript>",
      "a.html", "text/html");
  EXPECT_TRUE(has(out, "confidential")) << out;
  EXPECT_TRUE(has(out, "one\ttwo")) << out;
  EXPECT_TRUE(has(out, "hidén")) << out;
  EXPECT_TRUE(has(out, "picture of it")) << out;
  EXPECT_TRUE(has(out, "boxed")) << out;
}

TEST(ScanText, HtmlScriptIsActive) {
  EXPECT_TRUE(scan("<html><script>alert(1)</script>", "a.html").leaves[0].has(Mark::active_content));
  EXPECT_TRUE(scan("<html><img onerror=x()>", "a.html").leaves[0].has(Mark::active_content));
  EXPECT_TRUE(scan("<html><a href=' java\nscript:x()'>y</a>", "a.html").leaves[0].has(Mark::active_content));
  EXPECT_FALSE(scan("<html><body><p>nothing</p></body></html>", "a.html").leaves[0].has(Mark::active_content));
}

TEST(ScanText, ProgramsSmuggledInPages) {
  const std::string code = base64(program());
  EXPECT_TRUE(finds_program(scan("<html><script>var a=atob('" + code + "')</script>", "a.html")));
  EXPECT_TRUE(
      finds_program(scan("<html><a href=\"data:application/octet-stream;base64," + code + "\">x</a>", "a.html")));
  std::string joined;
  for (size_t i = 0; i < code.size(); i += 60) joined += (i == 0 ? "'" : "' +\n  '") + code.substr(i, 60);
  EXPECT_TRUE(finds_program(scan("<html><script>var a=" + joined + "'</script>", "a.html")));
  std::string numbers;
  for (const char c : program()) numbers += std::to_string(static_cast<unsigned char>(c)) + ",";
  EXPECT_TRUE(finds_program(scan("<html><script>new Uint8Array([" + numbers + "0])</script>", "a.html")));
  EXPECT_TRUE(finds_program(
      scan("<svg xmlns='http://www.w3.org/2000/svg'><image href='data:x/y;base64," + code + "'/></svg>", "a.svg")));
}

// written writes each octet by a format of printf.
std::string written(std::string_view bytes, const char* format) {
  std::string out;
  char one[16];
  for (const char c : bytes) {
    std::snprintf(one, sizeof one, format, static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += one;
  }
  return out;
}

TEST(ScanText, ProgramsSmuggledInOtherDigits) {
  const auto page = [](const std::string& string) {
    return scan("<html><script>x('" + string + "')</script>", "a.html");
  };
  const std::string code = base64(program());
  for (const char* const format : {"%02x", "%02X", "\\x%02x", "%%%02x", "\\u%04X", "%%u00%02x"}) {
    EXPECT_TRUE(finds_program(page(written(program(), format)))) << format;
  }
  EXPECT_TRUE(finds_program(page("0x" + written(program(), "%02x"))));
  EXPECT_TRUE(finds_program(page(written(code, "\\x%02x")))) << "base64 whose letters are escaped";
  // As escape() of JavaScript writes it: letters stay.
  EXPECT_TRUE(finds_program(page("MZ" + written(program().substr(2), "%%%02X"))));
  std::string wide;
  for (size_t i = 0; i + 1 < program().size(); i += 2) {
    wide += "%u" + written(program().substr(i + 1, 1), "%02x") + written(program().substr(i, 1), "%02x");
  }
  EXPECT_TRUE(finds_program(page(wide)));
  // The alphabet for addresses.
  std::string bytes = program();
  for (size_t i = 200; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 7 == 0 ? 0xfb : 0xff);
  std::string url = base64(bytes);
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  EXPECT_TRUE(finds_program(page(url)));
}

TEST(ScanText, AddressesAndWordsAreNoData) {
  std::string link = "https://example.org/";
  for (int i = 0; i < 40; ++i) link += "%D0%BF%D1%80";
  std::string icon = "<svg xmlns=%22http://www.w3.org/2000/svg%22%3E";
  for (int i = 0; i < 40; ++i) icon += "%3Cg/%3E";
  std::string token;
  for (int i = 0; i < 12; ++i) token += "abcdefghijklmnopqrstuvwxy-";
  const std::string pages[] = {
      "<a href=\"" + link + "\">x</a>",
      "<a href='https://example.org/?t=abc_" + token + "'>x</a>",
      "<script>var r=/[\\u0300-\\u036f\\u0483-\\u0489]/, s='" + written(std::string(60, 'w'), "\\u03%02x") +
          "'</script>",
      "<p data-kind='d' dir=ltr>100 % of a, 20 % of b</p>",
  };
  for (const std::string& page : pages) {
    EXPECT_EQ(scan("<html><body>" + page + "</body></html>", "a.html").leaves.size(), 1u) << page;
  }
  // A picture in an address is given once.
  EXPECT_EQ(
      scan("<html><style>a{background:url('data:image/svg+xml," + icon + "')}</style></html>", "a.html").leaves.size(),
      2u);
  const std::string plain = "<html><img src=\"data:image/png;base64," + base64(program()) + "\"></html>";
  EXPECT_EQ(scan(plain, "a.html").leaves.size(), 2u);
}

TEST(ScanText, DataAddressesAsBrowsersReadThem) {
  const std::string code = base64(program());
  const std::string values[] = {
      "data:application/zip;base64," + written(code, "&#%u;"),
      "&#100;ata:application/zip;base64," + code,
      "data&#58;application/zip;base64&#44;" + code,
      "data&Tab;:application/zip;base64," + code,
      "\nda\nta:application/zip;base64," + code,
      "data:application/zip;%62ase64," + code,
      "data:application/zip;x=" + std::string(300, 'y') + ";base64," + code,
      "data:application/zip;x='<>';base64," + code,
  };
  for (const std::string& value : values) {
    EXPECT_TRUE(finds_program(scan("<html><a href=\"" + value + "\" download=x>x</a></html>", "a.html"))) << value;
  }
  EXPECT_TRUE(finds_program(scan("<svg xmlns='http://www.w3.org/2000/svg'><script>x('data&#58;a/b;base64," +
                                     written(code, "&#%u;") + "')</script></svg>",
                                 "a.svg")));
}

TEST(ScanText, PagesCalledUtf7AreReadBothWays) {
  const std::string page = "<script>x('" + base64(program()) + "')</script>words";
  EXPECT_TRUE(finds_program(scan("<html><meta charset='utf-7'>" + page, "a.html")));
  const Verdict verdict = scan("<html>" + page, "a.html", "text/html", "UNICODE-1-1-UTF-7");
  EXPECT_TRUE(finds_program(verdict));
  EXPECT_TRUE(has(text("+AHcAbwByAGQ-", "a.txt", "text/plain", "utf-7"), "word"));
}

TEST(ScanText, XmlEntitiesDoNotUnfold) {
  std::string laughs = "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY a0 'ha ha ha ha'>";
  for (int i = 1; i < 12; ++i) {
    laughs += "<!ENTITY a" + std::to_string(i) + " '";
    for (int k = 0; k < 10; ++k) laughs += "&a" + std::to_string(i - 1) + ";";
    laughs += "'>";
  }
  const Verdict verdict = scan(laughs + "]><a b='&a11;'>&a11; words</a>", "a.xml");
  EXPECT_LT(verdict.leaves[0].text.size(), 1u << 20);
  const std::string out = text("<?xml version='1.0'?><t><c>one</c><c>two</c><d>wo<i>r</i>ds &lt;</d></t>", "a.xml");
  EXPECT_TRUE(has(out, "one\ttwo") || has(out, "one\ntwo")) << out;
  EXPECT_TRUE(has(out, "words <")) << out;
}

TEST(ScanText, CardsAreRead) {
  const std::string out = text(
      "BEGIN:VCARD\r\nVERSION:2.1\r\nFN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:J=F6rg=\r\n M=FCller\r\n"
      "NOTE:first\\, sec\r\n  ond\r\nEND:VCARD\r\n",
      "a.vcf");
  EXPECT_TRUE(has(out, "JörgMüller")) << out;
  EXPECT_TRUE(has(out, "J=F6rg")) << out;
  EXPECT_TRUE(has(out, "first, sec  ond") || has(out, "first, sec ond")) << out;
  EXPECT_TRUE(has(text("BEGIN:VCARD\nVERSION:3.0\nNOTE:conf\n idential\nEND:VCARD\n", "a.vcf"), "confidential"));
  EXPECT_TRUE(
      finds_program(scan("BEGIN:VCARD\nVERSION:3.0\nKEY;ENCODING=b:" + base64(program()) + "\nEND:VCARD\n", "a.vcf")));
  EXPECT_TRUE(finds_program(
      scan("BEGIN:VCARD\nVERSION:4.0\nPHOTO:data:image/jpeg;base64," + base64(program()) + "\nEND:VCARD\n", "a.vcf")));
  EXPECT_TRUE(finds_program(scan(
      "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nATTACH;ENCODING=BASE64;VALUE=BINARY:" + base64(program()) +
          "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
      "a.ics")));
}

TEST(ScanText, HugeCardsEnd) {
  std::string photo = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Needle\r\nPHOTO;ENCODING=b:";
  for (int i = 0; i < 1'000'000; ++i) photo += "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUZHSElK\r\n ";
  const Verdict large = scan(photo + "\r\nEND:VCARD\r\n", "a.vcf", "text/vcard");
  EXPECT_EQ(large.leaves[0].reason, Reason::size) << large.leaves[0].mime;
  EXPECT_TRUE(has(large.leaves[0].text, "Needle"));
  std::string folds = "BEGIN:VCARD\r\nVERSION:3.0\r\nNOTE:a";
  for (int i = 0; i < 500'000; ++i) folds += "\r\n b";
  EXPECT_EQ(scan(folds, "a.vcf").leaves[0].reason, Reason::none);
  std::string many = "BEGIN:VCARD\r\nVERSION:3.0\r\n";
  for (int i = 0; i < 300'000; ++i) many += "TEL:1\r\n";
  EXPECT_EQ(scan(many, "a.vcf").leaves[0].reason, Reason::none);
}

TEST(ScanText, HeaderFieldsAreDecoded) {
  std::string out =
      text("Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n folded\r\nX: y\r\n\r\nFinal-Recipient: rfc822; a@b\r\n", "",
           "text/rfc822-headers");
  EXPECT_TRUE(has(out, "grüße folded")) << out;
  EXPECT_TRUE(has(out, "Final-Recipient: rfc822; a@b")) << out;
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "X-Header-Field: value\r\n";
  EXPECT_GT(text(many, "", "text/rfc822-headers").size(), 2'000'000u);
}

TEST(ScanText, TablesThatStartPrograms) {
  EXPECT_TRUE(scan("a,b\n1,=cmd|'/C calc'!A0\n", "a.csv", "text/csv").leaves[0].has(Mark::macro_dde));
  EXPECT_FALSE(scan("a,b\n1,x|y!\n", "a.csv", "text/csv").leaves[0].has(Mark::macro_dde));
  EXPECT_TRUE(has(text("{\"a\": \"pass\\u0077ord\", \"b\": [1, 2]}", "a.json", "application/json"), "password"));
}

TEST(ScanText, LimitOfText) {
  Job job;
  const std::string bytes(100'000, 'a');
  job.bytes = bytes;
  job.name = "a.txt";
  job.declared_mime = "text/plain";
  job.limits.text = 1000;
  const Verdict verdict = scan_job(job);
  EXPECT_EQ(verdict.leaves[0].reason, Reason::text);
  EXPECT_EQ(verdict.leaves[0].text.size(), 1000u);
}

}  // namespace
}  // namespace postern::scan::worker

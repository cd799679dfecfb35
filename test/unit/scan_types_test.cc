// SPDX-License-Identifier: Apache-2.0
// Types by content, on bytes made here: marks, ZIP and OLE2 by what is in them, text and scripts, polyglots, names.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <set>
#include <string>

#include "engine/scan/worker/filetype.h"
#include "test/unit/scan_support.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_literals;
using test::Zip;

// types lists the names of what `bytes` can be, apart by blanks.
std::string types(std::string_view bytes, std::string_view name = "", std::string_view declared = "") {
  std::string out;
  for (const FileType type : guess_types(bytes, name, declared).types) {
    out += (out.empty() ? "" : " ") + std::string(info(type).name);
  }
  return out;
}

std::string mime(std::string_view bytes, std::string_view name = "") { return guess_types(bytes, name, "").mime; }

std::string pe(uint32_t characteristics) {
  std::string out = "MZ"s + std::string(58, '\0') + "\x40\0\0\0"s + "PE\0\0"s + std::string(18, '\0');
  out += static_cast<char>(characteristics & 0xff);
  out += static_cast<char>(characteristics >> 8);
  return out + std::string(200, '\0');
}

TEST(FileTypes, MarksAtFixedPlaces) {
  EXPECT_EQ(types("%PDF-1.7\n"), "pdf");
  EXPECT_EQ(types("\x89PNG\r\n\x1a\n"s), "png");
  EXPECT_EQ(types("\x7f"
                  "ELF\x02\x01\x01"s +
                  std::string(60, '\0')),
            "elf");
  EXPECT_EQ(types("\xca\xfe\xba\xbe\0\0\0\x34"s), "java");
  EXPECT_EQ(types("\xca\xfe\xba\xbe\0\0\0\x02"s), "macho");
  EXPECT_EQ(types("L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"s), "lnk");
  EXPECT_EQ(types("Rar!\x1a\x07\x01\0"s), "rar");
  EXPECT_EQ(types("7z\xbc\xaf\x27\x1c\0\4"s), "7z");
  EXPECT_EQ(types("{\\rtf1 x}"), "rtf");
  EXPECT_EQ(types("\xfd\x37zXZ\0"s), "xz");
  EXPECT_EQ(types("\x22\xb5\x2f\xfd"s), "zstd") << "before its format was settled";
  EXPECT_EQ(types(std::string(32769, '\0') + "CD001\1"), "iso");
  EXPECT_EQ(types(std::string(8000, '\1')), "unknown");
  EXPECT_EQ(types(""), "unknown");
}

TEST(FileTypes, PdfBehindJunk) {
  EXPECT_EQ(types(std::string(1000, '\1') + "%PDF-1.4"), "pdf");
  EXPECT_EQ(types(std::string(5000, '\1') + "%PDF-1.4"), "unknown");
}

TEST(FileTypes, ProgramsOfWindows) {
  EXPECT_EQ(types(pe(0x0102)), "exe");
  EXPECT_EQ(types(pe(0x2102)), "dll exe");
  EXPECT_EQ(types(pe(0x2102) + "\0xlAutoOpen\0"s), "xll dll exe");
  EXPECT_EQ(types(pe(0x0102), "Funny.SCR. "), "scr exe");
  EXPECT_EQ(mime(pe(0x2102)), "application/vnd.microsoft.portable-executable");
  EXPECT_EQ(types("MZ and more of a text that begins so\n"), "txt");
}

TEST(FileTypes, PolyglotsAreEachOfTheirKinds) {
  Zip zip;
  zip.add("a.txt", "hello");
  EXPECT_EQ(types("GIF89a" + std::string(100, '\0') + zip.bytes()), "gif zip");
  EXPECT_EQ(types("\x89PNG\r\n\x1a\n"s + std::string(100, '\2') + pe(0x0102)), "png exe");
  EXPECT_EQ(types("%PDF-1.4\n" + std::string(2000, '\3') + zip.bytes()), "pdf zip");
  Zip jar;
  jar.add("META-INF/MANIFEST.MF", "Main-Class: A\n");
  EXPECT_EQ(types("GIF89a" + std::string(64, '\0') + jar.bytes()), "gif jar zip");
}

TEST(FileTypes, ZipByWhatIsInIt) {
  const auto with = [](std::string_view name, std::string_view data) {
    Zip zip;
    zip.add(name, data);
    return zip.bytes();
  };
  EXPECT_EQ(types(with("a", "b")), "zip");
  EXPECT_EQ(types(with("x.class", "b")), "jar zip");
  EXPECT_EQ(types(with("mimetype", "application/epub+zip")), "epub");
  EXPECT_EQ(types(with("mimetype", "application/vnd.oasis.opendocument.spreadsheet")), "ods");
  constexpr std::string_view kWord = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml";
  EXPECT_EQ(types(with("[Content_Types].xml", kWord)), "docx");
  EXPECT_EQ(types(with("[Content_Types].xml", "application/vnd.ms-word.document.macroEnabled.main+xml")), "docm");
  EXPECT_EQ(types(with("[Content_Types].xml", "application/vnd.ms-excel.sheet.binary.macroEnabled.main")), "xlsb");
  EXPECT_EQ(types(with("[Content_Types].xml", "application/x-other")), "ooxml");
  EXPECT_EQ(types("PK\5\6"s + std::string(18, '\0')), "zip") << "an empty one";
}

TEST(FileTypes, OleByItsStreams) {
  EXPECT_EQ(types(test::ole({u"WordDocument", u"1Table"})), "doc");
  EXPECT_EQ(types(test::ole({u"Workbook"})), "xls");
  EXPECT_EQ(types(test::ole({u"PowerPoint Document"})), "ppt");
  EXPECT_EQ(types(test::ole({u"__properties_version1.0"})), "msg");
  EXPECT_EQ(types(test::ole({u"VisioDocument"})), "visio");
  EXPECT_EQ(types(test::ole({u"EncryptionInfo", u"EncryptedPackage"})), "ole");
  EXPECT_EQ(types(test::ole({u"Other"})), "ole");
}

TEST(FileTypes, KindsOfText) {
  EXPECT_EQ(types("Dear all,\nhow are you?\n"), "txt");
  EXPECT_EQ(types("<!DOCTYPE html><p>x"), "html");
  EXPECT_EQ(types("<html><head><HTA:APPLICATION ID='x'></head></html>"), "html hta");
  EXPECT_EQ(types("<?xml version='1.0'?><a/>"), "xml");
  EXPECT_EQ(types("<?xml version='1.0'?><!-- c --><svg xmlns='x'><script/></svg>"), "svg xml");
  EXPECT_EQ(types("{\"a\": [1, 2, {}]}"), "json");
  EXPECT_EQ(mime("{\"a\":1}\n{\"a\":2}\n"), "application/x-ndjson");
  EXPECT_EQ(types("[1] 2"), "txt");
  EXPECT_EQ(types("BEGIN:VCARD\r\nVERSION:3.0\r\nEND:VCARD\r\n"), "vcard");
  EXPECT_EQ(types("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"), "ics");
  EXPECT_EQ(types("a,b\n1,2\n", "x.csv"), "csv");
  EXPECT_EQ(types("From: a@example.com\nTo: b@example.com\nSubject: x\n\nbody\n"), "rfc822");
  EXPECT_EQ(types("From a@example.com Mon Jun 01 10:00:00 2009\nSubject: x\n\nbody\n"), "mbox");
  EXPECT_EQ(types("Subject: x\n", "", "text/rfc822-headers"), "rfc822-headers");
  EXPECT_EQ(types("hello\nbegin 644 calc.exe\n#0V%T\n`\nend\n"), "uuencode txt");
  EXPECT_EQ(types("-----BEGIN PGP MESSAGE-----\n\nxx\n"), "pgp txt");
  EXPECT_EQ(types("[InternetShortcut]\r\nURL=file://x\r\n"), "url txt");
  EXPECT_EQ(types("REGEDIT4\r\n\r\n[HKEY_CURRENT_USER\\x]\r\n"), "reg txt");
}

TEST(FileTypes, WideTextIsText) {
  std::string wide = "\xff\xfe";
  for (const char c : "<html><body>hello</body></html>"s) wide += std::string(1, c) + '\0';
  EXPECT_EQ(types(wide), "html");
}

TEST(FileTypes, ScriptsByContentAndByName) {
  EXPECT_EQ(types("Set o=CreateObject(\"WScript.Shell\")\nMsgBox \"x\"\n"), "txt vbs");
  EXPECT_EQ(types("var s = new ActiveXObject(\"WScript.Shell\");\ns.Run(\"x\");\n"), "txt js");
  EXPECT_EQ(types("@echo off\r\nstart calc\r\n"), "txt bat");
  EXPECT_EQ(types("#!/bin/sh\necho\n"), "sh txt");
  EXPECT_EQ(types("#!/usr/bin/env python3\nprint(1)\n"), "python txt");
  EXPECT_EQ(types("We use CreateObject(x) and MsgBox often.\nThis text is prose about it\nand nothing else\nat all\n"),
            "txt");
  EXPECT_EQ(types("hello", "invoice.js"), "txt js");
  EXPECT_EQ(types("hello", "invoice.pdf.vbs"), "txt vbs");
  EXPECT_EQ(types("hello", "invoice.js. . "), "txt js");
  EXPECT_EQ(types("hello", "invoice\xe2\x80\xaexcod.js"), "txt js");
  EXPECT_EQ(types("hello", "C:\\a\\invoice.hta::$DATA"), "txt hta");
  EXPECT_EQ(types("%PDF-1.4", "a.js"), "pdf js") << "what runs scripts passes over a line that it does not understand";
  EXPECT_EQ(types("%PDF-1.4", "a.com"), "pdf");
  EXPECT_EQ(types("PK\x03\x04\0\0"s + std::string(100, '\0'), "a.js"), "zip js") << "whatever stands before";
  EXPECT_EQ(types("PK\x03\x04\0\0"s + std::string(100, '\0'), "a.com"), "zip");
}

TEST(FileTypes, EveryTypeHasARowAndItsNameIsUnique) {
  std::set<std::string> names;
  for (const FileTypeInfo& row : file_types()) {
    EXPECT_TRUE(names.emplace(row.name).second) << row.name;
    EXPECT_NE(row.mime.find('/'), std::string_view::npos) << row.name;
  }
}

}  // namespace
}  // namespace postern::scan::worker

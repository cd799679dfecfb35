// SPDX-License-Identifier: Apache-2.0
// Small documents made in tests of content scanning: Word files of three kinds, OpenDocument.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/scan/worker/ole.h"
#include "test/support/scan_files.h"

namespace postern::scan::test {

using Members = std::vector<std::pair<std::string, std::string>>;

inline std::string content_types(std::string_view overrides) {
  return "<?xml version=\"1.0\"?><Types "
         "xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" "
         "ContentType=\"application/relationships+xml\"/>"
         "<Default Extension=\"xml\" ContentType=\"application/xml\"/>" +
         std::string(overrides) + "</Types>";
}

inline std::string docx(const std::string& body, Members more = {}) {
  Members members = {
      {"[Content_Types].xml",
       content_types(
           "<Override PartName=\"/word/document.xml\" "
           "ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/>")},
      {"_rels/.rels", "<Relationships/>"},
      {"word/document.xml",
       "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\" "
       "xmlns:mc=\"http://schemas.openxmlformats.org/markup-compatibility/2006\"><w:body>" +
           body + "</w:body></w:document>"}};
  members.insert(members.end(), more.begin(), more.end());
  return zip_of(members);
}

inline std::string odt(const std::string& body, Members more = {}, const std::string& manifest = "") {
  const std::string names =
      " xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" "
      "xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\" "
      "xmlns:table=\"urn:oasis:names:tc:opendocument:xmlns:table:1.0\"";
  Members members = {{"mimetype", "application/vnd.oasis.opendocument.text"},
                     {"content.xml", "<office:document-content" + names + "><office:body><office:text>" + body +
                                         "</office:text></office:body></office:document-content>"},
                     {"META-INF/manifest.xml",
                      "<manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\">" +
                          manifest + "</manifest:manifest>"}};
  members.insert(members.end(), more.begin(), more.end());
  return zip_of(members);
}

// word97 makes a Word file of one piece of 8-bit text; `associations` are the strings of SttbfAssoc.
inline std::string word97(std::string_view text, uint32_t flags = 0, Members streams = {},
                          const std::string& associations = {}) {
  std::string document(0x800, '\0');
  const auto set = [&](size_t at, std::string_view bytes) { document.replace(at, bytes.size(), bytes); };
  set(0, little(0xa5ec, 2) + little(0xc1, 2));
  set(0x0a, little(flags, 2));
  const std::string pieces =
      little(0, 4) + little(text.size(), 4) + little(0, 2) + little(0x40000000u | 0x800 * 2, 4) + little(0, 2);
  const std::string clx = "\x02" + little(pieces.size(), 4) + pieces;
  set(0x1a2, little(0, 4) + little(clx.size(), 4));
  set(0x19a, little(clx.size(), 4) + little(associations.size(), 4));
  document += text;
  worker::CompoundWriter writer;
  using worker::name16;
  writer.stream(0, name16("WordDocument"), document);
  writer.stream(0, name16("0Table"), clx + associations);
  for (auto& [name, bytes] : streams) writer.stream(0, name16(name), bytes);
  return writer.finish();
}

// hex_of is bytes as RTF has them.
inline std::string hex_of(std::string_view data) {
  std::string hex;
  for (const char c : data) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    hex.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return hex;
}

inline bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace postern::scan::test

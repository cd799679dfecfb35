// SPDX-License-Identifier: Apache-2.0
// Documents that are one XML file: Word 2003, pkg:package ("flat OPC"), SpreadsheetML 2003, flat OpenDocument. Files in
// base64 in them are children.
#include <array>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

enum class Flat { none, office, odf };

Flat kind_of(std::string_view bytes) {
  // Most of what is asked about is no XML at all, as is seen by its first byte behind marks and blanks.
  const size_t first = bytes.find_first_not_of("\0 \t\r\n\xef\xbb\xbf\xff\xfe"sv);
  if (first == std::string_view::npos || bytes[first] != '<') return Flat::none;
  std::string head;
  for (const char c : bytes.substr(0, 16384)) {
    if (c != '\0') head.push_back(c);
  }
  std::string_view start = head;
  for (const std::string_view bom : {"\xef\xbb\xbf"sv, "\xff\xfe"sv, "\xfe\xff"sv}) {
    if (start.starts_with(bom)) start.remove_prefix(bom.size());
  }
  if (!base::trim(start).starts_with('<')) return Flat::none;
  static constexpr std::array kOffice = {"http://schemas.microsoft.com/office/word/2003/wordml"sv,
                                         "http://schemas.microsoft.com/office/2006/xmlPackage"sv,
                                         "urn:schemas-microsoft-com:office:spreadsheet"sv};
  for (const std::string_view name : kOffice) {
    if (head.find(name) != std::string::npos && head.find("<html") == std::string::npos) return Flat::office;
  }
  if (head.find("urn:oasis:names:tc:opendocument:xmlns:office:1.0") != std::string::npos &&
      head.find(":document") != std::string::npos) {
    return Flat::odf;
  }
  return Flat::none;
}

}  // namespace

std::string decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) continue;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out.push_back(static_cast<char>(bits >> have));
  }
  return out;
}

bool is_xml_document(std::string_view bytes) { return kind_of(bytes) != Flat::none; }

void read_xml_document(Context& context) {
  const std::string_view bytes = context.bytes();
  const Flat kind = kind_of(bytes);
  if (kind == Flat::none) return;
  TextSink sink(context);
  uint64_t out = 0;
  bool going = true;
  const auto binary = [&](std::string_view name, std::string_view base64) {
    if (!going) return;
    sink.flush();
    const std::string file = decode_base64(base64);
    const Reason reason = context.budget().out(file.size(), out, bytes.size());
    out += file.size();
    if (reason != Reason::none) {
      context.fail(reason);
      going = false;
      return;
    }
    const size_t slash = name.find_last_of('/');
    going = embed_file(context, file, slash == std::string_view::npos ? name : name.substr(slash + 1));
  };
  Reason reason = Reason::none;
  if (kind == Flat::office) {
    OoxmlState state{context, sink, {}, {}, {}};
    OoxmlHandler handler(state, OoxmlHandler::Kind::text);
    handler.binary = binary;
    reason = parse_xml(bytes, handler, false);
  } else {
    OdfHandler handler(context, sink);
    handler.binary = binary;
    reason = parse_xml(bytes, handler, true);
    handler.finish();
  }
  if (reason != Reason::none) context.fail(reason);
}

}  // namespace postern::scan::worker

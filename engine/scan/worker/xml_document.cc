// SPDX-License-Identifier: Apache-2.0
// Documents that are one XML file: Word 2003, pkg:package ("flat OPC"), SpreadsheetML 2003, flat OpenDocument. Files in
// base64 in them are children.
#include <algorithm>
#include <array>
#include <optional>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

enum class Flat { none, office, odf };

constexpr size_t kHead = 16384;
constexpr size_t kProlog = 1u << 20;
constexpr std::array kOffice = {"http://schemas.microsoft.com/office/word/2003/wordml"sv,
                                "http://schemas.microsoft.com/office/2006/xmlPackage"sv,
                                "urn:schemas-microsoft-com:office:spreadsheet"sv};
constexpr std::string_view kOdf = "urn:oasis:names:tc:opendocument:xmlns:office:1.0";

// Root looks at the first element: its namespace is one of those that it declares.
struct Root : XmlHandler {
  std::optional<Flat> kind;
  XmlParser* parser = nullptr;

  void start(std::string_view name, const XmlAttributes& attributes) override {
    kind = Flat::none;
    for (const char** pair = attributes.pairs(); *pair != nullptr; pair += 2) {
      const std::string_view key = pair[0];
      if (!key.starts_with("xmlns")) continue;
      if (std::ranges::find(kOffice, std::string_view(pair[1])) != kOffice.end()) kind = Flat::office;
      if (pair[1] == kOdf && name == "document") kind = Flat::odf;
    }
    parser->stop();
  }
  void end(std::string_view) override {}
  void characters(std::string_view) override {}
};

Flat kind_of(std::string_view bytes) {
  // Most of what is asked about is no XML at all, as is seen by its first byte behind marks and blanks.
  const size_t first = bytes.find_first_not_of("\0 \t\r\n\xef\xbb\xbf\xff\xfe"sv);
  if (first == std::string_view::npos || bytes[first] != '<') return Flat::none;
  std::string head;
  for (const char c : bytes.substr(0, kHead)) {
    if (c != '\0') head.push_back(c);
  }
  std::string_view start = head;
  for (const std::string_view bom : {"\xef\xbb\xbf"sv, "\xff\xfe"sv, "\xfe\xff"sv}) {
    if (start.starts_with(bom)) start.remove_prefix(bom.size());
  }
  if (!base::trim(start).starts_with('<')) return Flat::none;
  for (const std::string_view name : kOffice) {
    if (head.find(name) != std::string::npos && head.find("<html") == std::string::npos) return Flat::office;
  }
  if (head.find(kOdf) != std::string::npos && head.find(":document") != std::string::npos) return Flat::odf;
  if (bytes.size() <= kHead) return Flat::none;
  // Comments and instructions may be longer than that.
  Root root;
  XmlParser parser(root, true);
  root.parser = &parser;
  parser.feed(bytes.substr(0, kProlog), bytes.size() <= kProlog);
  if (root.kind || bytes.size() <= kProlog) return root.kind.value_or(Flat::none);
  for (const std::string_view name : kOffice) {
    if (bytes.find(name, kProlog) != std::string_view::npos) return Flat::office;
  }
  return bytes.find(kOdf, kProlog) != std::string_view::npos ? Flat::odf : Flat::none;
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
    going = embed(context, file, slash == std::string_view::npos ? name : name.substr(slash + 1));
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

// SPDX-License-Identifier: Apache-2.0
// Plain text, and text in which little is markup.
#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/html_entities.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/embedded_data.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

// Types whose own readers give the text.
bool is_read_elsewhere(const Leaf& leaf) {
  constexpr std::array<FileType, 8> kOther = {FileType::html, FileType::xhtml,         FileType::hta,
                                              FileType::xml,  FileType::vcard,         FileType::ics,
                                              FileType::svg,  FileType::rfc822_headers};
  return std::ranges::any_of(kOther, [&](FileType type) { return leaf.is(type); });
}

bool is_script(const Leaf& leaf) {
  constexpr std::array<FileType, 6> kScripts = {FileType::js,  FileType::vbs, FileType::ps1,
                                                FileType::bat, FileType::wsf, FileType::json};
  return std::ranges::any_of(kScripts, [&](FileType type) { return leaf.is(type); });
}

bool is_header_type(std::string_view mime) {
  constexpr std::array<std::string_view, 6> kTypes = {"text/rfc822-headers",     "message/global-headers",
                                                      "message/delivery-status", "message/global-delivery-status",
                                                      "message/feedback-report", "message/disposition-notification"};
  return std::ranges::find(kTypes, mime) != kTypes.end();
}

void find_dde(Context& context, std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bar = text.find('|', at);
    if (bar == std::string_view::npos) return;
    at = bar + 1;
    // The cell that the bar is in.
    constexpr size_t kFarthest = 512;
    const size_t from = bar > kFarthest ? bar - kFarthest : 0;
    const std::string_view before = text.substr(from, bar - from);
    const size_t edge = before.find_last_of(",;\t\r\n");
    const size_t begin = edge == std::string_view::npos ? from : from + edge + 1;
    if (edge == std::string_view::npos && from != 0) continue;
    const size_t end = std::min(text.find_first_of("\r\n", bar), text.size());
    if (is_dde(text.substr(begin, end - begin))) {
      context.mark(Mark::macro_dde);
      return;
    }
  }
}

// In pieces, of which one at a time is kept; no character is cut.
constexpr size_t kPiece = 1 << 15;
bool is_inside(char c) { return (c & 0xC0) == 0x80; }

void give_plain(TextSink& sink, std::string_view text) {
  while (!text.empty() && sink.wanted()) {
    size_t size = std::min(text.size(), kPiece);
    while (size > kPiece - 4 && size < text.size() && is_inside(text[size])) --size;
    sink.text(text.substr(0, size));
    text.remove_prefix(size);
  }
}

// give_json resolves the escapes of strings, so that "pass\u0077ord" is a word.
void give_json(TextSink& sink, std::string_view json) {
  std::string out;
  uint32_t high = 0;
  for (size_t i = 0; i < json.size(); ++i) {
    if (out.size() >= kPiece && !is_inside(json[i])) {
      sink.text(out);
      if (!sink.wanted()) return;
      out.clear();
    }
    if (json[i] != '\\' || i + 1 >= json.size()) {
      out += json[i];
      continue;
    }
    const char c = json[++i];
    if (c == 'u' && i + 4 < json.size()) {
      uint32_t code = 0;
      const char* const digits = json.data() + i + 1;
      const auto read = std::from_chars(digits, digits + 4, code, 16);
      if (read.ptr == digits + 4) {
        i += 4;
        if (code >= 0xD800 && code < 0xDC00) {
          high = code;
          continue;
        }
        if (code >= 0xDC00 && code < 0xE000) {
          code = high == 0 ? 0xFFFD : 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00);
        }
        high = 0;
        mime::append_utf8(code, out);
        continue;
      }
    }
    out += c == 'n' || c == 'r' ? '\n' : c == 't' ? '\t' : c;
  }
  sink.text(out);
}

}  // namespace

void read_text(Context& context) {
  const Leaf& leaf = context.leaf();
  if (is_read_elsewhere(leaf)) return;
  if (is_header_type(leaf.declared_mime)) return read_headers(context);
  const bool script = is_script(leaf);
  const bool table = leaf.is(FileType::csv) || leaf.name.ends_with(".csv") || leaf.declared_mime == "text/csv";
  if (!context.wants_text() && !script && !table) return;
  const DecodedText decoded(context, context.bytes(), {},
                            script || table ? SIZE_MAX : text_bytes_wanted(context.job().limits));
  if (table) find_dde(context, decoded.view());
  if (context.wants_text()) {
    TextSink sink(context);
    if (leaf.is(FileType::json)) {
      sink.line();
      give_json(sink, decoded.view());
    } else {
      give_plain(sink, decoded.view());
    }
    sink.line();
  }
  if (script) find_embedded(context, decoded.view(), true);
}

void prepare_text() {
  // Each converter is opened, which reads its table from ICU's data.
  constexpr std::string_view kSample = "a";
  for (const std::string_view charset : mime::charset_names()) mime::to_utf8(kSample, charset);
}

}  // namespace postern::scan::worker

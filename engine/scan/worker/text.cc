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
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/text_readers.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {
namespace {

// Types whose own readers give the text. What only its name makes one of them is text as well, and shown as it stands;
// what its carrier declares to be one is not.
bool is_read_elsewhere(const Leaf& leaf) {
  constexpr std::array<FileType, 8> kOther = {FileType::html, FileType::xhtml,         FileType::hta,
                                              FileType::xml,  FileType::vcard,         FileType::ics,
                                              FileType::svg,  FileType::rfc822_headers};
  const bool named = leaf.is(FileType::txt);
  return std::ranges::any_of(
      kOther, [&](FileType type) { return leaf.is(type) && (!named || leaf.declared_mime == info(type).mime); });
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

// starts_program tells whether a field of a cell is a formula of Excel's old macros that starts or loads a program.
bool starts_program(std::string_view field) {
  constexpr std::array<std::string_view, 4> kCalls = {"exec(", "call(", "register(", "fopen("};
  if (!field.starts_with('E')) return false;
  const std::string formula = base::lower(field.substr(1, 1024));
  return std::ranges::any_of(kCalls, [&](std::string_view call) {
    const size_t at = formula.find(call);
    return at != std::string::npos &&
           (at == 0 || std::string_view("=+-(,;&").find(formula[at - 1]) != std::string::npos);
  });
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

// is_table tells whether a spreadsheet opens this as cells, of whatever type the text is.
bool is_table(const Leaf& leaf) {
  constexpr std::array<std::string_view, 9> kExtensions = {"csv", "dif", "iqy", "prn", "slk",
                                                           "tab", "tsv", "xls", "xlt"};
  const std::string name = plain_name(leaf.name);
  const std::string_view extension = std::string_view(name).substr(std::min(name.rfind('.'), name.size() - 1) + 1);
  return leaf.is(FileType::csv) || leaf.declared_mime == "text/csv" ||
         leaf.declared_mime == "text/tab-separated-values" || leaf.declared_mime == "application/vnd.ms-excel" ||
         std::ranges::find(kExtensions, extension) != kExtensions.end();
}

// find_slk_macros looks through a table in Microsoft's symbolic link format: its records are lines, fields stand apart
// by ';', and an expression begins with 'E'.
void find_slk_macros(Context& context, std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view record = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view kind = record.substr(0, record.find(';'));
    if (kind != "C" && kind != "NN" && kind != "O") continue;
    for (size_t at = kind.size(); at < record.size();) {
      // ";;" is a character of a field.
      size_t next = record.find(';', at + 1);
      while (next != std::string_view::npos && record.substr(next, 2) == ";;") next = record.find(';', next + 2);
      next = std::min(next, record.size());
      const std::string_view field = record.substr(at + 1, next - at - 1);
      at = next;
      // A sheet of macros says so; a name that they start by, and what starts a program, are nowhere else.
      if (kind == "O" ? field == "E" : kind == "NN" ? base::istarts_with(field, "NAuto_") : starts_program(field)) {
        context.mark(Mark::macro_xlm);
      }
      if (kind == "C" && field.starts_with('E') && is_dde_formula(field.substr(1))) context.mark(Mark::macro_dde);
    }
  }
}

// find_cells looks for what a spreadsheet does with a table on its own.
void find_cells(Context& context, std::string_view text) {
  find_dde(context, text);
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  if (text.substr(begin).starts_with("ID;")) find_slk_macros(context, text.substr(begin));
  // A query: "WEB" and a version, which may be left out, and the address that the cells come from.
  const bool called = plain_name(context.leaf().name).ends_with(".iqy") &&
                      (text.find("://") != std::string_view::npos || text.find("\\\\") != std::string_view::npos);
  if (called || base::istarts_with(text, "WEB\r\n1") || base::istarts_with(text, "WEB\n1")) {
    context.mark(Mark::remote_template);
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
  const std::string_view bytes = context.bytes();
  const bool table = is_table(leaf) || bytes.starts_with("ID;P") || bytes.starts_with("WEB\r\n1\r\n");
  if (!context.wants_text() && !script && !table) return;
  const DecodedText decoded(context, bytes, {}, script || table ? SIZE_MAX : text_bytes_wanted(context.job().limits));
  if (table) find_cells(context, decoded.view());
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

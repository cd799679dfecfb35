// SPDX-License-Identifier: Apache-2.0
// Parts of binary workbooks (.xlsb, MS-XLSB): records of a type, a length and a body.
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

enum Type : uint32_t {
  kRow = 0,
  kRk = 2,
  kBool = 4,
  kReal = 5,
  kString = 6,
  kShared = 7,
  kFormulaString = 8,
  kFormulaNumber = 9,
  kItem = 19,
  kFormat = 44,
  kStyle = 47,
  kRichString = 62,
  kProperties = 153,
  kSheet = 156,
  kSupBook = 360,
  kHeaderFooter = 479,
  kLink = 494,
  kCellStyles = 617,
  kCellStylesEnd = 618,
  kComment = 637,
};

// wide reads a counted UTF-16 string at `at` and moves past it.
std::string wide(std::string_view body, size_t& at) {
  const uint32_t count = little32(body, at);
  at += 4;
  if (count == 0xffffffff) return {};
  const std::string_view text = slice(body, at, 2ull * count);
  at += text.size();
  return utf16(text);
}

bool read_varint(std::string_view bytes, size_t& at, size_t most, uint32_t& out) {
  out = 0;
  for (size_t i = 0; i < most && at < bytes.size(); ++i) {
    const uint32_t byte = byte_at(bytes, at++);
    out |= (byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

}  // namespace

void read_binary_part(OoxmlState& state, std::string_view bytes, bool shared_strings) {
  TextSink& sink = state.sink;
  bool cell_styles = false;
  uint32_t type = 0, length = 0, count = 0;
  for (size_t at = 0; at < bytes.size();) {
    if (!read_varint(bytes, at, 2, type) || !read_varint(bytes, at, 4, length)) break;
    const std::string_view body = slice(bytes, at, length);
    if (body.size() < length) state.context.fail(Reason::corrupt);
    at += body.size();
    if ((++count & 0xfff) == 0 && state.context.budget().expired()) {
      state.context.fail(Reason::time);
      return;
    }
    size_t place = 8;  // of a cell's value
    const uint32_t style = little32(body, 4) & 0xffffff;
    switch (type) {
      case kRow:
        sink.line();
        break;
      case kRk:
        sink.tab();
        sink.text(state.formats.show(rk_number(little32(body, 8)), style));
        break;
      case kBool:
        sink.tab();
        sink.text(byte_at(body, 8) != 0 ? "TRUE" : "FALSE");
        break;
      case kReal:
      case kFormulaNumber:
        sink.tab();
        sink.text(state.formats.show(little_double(body, 8), style));
        break;
      case kString:
      case kFormulaString:
        sink.tab();
        sink.text(wide(body, place));
        break;
      case kRichString:
        place = 9;
        sink.tab();
        sink.text(wide(body, place));
        break;
      case kShared: {
        const uint32_t index = little32(body, 8);
        sink.tab();
        if (index >= state.strings.size()) break;
        state.used[index] = true;
        sink.text(state.strings[index]);
        break;
      }
      case kItem: {
        if (!shared_strings) break;
        place = 1;
        std::string text = wide(body, place);
        state.string_bytes += text.size();
        if (state.string_bytes > state.context.budget().limits().text || state.strings.size() >= kMostStrings) {
          if (state.context.wants_text()) state.context.fail(Reason::text);
          return;
        }
        state.strings.push_back(std::move(text));
        state.used.push_back(false);
        break;
      }
      case kFormat:
        place = 2;
        state.formats.add_format(little16(body, 0), wide(body, place));
        break;
      case kCellStyles:
        cell_styles = true;
        break;
      case kCellStylesEnd:
        cell_styles = false;
        break;
      case kStyle:
        if (cell_styles) state.formats.add_style(little16(body, 2));
        break;
      case kProperties:
        state.formats.since_1904 = (little32(body, 0) & 1) != 0;
        break;
      case kSheet:
        wide(body, place);
        sink.paragraph(wide(body, place));
        break;
      case kSupBook:
        if (little16(body, 0) == 1) state.context.mark(Mark::macro_dde);
        break;
      case kHeaderFooter:
        place = 2;
        for (int i = 0; i < 6 && place < body.size(); ++i) sink.paragraph(plain_header(wide(body, place)));
        break;
      case kComment:
        place = 1;
        sink.paragraph(wide(body, place));
        break;
      default:
        break;
    }
  }
  sink.line();
}

}  // namespace postern::scan::worker

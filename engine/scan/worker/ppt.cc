// SPDX-License-Identifier: Apache-2.0
// PowerPoint 97 to 2003 (MS-PPT): text of slides, notes, masters, headers and footers, comments; embedded objects and
// macros; encryption. Records are read in the order of the file, containers not distinguished from their content, so
// that slides which a later edit replaced are read as well.
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

enum Type : uint32_t {
  kTextChars = 0x0fa0,
  kTextBytes = 0x0fa8,
  kCString = 0x0fba,
  kObjectStorage = 0x1011,
  kObjectStorage2 = 0x1012,
  kControl = 0x0fee,
  kCryptSession = 0x2f14,
  kVbaInfo = 0x03ff,
};

// slide_text turns vertical tabs (line breaks) and carriage returns (paragraphs) into line ends.
void slide_text(TextSink& sink, std::string text) {
  for (char& c : text) {
    if (c == '\r' || c == '\v') c = '\n';
  }
  sink.paragraph(text);
}

}  // namespace

void read_slides(Context& context, std::string_view stream, std::string_view current_user) {
  if (little32(current_user, 12) == 0xf3d1c4df) {
    context.leaf().protection = Protection::yes;
    context.fail(Reason::password);
    return;
  }
  TextSink sink(context);
  size_t at = 0;
  uint32_t count = 0;
  while (at + 8 <= stream.size()) {
    const uint32_t head = little16(stream, at);
    const uint32_t type = little16(stream, at + 2);
    const uint32_t length = little32(stream, at + 4);
    at += 8;
    if (type == kCryptSession) {
      context.leaf().protection = Protection::yes;
      context.fail(Reason::password);
      return;
    }
    if ((++count & 0xfff) == 0 && context.budget().expired()) {
      context.fail(Reason::time);
      return;
    }
    if ((head & 0x0f) == 0x0f) continue;  // a container: its records follow
    const std::string_view body = slice(stream, at, length);
    if (body.size() < length) context.fail(Reason::corrupt);
    at += body.size();
    switch (type) {
      case kTextChars:
        slide_text(sink, utf16(body));
        break;
      case kTextBytes:
        slide_text(sink, windows_1252(body));
        break;
      case kCString:
        slide_text(sink, utf16(body));
        break;
      case kObjectStorage:
      case kObjectStorage2: {
        sink.flush();
        std::string clear;
        const bool packed = (head >> 4) == 1;
        if (packed ? inflate_zlib(context, slice(body, 4), clear) : !body.empty()) {
          if (!embed(context, packed ? std::string_view(clear) : body, "", "object")) return;
        }
        break;
      }
      case kControl:
        context.mark(Mark::active_content);
        break;
      default:
        break;
    }
  }
}

}  // namespace postern::scan::worker

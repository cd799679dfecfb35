// SPDX-License-Identifier: Apache-2.0
// PowerPoint 97 to 2003 (MS-PPT): text of slides, notes, masters, headers and footers, comments, descriptions of
// pictures; embedded objects and macros; encryption. Records are read in the order of the file, containers not
// distinguished from their content, so that slides which a later edit replaced are read as well.
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

enum Type : uint32_t {
  kDocument = 0x03e8,
  kSlide = 0x03ee,
  kMainMaster = 0x03f8,
  kTextChars = 0x0fa0,
  kTextBytes = 0x0fa8,
  kCString = 0x0fba,
  kControl = 0x0fee,
  kObjectStorage = 0x1011,
  kObjectStorage2 = 0x1012,
  kTagData = 0x138b,
  kCryptSession = 0x2f14,
  kArtProperties = 0xf00b,
  kArtProperties2 = 0xf121,
  kArtProperties3 = 0xf122,
};

class Slides {
 public:
  explicit Slides(Context& context) : context_(context), sink_(context) {}

  // run reads records until the end; false when they are encrypted.
  bool run(std::string_view stream) {
    records(stream, false);
    return !encrypted_;
  }
  // any tells whether something was met that each presentation of this format has.
  bool any() const { return any_; }

 private:
  // records reads a row of records; what is `tagged` was put there by a later version of PowerPoint, or by anybody
  // else, so that it need not be records at all.
  void records(std::string_view stream, bool tagged) {
    size_t at = 0;
    while (going_ && at + 8 <= stream.size()) {
      const uint32_t head = little16(stream, at);
      const uint32_t type = little16(stream, at + 2);
      const uint32_t length = little32(stream, at + 4);
      at += 8;
      if (type == kCryptSession && !tagged) {
        encrypted_ = true;
        going_ = false;
        return;
      }
      if ((++count_ & 0xfff) == 0 && context_.budget().expired()) {
        context_.fail(Reason::time);
        going_ = false;
        return;
      }
      if (type == kControl && !tagged) context_.mark(Mark::active_content);
      if ((head & 0x0f) == 0x0f) {  // a container: its records follow
        any_ = any_ || type == kDocument || type == kSlide || type == kMainMaster;
        continue;
      }
      const std::string_view body = slice(stream, at, length);
      if (body.size() < length) {
        if (tagged) return;
        context_.fail(Reason::corrupt);
      }
      at += body.size();
      if (type == kTagData) {
        // Comments are in here. It ends where it says, whatever is in it, and holds none of its own kind.
        if (!tagged) records(body, true);
      } else {
        atom(type, head >> 4, body);
      }
    }
  }

  void atom(uint32_t type, uint32_t instance, std::string_view body) {
    switch (type) {
      case kTextChars:
        return text(utf16(body));
      case kTextBytes:
        return text(windows_1252(body));
      case kCString:
        // Not the names of what later versions added: "___PPT10".
        if (body.size() > 20 || !utf16(body).starts_with("___PPT")) text(utf16(body));
        return;
      case kArtProperties:
      case kArtProperties2:
      case kArtProperties3:
        return art_text(sink_, instance, body);
      case kObjectStorage:
      case kObjectStorage2: {
        sink_.flush();
        std::string clear;
        const bool packed = instance == 1;
        if (packed ? inflate_zlib(context_, slice(body, 4), clear) : !body.empty()) {
          going_ = embed(context_, packed ? std::string_view(clear) : body, "", "object");
        }
        return;
      }
      default:
        return;
    }
  }

  // text turns vertical tabs (line breaks) and carriage returns (paragraphs) into line ends.
  void text(std::string text) {
    for (char& c : text) {
      if (c == '\r' || c == '\v') c = '\n';
    }
    sink_.paragraph(text);
  }

  Context& context_;
  TextSink sink_;
  uint32_t count_ = 0;
  bool any_ = false;
  bool encrypted_ = false;
  bool going_ = true;
};

}  // namespace

void read_slides(Context& context, std::string_view stream, std::string_view current_user) {
  if (little32(current_user, 12) != 0xf3d1c4df) {
    Slides slides(context);
    if (slides.run(stream)) {
      // PowerPoint 95 has a stream of this name, too, in a form of its own.
      if (!slides.any()) context.fail(Reason::unsupported);
      return;
    }
  }
  std::string clear;
  if (context.budget().out(stream.size(), 0, stream.size()) != Reason::none) {
    context.fail(Reason::size);
  } else if (decrypt_slides(stream, current_user, clear)) {
    context.mark(Mark::encrypted_default);
    {
      Slides slides(context);
      if (!slides.run(clear)) context.fail(Reason::corrupt);
    }
    carve(context, clear);
    return;
  }
  context.leaf().protection = Protection::yes;
  context.fail(Reason::password);
}

}  // namespace postern::scan::worker

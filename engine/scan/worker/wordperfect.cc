// SPDX-License-Identifier: Apache-2.0
// Text of WordPerfect documents: 5 and 5.1, which have codes of their own, and 6 and later.
#include <algorithm>
#include <array>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

// wordperfect_character is a character of one of WordPerfect's sets, of which the first holds the letters of Europe.
uint32_t wordperfect_character(uint32_t set, uint32_t character) {
  static constexpr std::u16string_view kLetters =
      u"ÁáÂâÄäÀàÅåÆæÇçÉéÊêËëÈèÍíÎîÏïÌìÑñÓóÔôÖöÒòÚúÛûÜüÙùŸÿÃãĐđØøÕõÝýÐðÞþĂăĀāĄąĆćČčĈĉĊċĎďĚěĖėĒēĘę";
  static constexpr std::u16string_view kSigns = u"●○■•∗¶§¡¿«»£¥₧ƒªº½¼¢²ⁿ®©¤¾³‛’‘‟”“–—‹›○□†‡™";
  if (set == 0) return character;
  if (set == 1 && character == 23) return U'ß';
  if (set == 1 && character >= 9 && character <= 11) return U'’';
  if (set == 1 && character >= 26 && character - 26 < kLetters.size()) return kLetters[character - 26];
  if (set == 4 && character < kSigns.size()) return kSigns[character];
  return 0xfffd;
}

// Lines collects characters until a line or cell ends.
class Lines {
 public:
  explicit Lines(Context& context) : sink_(context) {}
  void put(uint32_t code) {
    append_code_point(text_, code);
    if (text_.size() > 16384) end();
  }
  void line() {
    end();
    sink_.line();
  }
  void tab() {
    end();
    sink_.tab();
  }
  // runs gives what looks like text in something of which no more is known.
  void runs(std::string_view bytes) {
    line();
    text_runs(sink_, bytes, false, 4);
  }

 private:
  void end() {
    sink_.text(text_);
    text_.clear();
  }
  TextSink sink_;
  std::string text_;
};

constexpr int kNested5 = 3;  // notes in headers, boxes in notes

// version5 reads codes of version 5 and 5.1.
void version5(Lines& lines, std::string_view bytes, int depth) {
  // Lengths of the functions 0xc0 to 0xcf, their code at both ends included.
  static constexpr std::array<uint8_t, 16> kFixed = {4, 9, 11, 3, 3, 5, 6, 7, 4, 5, 6, 6, 8, 10, 10, 12};
  for (size_t at = 0; at < bytes.size();) {
    const uint32_t code = byte_at(bytes, at);
    if (code >= 0x20 && code < 0x7f) {
      lines.put(code);
      ++at;
    } else if (code < 0xc0) {
      if (code == 0x0a || code == 0x0c || code == 0x8c || code == 0x90 || code == 0x99) lines.line();
      // A line or page that ends for want of room.
      if (code == 0x0b || code == 0x0d || (code >= 0x93 && code <= 0x95) || code == 0xa0) lines.put(' ');
      if (code >= 0xa9 && code <= 0xab) lines.put('-');
      ++at;
    } else if (code < 0xd0) {
      if (code == 0xc0) lines.put(wordperfect_character(byte_at(bytes, at + 2), byte_at(bytes, at + 1)));
      if (code == 0xc1 || code == 0xc2) lines.tab();
      at += kFixed[code - 0xc0];
    } else {
      // Subgroup, length from here to what stands again at the end: length, subgroup, code.
      const uint32_t kind = byte_at(bytes, at + 1);
      const size_t length = little16(bytes, at + 2);
      if (length < 4 || at + length + 4 > bytes.size() || byte_at(bytes, at + length + 3) != code) {
        ++at;
        continue;
      }
      const std::string_view body = slice(bytes, at + 4, length - 4);
      if (code == 0xd5 || code == 0xd6) {
        // Headers and footers; footnotes (a list of pages before the text) and endnotes.
        const size_t from = code == 0xd5 ? 18 : kind == 0 ? 15 + byte_at(body, 3) * size_t{2} : 7;
        lines.line();
        if (depth < kNested5) version5(lines, slice(body, from), depth + 1);
        lines.line();
      } else if (code == 0xdc || code == 0xdd) {
        if (kind == 0) {
          lines.tab();
        } else {
          lines.line();
        }
      } else if (code >= 0xd7 && code <= 0xda) {
        lines.runs(body);  // entries of an index, comments, boxes
      }
      at += length + 4;
    }
  }
  lines.line();
}

// version6 reads codes of version 6 and later.
void version6(Lines& lines, std::string_view bytes) {
  // Lengths of the functions 0xf0 to 0xff, code included.
  static constexpr std::array<uint8_t, 16> kFixed = {4, 5, 3, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 8, 8, 0};
  for (size_t at = 0; at < bytes.size();) {
    const uint32_t code = byte_at(bytes, at);
    if (code >= 0x20 && code < 0x7f) {
      lines.put(code);
      ++at;
    } else if (code >= 1 && code < 0x20) {
      // Often used letters of western languages.
      static constexpr std::array<uint16_t, 32> kLetters = {
          0,    0xe5, 0xc5, 0xe6, 0xc6, 0xe4, 0xc4, 0xe1, 0xe0, 0xe2, 0xe3, 0xc3, 0xe7, 0xc7, 0xeb, 0xe9,
          0xc9, 0xe8, 0xea, 0xed, 0xf1, 0xd1, 0xf8, 0xd8, 0xf5, 0xd5, 0xf6, 0xd6, 0xfc, 0xdc, 0xfa, 0xf9};
      lines.put(kLetters[code]);
      ++at;
    } else if (code == 0xf0) {
      lines.put(wordperfect_character(byte_at(bytes, at + 2), byte_at(bytes, at + 1)));
      at += 4;
    } else if (code > 0xf0) {
      at += std::max<size_t>(kFixed[code - 0xf0], 1);
    } else if (code >= 0xd0) {
      // A group's code, subgroup, and length of the whole.
      if (code == 0xd0 || code == 0xd1) lines.line();
      if (code == 0xe0) lines.tab();
      at += std::max<size_t>(little16(bytes, at + 2), 4);
    } else {
      if (code == 0x80 || code == 0xcd) lines.put(' ');
      if (code == 0x84 || code == 0x81) lines.put('-');
      if (code == 0x87 || code == 0xcc || code == 0xcf || code == 0xca || code == 0xcb || code == 0xce ||
          code == 0xc7 || code == 0x99)
        lines.line();
      ++at;
    }
  }
  lines.line();
}

}  // namespace

void read_wordperfect(Context& context) {
  const std::string_view bytes = context.bytes();
  if (!bytes.starts_with("\xffWPC")) return;
  if (little16(bytes, 0x0c) != 0) {
    context.leaf().protection = Protection::yes;
    context.fail(Reason::password);
    return;
  }
  const uint32_t kind = byte_at(bytes, 9), version = byte_at(bytes, 10);
  const std::string_view text = slice(bytes, std::max<size_t>(little32(bytes, 4), 16));
  Lines lines(context);
  // Graphics, macros and other files begin the same way and are searched like a document.
  constexpr uint32_t kDocument = 0x0a, kMacintosh = 0x2c;
  if (kind == kMacintosh || (kind == kDocument && version != 0 && version != 2)) {
    context.fail(Reason::unsupported);
  } else if (version == 0 && kind == kDocument) {
    version5(lines, text, 0);
  } else {
    version6(lines, text);
  }
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// Excel 2 to 2003 (MS-XLS, BIFF): what cells show, formulas' strings, sheet names, comments, text boxes, WordArt,
// headers and footers; macro sheets, DDE links, and workbooks encrypted with the default password.
#include <algorithm>
#include <vector>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/cell_format.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

enum Type : uint32_t {
  kFormula = 0x06,
  kString2 = 0x07,
  kBof2 = 0x09,
  kEof = 0x0a,
  kHeader = 0x14,
  kFooter = 0x15,
  kExternSheet = 0x17,
  kNote = 0x1c,
  kFormat2 = 0x1e,
  kDate1904 = 0x22,
  kFilePass = 0x2f,
  kContinue = 0x3c,
  kCodePage = 0x42,
  kBoundSheet = 0x85,
  kMulRk = 0xbd,
  kRString = 0xd6,
  kXf = 0xe0,
  kDrawingGroup = 0xeb,
  kDrawing = 0xec,
  kSst = 0xfc,
  kLabelSst = 0xfd,
  kExternBook = 0x1ae,
  kTxo = 0x1b6,
  kHyperlink = 0x1b8,
  kValidation = 0x1be,
  kNumber = 0x203,
  kLabel = 0x204,
  kBoolError = 0x205,
  kFormula3 = 0x206,
  kString = 0x207,
  kBof3 = 0x209,
  kRk = 0x27e,
  kFormula4 = 0x406,
  kBof4 = 0x409,
  kFormat = 0x41e,
  kBof = 0x809,
  kSeriesText = 0x100d,
};

// Segments reads across a record and those that continue it.
class Segments {
 public:
  void add(std::string_view bytes) { parts_.push_back(bytes); }
  bool done() {
    while (part_ < parts_.size() && at_ >= parts_[part_].size()) {
      ++part_;
      at_ = 0;
    }
    return part_ >= parts_.size();
  }
  uint32_t number(size_t octets) {
    uint32_t out = 0;
    for (size_t i = 0; i < octets && !done(); ++i) out |= byte_at(parts_[part_], at_++) << (8 * i);
    return out;
  }
  void skip(uint64_t count) {
    while (count > 0 && !done()) {
      const uint64_t now = std::min<uint64_t>(count, parts_[part_].size() - at_);
      at_ += now;
      count -= now;
    }
  }
  // each gives all of it, piece by piece.
  template <typename Take>
  void each(Take take) const {
    for (const std::string_view part : parts_) take(part);
  }
  // characters reads `count` characters; where a record ends among them, the next says anew how wide they are.
  std::string characters(uint64_t count, bool wide) {
    std::string out;
    while (count > 0 && part_ < parts_.size()) {
      if (at_ >= parts_[part_].size()) {
        if (++part_ >= parts_.size()) break;
        at_ = 1;
        wide = (byte_at(parts_[part_], 0) & 1) != 0;
        continue;
      }
      const size_t width = wide ? 2 : 1;
      const uint64_t fits = (parts_[part_].size() - at_) / width;
      const uint64_t now = std::min(count, fits);
      const std::string_view text = slice(parts_[part_], at_, now * width);
      if (wide) {
        append_utf16(out, text);
      } else {
        for (const char c : text) append_code_point(out, static_cast<unsigned char>(c));
      }
      at_ += now * width;
      if (now == 0) at_ = parts_[part_].size();  // half a character
      count -= now;
    }
    return out;
  }

 private:
  std::vector<std::string_view> parts_;
  size_t part_ = 0;
  size_t at_ = 0;
};

class Workbook {
 public:
  Workbook(Context& context, std::string_view stream) : context_(context), sink_(context), stream_(stream) {}

  // run returns false when a FILEPASS record was met, in `filepass`.
  bool run(std::string_view& filepass) {
    size_t at = 0;
    uint32_t count = 0;
    while (at + 4 <= stream_.size()) {
      const uint32_t type = little16(stream_, at);
      const size_t length = little16(stream_, at + 2);
      const std::string_view body = slice(stream_, at + 4, length);
      if (body.size() < length) context_.fail(Reason::corrupt);
      at += 4 + length;
      if (type == 0 && length == 0) continue;  // padding
      if (type == kFilePass && version_ != 0) {
        filepass = body;
        return false;
      }
      if ((++count & 0xfff) == 0 && context_.budget().expired()) {
        context_.fail(Reason::time);
        break;
      }
      Segments segments;
      segments.add(body);
      if (type == kSst || type == kTxo || type == kString || type == kLabel || type == kDrawing ||
          type == kDrawingGroup) {
        while (at + 4 <= stream_.size() && little16(stream_, at) == kContinue) {
          const size_t more = little16(stream_, at + 2);
          segments.add(slice(stream_, at + 4, more));
          at += 4 + more;
        }
      }
      record(type, body, segments);
    }
    if (version_ == 0) context_.fail(Reason::corrupt);
    sink_.line();
    for (size_t i = 0; i < strings_.size(); ++i) {
      if (!used_[i]) sink_.paragraph(strings_[i]);
    }
    return true;
  }

 private:
  void record(uint32_t type, std::string_view body, Segments& segments) {
    switch (type) {
      case kBof2:
        begin(2, body);
        break;
      case kBof3:
        begin(3, body);
        break;
      case kBof4:
        begin(4, body);
        break;
      case kBof:
        begin(little16(body, 0) == 0x0600 ? 8 : 5, body);
        break;
      case kEof:
        sink_.line();
        break;
      case kCodePage:
        code_page_ = little16(body, 0) == 0x8001 ? 1252 : little16(body, 0) == 0x8000 ? 10000 : little16(body, 0);
        break;
      case kDate1904:
        formats_.since_1904 = little16(body, 0) == 1;
        break;
      case kFormat:
        add_format(body);
        break;
      case kXf:
        formats_.add_style(little16(body, 2));
        break;
      case kBoundSheet:
        sheet(body);
        break;
      case kSst:
        shared_strings(segments);
        break;
      case kLabelSst:
        shared(body);
        break;
      case kLabel:
      case kRString:
        label(body, segments);
        break;
      case 0x02:
        if (version_ == 2) cell(body, std::to_string(little16(body, 7)));
        break;
      case 0x03:
        if (version_ == 2) cell(body, format_number(little_double(body, 7), "", false));
        break;
      case 0x04:
        if (version_ == 2) cell(body, ansi(slice(body, 8, byte_at(body, 7)), code_page_));
        break;
      case kNumber:
        cell(body, formats_.show(little_double(body, 6), little16(body, 4)));
        break;
      case kRk:
        cell(body, formats_.show(rk_number(little32(body, 6)), little16(body, 4)));
        break;
      case kMulRk:
        many(body);
        break;
      case kBoolError:
        if (byte_at(body, 7) == 0) cell(body, byte_at(body, 6) != 0 ? "TRUE" : "FALSE");
        break;
      case kFormula:
      case kFormula3:
      case kFormula4:
        formula(body);
        break;
      case kString:
        formula_string(body, segments);
        break;
      case kString2:
        if (version_ == 2) sink_.text(ansi(slice(body, 1, byte_at(body, 0)), code_page_));
        break;
      case kHeader:
      case kFooter:
        header(body);
        break;
      case kNote:
        note(body);
        break;
      case kDrawing:
      case kDrawingGroup:
        segments.each([this](std::string_view part) { art_.feed(sink_, part); });
        break;
      case kTxo:
        text_object(body, segments);
        break;
      case kExternBook:
        extern_book(body);
        break;
      case kExternSheet:
        extern_sheet(body);
        break;
      case kHyperlink:
        hyperlink(body);
        break;
      case kValidation:
        validation(body);
        break;
      case kSeriesText:
        series(body);
        break;
      default:
        break;
    }
  }

  void begin(uint32_t version, std::string_view body) {
    if (version_ == 0) version_ = version;
    art_ = {};
    const uint32_t kind = little16(body, 2);
    if (kind == 0x0040) context_.mark(Mark::macro_xlm);
    if (kind == 0x0006 && version == 5) context_.mark(Mark::macro_vba);  // a module of Excel 5 and 95
    row_ = UINT32_MAX;
    sink_.line();
  }

  void add_format(std::string_view body) {
    if (version_ == 8) {
      formats_.add_format(little16(body, 0), string16(slice(body, 2), 2));
    } else {
      formats_.add_format(little16(body, 0), ansi(slice(body, 3, byte_at(body, 2)), code_page_));
    }
  }

  // string16 reads a string with its count of `octets` octets before it.
  static std::string string16(std::string_view bytes, size_t octets) {
    Segments segments;
    segments.add(bytes);
    return string16(segments, octets);
  }
  static std::string string16(Segments& segments, size_t octets) {
    const uint32_t count = segments.number(octets);
    const uint32_t flags = segments.number(1);
    const uint64_t runs = (flags & 8) != 0 ? segments.number(2) : 0;
    const uint64_t extended = (flags & 4) != 0 ? segments.number(4) : 0;
    std::string out = segments.characters(count, (flags & 1) != 0);
    segments.skip(runs * 4 + extended);
    return out;
  }

  void sheet(std::string_view body) {
    const uint32_t kind = byte_at(body, 5);
    if (kind == 1) context_.mark(Mark::macro_xlm);
    if (kind == 6) context_.mark(Mark::macro_vba);
    sink_.paragraph(version_ == 8 ? string16(slice(body, 6), 1) : ansi(slice(body, 7, byte_at(body, 6)), code_page_));
  }

  void shared_strings(Segments& segments) {
    segments.skip(4);
    const uint32_t count = segments.number(4);
    uint64_t total = 0;
    while (strings_.size() < count && !segments.done()) {
      strings_.push_back(string16(segments, 2));
      total += strings_.back().size();
      if (total > context_.budget().limits().text || strings_.size() > kMostStrings) {
        if (context_.wants_text()) context_.fail(Reason::text);
        break;
      }
      if ((strings_.size() & 0xfff) == 0 && context_.budget().expired()) {
        context_.fail(Reason::time);
        break;
      }
    }
    used_.resize(strings_.size());
  }

  void place(std::string_view body) {
    const uint32_t row = little16(body, 0);
    if (row != row_) {
      sink_.line();
    } else {
      sink_.tab();
    }
    row_ = row;
  }
  void cell(std::string_view body, std::string_view text) {
    place(body);
    sink_.text(text);
  }
  void shared(std::string_view body) {
    const uint32_t index = little32(body, 6);
    if (index >= strings_.size()) return;
    used_[index] = true;
    cell(body, strings_[index]);
  }
  void label(std::string_view body, Segments& segments) {
    if (version_ == 8) {
      segments.skip(6);
      cell(body, string16(segments, 2));
    } else {
      cell(body, ansi(slice(body, 8, little16(body, 6)), code_page_));
    }
  }
  void many(std::string_view body) {
    if (body.size() < 6) return;
    place(body);
    for (size_t at = 4; at + 6 <= body.size() - 2; at += 6) {
      sink_.text(formats_.show(rk_number(little32(body, at + 2)), little16(body, at)));
      sink_.tab();
    }
  }

  void formula(std::string_view body) {
    place(body);
    size_t value = 6;
    if (version_ == 2) value = 7;
    if (little16(body, value + 6) == 0xffff) {
      if (byte_at(body, value) == 1) sink_.text(byte_at(body, value + 2) != 0 ? "TRUE" : "FALSE");
    } else {
      sink_.text(formats_.show(little_double(body, value), version_ == 2 ? 0 : little16(body, 4)));
    }
    if (version_ == 8) formula_strings(slice(body, 22, little16(body, 20)));
    if (version_ == 5) formula_strings(slice(body, 22, little16(body, 20)));
  }
  void formula_string(std::string_view body, Segments& segments) {
    sink_.tab();
    sink_.text(version_ == 8 ? string16(segments, 2) : ansi(slice(body, 2, little16(body, 0)), code_page_));
  }

  // formula_strings gives the string constants in a formula, as far as its tokens are known.
  void formula_strings(std::string_view tokens) {
    const bool new_format = version_ == 8;
    size_t at = 0;
    while (at < tokens.size()) {
      const uint32_t token = byte_at(tokens, at++);
      const uint32_t kind = token < 0x20 ? token : (token & 0x1f) | 0x20;
      if (kind >= 0x03 && kind <= 0x16) continue;
      switch (kind) {
        case 0x17: {
          const uint32_t count = byte_at(tokens, at);
          const bool wide = new_format && (byte_at(tokens, at + 1) & 1) != 0;
          at += new_format ? 2 : 1;
          const std::string_view text = slice(tokens, at, wide ? count * 2u : count);
          at += wide ? count * 2u : count;
          if (text.empty()) break;
          sink_.tab();
          sink_.text(wide ? utf16(text) : windows_1252(text));
          sink_.tab();
          break;
        }
        case 0x19: {
          const uint32_t option = byte_at(tokens, at);
          const size_t jumps = (option & 0x04) != 0 ? (little16(tokens, at + 1) + 1u) * 2u : 0;
          at += 3 + jumps;
          break;
        }
        case 0x01:
        case 0x02:
          at += 4;
          break;
        case 0x1c:
        case 0x1d:
          at += 1;
          break;
        case 0x1e:
        case 0x21:
        case 0x29:
          at += 2;
          break;
        case 0x1f:
          at += 8;
          break;
        case 0x20:
          at += 7;
          break;
        case 0x22:
          at += 3;
          break;
        case 0x23:
          at += new_format ? 4 : 14;
          break;
        case 0x24:
        case 0x2a:
        case 0x2c:
          at += new_format ? 4 : 3;
          break;
        case 0x25:
        case 0x2b:
        case 0x2d:
          at += new_format ? 8 : 6;
          break;
        case 0x26:
        case 0x27:
        case 0x28:
          at += 6;
          break;
        case 0x39:
          at += new_format ? 6 : 24;
          break;
        case 0x3a:
        case 0x3c:
          at += new_format ? 6 : 17;
          break;
        case 0x3b:
        case 0x3d:
          at += new_format ? 10 : 20;
          break;
        default:
          return;
      }
    }
  }

  // header gives a header or footer without the codes in it.
  void header(std::string_view body) {
    if (body.empty()) return;
    const std::string text = version_ == 8 ? string16(body, 2) : ansi(slice(body, 1, byte_at(body, 0)), code_page_);
    sink_.paragraph(plain_header(text));
  }
  void note(std::string_view body) {
    if (version_ == 8) {
      sink_.paragraph(string16(slice(body, 8), 2));
    } else {
      sink_.paragraph(ansi(slice(body, 6, little16(body, 4)), code_page_));
    }
  }
  void text_object(std::string_view body, Segments& segments) {
    segments.skip(body.size());
    if (segments.done()) return;
    const bool wide = (segments.number(1) & 1) != 0;
    sink_.paragraph(segments.characters(little16(body, 10), wide));
  }

  void extern_book(std::string_view body) {
    const uint32_t count = little16(body, 2);
    if (count == 0x0401 || count == 0x3a01) return;
    if (string16(slice(body, 2), 2).find('\x03') != std::string::npos) context_.mark(Mark::macro_dde);
  }
  void extern_sheet(std::string_view body) {
    if (version_ == 8) return;
    if (slice(body, 1, byte_at(body, 0)).find('\x03') != std::string_view::npos) context_.mark(Mark::macro_dde);
  }
  void hyperlink(std::string_view body) {
    static constexpr std::string_view kUrl("\xe0\xc9\xea\x79\xf9\xba\xce\x11\x8c\x82\x00\xaa\x00\x4b\xa9\x0b", 16);
    const size_t found = body.find(kUrl);
    if (found == std::string_view::npos) return;
    const std::string_view url = slice(body, found + 20, little32(body, found + 16));
    sink_.paragraph(utf16(until_nul16(url)));
  }
  void validation(std::string_view body) {
    if (version_ != 8) return;
    Segments segments;
    segments.add(slice(body, 4));
    for (int i = 0; i < 4; ++i) {
      const std::string text = string16(segments, 2);
      if (text.size() > 1) sink_.paragraph(text);
    }
  }
  void series(std::string_view body) {
    sink_.paragraph(version_ == 8 ? string16(slice(body, 2), 1) : ansi(slice(body, 3, byte_at(body, 2)), code_page_));
  }

  Context& context_;
  TextSink sink_;
  std::string_view stream_;
  CellFormats formats_;
  ArtText art_;
  std::vector<std::string> strings_;
  std::vector<bool> used_;
  uint32_t version_ = 0;
  uint32_t code_page_ = 1252;
  uint32_t row_ = UINT32_MAX;
};

}  // namespace

std::string plain_header(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '&') {
      out.push_back(text[at]);
      continue;
    }
    ++at;
    if (at >= text.size()) break;
    const char code = text[at];
    if (code == '&') {
      out.push_back('&');
    } else if (code == '"') {
      const size_t end = text.find('"', at + 1);
      at = end == std::string_view::npos ? text.size() : end;
    } else if (code == 'L' || code == 'C' || code == 'R') {
      if (!out.empty()) out.push_back('\t');
    } else if (code >= '0' && code <= '9') {
      while (at + 1 < text.size() && text[at + 1] >= '0' && text[at + 1] <= '9') ++at;
    } else if (code == 'K') {
      at += std::min<size_t>(6, text.size() - at - 1);
    }
  }
  return out;
}

void read_workbook(Context& context, std::string_view stream) {
  std::string_view filepass;
  std::string clear;
  {
    Workbook workbook(context, stream);
    if (workbook.run(filepass)) return;
  }
  if (context.budget().out(stream.size(), 0, stream.size()) != Reason::none) {
    context.fail(Reason::size);
    return;
  }
  if (!decrypt_workbook(stream, filepass, clear)) {
    context.leaf().protection = Protection::yes;
    context.fail(Reason::password);
    return;
  }
  context.mark(Mark::encrypted_default);
  Workbook workbook(context, clear);
  // The record that was met is blanked out in the clear copy, so a second one is a lie.
  if (!workbook.run(filepass)) context.fail(Reason::corrupt);
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// Word 2 to 2003 (MS-DOC): the text of all its stories by the piece table, fields, the bit that says it is encrypted.
#include <algorithm>
#include <vector>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/field.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

// A file may say that its pieces overlap, and so hold more text than bytes; a real one hardly does.
constexpr uint64_t kMostTimes = 4;

// Characters turns the characters of a document into text.
class Characters {
 public:
  Characters(Context& context, TextSink& sink) : sink_(sink), fields_(context) {}

  void add(uint32_t code) {
    switch (code) {
      case 0x13:
        fields_.begin();
        return;
      case 0x14:
        link(fields_.separate());
        return;
      case 0x15:
        link(fields_.end());
        return;
      case 0x07:
        if (fields_.in_instruction()) fields_.blank();
        flush();
        sink_.tab();
        return;
      case 0x09:
        put(' ');
        flush();
        sink_.tab();
        return;
      case 0x0b:
      case 0x0c:
      case 0x0d:
      case 0x0e:
        if (fields_.in_instruction()) fields_.blank();
        flush();
        sink_.line();
        return;
      case 0x1e:
        put('-');
        return;
      default:
        break;
    }
    if (code < 0x20 || code == 0xfffc) return;
    if (code == 0x1f || code == 0xad) return;
    put(code);
  }
  void finish() {
    while (fields_.depth() > 0) link(fields_.end());
    flush();
    sink_.line();
  }

 private:
  void put(uint32_t code) {
    if (fields_.in_instruction()) return fields_.code(code);
    append_code_point(pending_, code);
    if (pending_.size() > 8192) flush();
  }
  void flush() {
    sink_.text(pending_);
    pending_.clear();
  }
  void link(const std::string& target) {
    if (target.empty()) return;
    flush();
    sink_.paragraph(target);
  }

  TextSink& sink_;
  Fields fields_;
  std::string pending_;
};

void read_piece(Characters& characters, std::string_view bytes, bool wide, uint32_t code_page) {
  if (wide) {
    for (size_t at = 0; at + 1 < bytes.size(); at += 2) {
      uint32_t code = little16(bytes, at);
      if (code >= 0xd800 && code < 0xdc00 && at + 3 < bytes.size() && (little16(bytes, at + 2) & 0xfc00) == 0xdc00) {
        code = 0x10000 + ((code - 0xd800) << 10) + (little16(bytes, at + 2) - 0xdc00);
        at += 2;
      }
      characters.add(code);
    }
    return;
  }
  if (code_page == 1252) {
    for (const char c : bytes) characters.add(code_of_windows_1252(static_cast<unsigned char>(c)));
    return;
  }
  const std::string converted = ansi(bytes, code_page);
  for (size_t at = 0; at < converted.size();) {
    const uint32_t lead = byte_at(converted, at);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t i = 1; i < length; ++i) code = code << 6 | (byte_at(converted, at + i) & 0x3f);
    characters.add(code);
    at += length;
  }
}

// read_pieces reads the text by the piece table in `clx`. false: there is none in it.
bool read_pieces(Context& context, Characters& characters, std::string_view document, std::string_view clx, bool old,
                 uint32_t code_page) {
  size_t at = 0;
  while (byte_at(clx, at) == 1 && at + 3 <= clx.size()) at += 3 + little16(clx, at + 1);
  if (byte_at(clx, at) != 2 || at + 5 > clx.size()) return false;
  const std::string_view table = slice(clx, at + 5, little32(clx, at + 1));
  if (table.size() < 16) return false;
  const size_t count = (table.size() - 4) / 12;
  uint64_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t begin = little32(table, i * 4);
    const uint32_t end = little32(table, i * 4 + 4);
    if (end <= begin) {
      if (end < begin) context.fail(Reason::corrupt);
      continue;
    }
    const uint32_t place = little32(table, (count + 1) * 4 + i * 8 + 2);
    // Word 6 and 95 have bytes only; later ones say by a bit.
    const bool wide = !old && (place & 0x40000000) == 0;
    const uint64_t from = old ? place : wide ? place & 0x3fffffff : (place & 0x3fffffff) / 2;
    const uint64_t length = static_cast<uint64_t>(end - begin) * (wide ? 2 : 1);
    const std::string_view text = slice(document, from, length);
    if (text.size() < length) context.fail(Reason::corrupt);
    total += text.size();
    if (total > kMostTimes * document.size()) {
      context.fail(Reason::overlap);
      return true;
    }
    if ((i & 0xff) == 0 && context.budget().expired()) {
      context.fail(Reason::time);
      return true;
    }
    read_piece(characters, text, wide, code_page);
  }
  return true;
}

uint32_t code_page_of_language(uint32_t language) {
  switch (language & 0x3ff) {
    case 0x05:
    case 0x0e:
    case 0x15:
    case 0x18:
    case 0x1a:
    case 0x1b:
    case 0x1c:
    case 0x24:
      return 1250;
    case 0x02:
    case 0x19:
    case 0x22:
    case 0x23:
    case 0x2f:
      return 1251;
    case 0x08:
      return 1253;
    case 0x1f:
      return 1254;
    case 0x0d:
      return 1255;
    case 0x01:
    case 0x20:
    case 0x29:
      return 1256;
    case 0x25:
    case 0x26:
    case 0x27:
      return 1257;
    case 0x1e:
      return 874;
    case 0x11:
      return 932;
    case 0x12:
      return 949;
    case 0x04:
      return (language & 0xfc00) == 0x0400 || (language & 0xfc00) == 0x0c00 ? 950 : 936;
    default:
      return 1252;
  }
}

// is_remote_file tells it of what follows "file:". Word writes a share behind three slashes, with its own two
// backslashes.
bool is_remote_file(std::string_view path) {
  size_t slashes = 0;
  bool share = false;
  char last = '\0';
  for (;;) {
    const bool escaped = base::istarts_with(path, "%5c") || base::istarts_with(path, "%2f");
    if (!escaped && !path.starts_with('/') && !path.starts_with('\\')) break;
    const char c = path[0] == '/' || path.starts_with("%2") ? '/' : '\\';
    share = share || (c == '\\' && last == '\\');
    last = c;
    ++slashes;
    path.remove_prefix(escaped ? 3 : 1);
  }
  // A file on a drive is not elsewhere, one on a server is.
  if (path.size() > 1 && (path[1] == ':' || path[1] == '|')) return false;
  return share || slashes != 3;
}

// read_associations reads the strings of a document that are about it (SttbfAssoc): its template, then what it is
// called and by whom it is.
void read_associations(Context& context, TextSink& sink, std::string_view table, bool old, bool described) {
  constexpr uint32_t kTemplate = 1;
  constexpr uint32_t kTitle = 2;
  constexpr uint32_t kLastAuthor = 7;
  const bool wide = !old && little16(table, 0) == 0xffff;
  size_t at = wide ? 6 : old ? 2 : 4;
  const uint32_t extra = wide ? little16(table, 4) : old ? 0 : little16(table, 2);
  for (uint32_t index = 0; index <= kLastAuthor && at < table.size(); ++index) {
    const size_t length = wide ? size_t{little16(table, at)} * 2 : byte_at(table, at);
    at += wide ? 2 : 1;
    const std::string_view raw = slice(table, at, length);
    at += length + extra;
    const std::string text = wide ? utf16(raw) : windows_1252(raw);
    if (index == kTemplate && is_remote(text)) {
      context.mark(Mark::remote_template);
      sink.paragraph(text);
    }
    if (index >= kTitle && !described && context.job().want_metadata) sink.paragraph(text);
  }
}

}  // namespace

bool is_remote(std::string_view target) {
  const std::string_view text = base::trim(target);
  if (text.starts_with("\\\\") || text.starts_with("//")) return true;
  if (base::istarts_with(text, "file:")) return is_remote_file(text.substr(5));
  const size_t colon = text.find(':');
  // A drive letter is no scheme.
  if (colon == std::string_view::npos || colon < 2) return false;
  return std::ranges::all_of(text.substr(0, colon), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
           c == '.';
  });
}

void read_word(Context& context, std::string_view document, std::string_view table0, std::string_view table1,
               bool described) {
  const uint32_t ident = little16(document, 0);
  const uint32_t version = little16(document, 2);
  const uint32_t flags = little16(document, 0x0a);
  if (document.size() < 0x40 || (ident != 0xa5ec && ident != 0xa5dc && ident != 0xa5db && ident != 0xa59b &&
                                 ident != 0xa59c && ident != 0xa699 && ident != 0xa697 && ident != 0xa698)) {
    context.fail(Reason::corrupt);
    return;
  }
  if ((flags & 0x0100) != 0) {
    context.leaf().protection = Protection::yes;
    context.fail(Reason::password);
    return;
  }
  TextSink sink(context);
  Characters characters(context, sink);
  // Word 97 begins with version 0xc1; some writers of Word 97 say 0xa5 to 0xc0 in documents of Word 95.
  const bool old = ident != 0xa5ec || version < 0xc0;
  if (!old) {
    const std::string_view table = (flags & 0x0200) != 0 ? table1 : table0;
    const std::string_view clx = slice(table, little32(document, 0x1a2), little32(document, 0x1a6));
    if (!read_pieces(context, characters, document, clx, false, 1252)) {
      // Without a table there is no telling where text is; what looks like it is given.
      context.fail(Reason::corrupt);
      text_runs(sink, document, true, 4);
      text_runs(sink, document, false, 6);
    }
    characters.finish();
    read_associations(context, sink, slice(table, little32(document, 0x19a), little32(document, 0x19e)), false,
                      described);
    return;
  }
  const uint32_t code_page = code_page_of_language(little16(document, 6));
  const uint64_t begin = little32(document, 0x18);
  const uint64_t end = little32(document, 0x1c);
  const std::string_view clx = slice(document, little32(document, 0x160), little32(document, 0x164));
  const bool complex = (flags & 0x0004) != 0;
  if (!complex || !read_pieces(context, characters, document, clx, true, code_page)) {
    if (end <= begin || end > document.size() || complex) context.fail(Reason::corrupt);
    if (end > begin) read_piece(characters, slice(document, begin, end - begin), false, code_page);
  }
  characters.finish();
  // Of Word 2 no such place is known.
  if (ident != 0xa5dc && ident != 0xa5ec) return;
  read_associations(context, sink, slice(document, little32(document, 0x158), little32(document, 0x15c)), true,
                    described);
}

}  // namespace postern::scan::worker

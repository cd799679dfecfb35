// SPDX-License-Identifier: Apache-2.0
// Word 2 to 2003 (MS-DOC): the text of all its stories by the piece table, fields, the bit that says it is encrypted.
#include <algorithm>
#include <vector>

#include "engine/base/text.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kFieldDepth = 64;
constexpr size_t kInstruction = 4096;
// A file may say that its pieces overlap, and so hold more text than bytes; a real one hardly does.
constexpr uint64_t kMostTimes = 4;

// Characters turns the characters of a document into text.
class Characters {
 public:
  Characters(Context& context, TextSink& sink) : context_(context), sink_(sink) {}
  ~Characters() = default;

  void add(uint32_t code) {
    switch (code) {
      case 0x13:
        begin_field();
        return;
      case 0x14:
        separate_field();
        return;
      case 0x15:
        end_field();
        return;
      case 0x07:
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
    while (!fields_.empty()) end_field();
    flush();
    sink_.line();
  }

 private:
  struct Field {
    std::string instruction;
    bool in_instruction = true;
  };

  void put(uint32_t code) {
    for (size_t i = fields_.size(); i-- > 0;) {
      if (!fields_[i].in_instruction) continue;
      if (fields_[i].instruction.size() < kInstruction) append_code_point(fields_[i].instruction, code);
      return;
    }
    append_code_point(pending_, code);
    if (pending_.size() > 8192) flush();
  }
  void flush() {
    sink_.text(pending_);
    pending_.clear();
  }
  void begin_field() {
    if (fields_.size() < kFieldDepth) fields_.emplace_back();
  }
  void separate_field() {
    if (fields_.empty() || !fields_.back().in_instruction) return;
    fields_.back().in_instruction = false;
    const std::string target = note_field(context_, fields_.back().instruction);
    if (target.empty()) return;
    flush();
    sink_.line();
    sink_.text(target);
    sink_.line();
  }
  void end_field() {
    if (fields_.empty()) return;
    separate_field();
    fields_.pop_back();
  }

  Context& context_;
  TextSink& sink_;
  std::string pending_;
  std::vector<Field> fields_;
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

}  // namespace

bool is_remote(std::string_view target) {
  const std::string_view text = base::trim(target);
  if (text.starts_with("\\\\") || text.starts_with("//")) return true;
  if (base::istarts_with(text, "file:")) {
    const std::string_view path = text.substr(std::min(text.size(), text.find_first_not_of('/', 5)));
    // A file on a drive is not elsewhere, one on a server is.
    return !(path.size() > 1 && (path[1] == ':' || path[1] == '|')) && !text.starts_with("file:///");
  }
  const size_t colon = text.find(':');
  // A drive letter is no scheme.
  if (colon == std::string_view::npos || colon < 2) return false;
  return std::ranges::all_of(text.substr(0, colon), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
           c == '.';
  });
}

std::string note_field(Context& context, std::string_view instruction) {
  std::string_view text = base::trim(instruction);
  const size_t blank = text.find_first_of(" \t\"\\");
  const std::string word = base::lower(text.substr(0, blank));
  std::string_view rest = blank == std::string_view::npos ? std::string_view() : base::trim(text.substr(blank));
  if (word == "dde" || word == "ddeauto") {
    context.mark(Mark::macro_dde);
    return std::string(text);
  }
  const bool loads =
      word == "includetext" || word == "includepicture" || word == "link" || word == "import" || word == "rd";
  if (word != "hyperlink" && !loads) return {};
  std::string target;
  if (rest.starts_with("\\l")) rest.remove_prefix(2);
  rest = base::trim(rest);
  if (rest.starts_with('"')) {
    rest.remove_prefix(1);
    target = std::string(rest.substr(0, rest.find('"')));
  } else {
    target = std::string(rest.substr(0, rest.find_first_of(" \t")));
  }
  if (loads && is_remote(target)) context.mark(Mark::remote_template);
  return target;
}

void read_word(Context& context, std::string_view document, std::string_view table0, std::string_view table1) {
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
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// Files inside text: uuencode, yEnc and BinHex, and parts of a mail that stand in a text where nothing says that there
// are any, in which many programs look for files all the same; and the forks that a Macintosh file was cut into,
// AppleSingle and AppleDouble (RFC 1740).
#include <algorithm>
#include <charconv>
#include <string>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/transfer_coding.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/decoded_text.h"
#include "engine/scan/worker/looked_at.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

std::string_view next_line(std::string_view& rest) {
  const size_t end = rest.find_first_of("\r\n");
  const std::string_view line = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + (has(rest, end, "\r\n") ? 2 : 1));
  return line;
}

// has_line_start finds the next line that begins with `mark`, and leaves `rest` at it.
bool skip_to(std::string_view& rest, std::string_view mark, bool at_start) {
  size_t at = 0;
  while ((at = rest.find(mark, at)) != std::string_view::npos) {
    if (at == 0 ? at_start : rest[at - 1] == '\n' || rest[at - 1] == '\r') {
      rest.remove_prefix(at);
      return true;
    }
    at += mark.size();
  }
  return false;
}

bool give(Unpack& unpack, std::string_view bytes, std::string_view name, Reason lost) {
  unpack.begin();
  unpack.append(bytes);
  if (lost != Reason::none) unpack.set_reason(lost);
  return unpack.give(name);
}

// "begin" may stand in prose, so what follows one is read again from the next; a few times, as each may go on to the
// end.
void read_uuencode(Context& context, std::string_view rest, Unpack& unpack) {
  constexpr uint64_t kReadings = 8;
  const uint64_t most = kReadings * rest.size() + 4096;
  uint64_t looked_at = 0;
  bool at_start = true;
  while (skip_to(rest, "begin", at_start)) {
    at_start = false;
    std::string_view after = rest;
    const std::string_view line = next_line(after);
    const bool base64 = line.starts_with("begin-base64 ");
    if (!base64 && !mime::is_uu_begin(line)) {
      rest = after;
      at_start = true;
      continue;
    }
    // "begin 644 name": the name may have blanks in it.
    const size_t mode = line.find(' ');
    const size_t blank = line.find(' ', mode + 1);
    const std::string_view name = blank == std::string_view::npos ? std::string_view() : base::trim(line.substr(blank));
    std::string_view end = after;
    bool ended = false;
    while (!end.empty() && !ended) {
      const std::string_view data = base::trim(next_line(end));
      ended = base64 ? data == "====" : data == "end";
    }
    const std::string_view block = rest.substr(0, rest.size() - end.size());
    looked_at += block.size();
    if (looked_at > most) return context.fail(Reason::overlap);
    const mime::Decoded decoded =
        base64 ? mime::decode_transfer(mime::TransferEncoding::base64, after.substr(0, after.size() - end.size()))
               : mime::decode_transfer(mime::TransferEncoding::uuencode, block);
    if (!decoded.bytes.empty() && !give(unpack, decoded.bytes, name, ended ? Reason::none : Reason::partial)) return;
    if (ended) {
      rest = end;
    } else {
      rest = after;
    }
    at_start = true;
  }
}

// value_of reads "key=123" out of a yEnc line.
uint64_t value_of(std::string_view line, std::string_view key, uint64_t otherwise) {
  const size_t at = line.find(key);
  if (at == std::string_view::npos) return otherwise;
  const char* begin = line.data() + at + key.size();
  uint64_t value = otherwise;
  std::from_chars(begin, line.data() + line.size(), value);
  return value;
}

void read_yenc(std::string_view rest, Unpack& unpack) {
  bool at_start = true;
  while (skip_to(rest, "=ybegin ", at_start)) {
    const std::string_view head = next_line(rest);
    const size_t at = head.find(" name=");
    const std::string_view name = at == std::string_view::npos ? std::string_view() : base::trim(head.substr(at + 6));
    const uint64_t size = value_of(head, " size=", 0);
    unpack.begin();
    bool ended = false;
    while (!rest.empty()) {
      std::string_view after = rest;
      const std::string_view line = next_line(after);
      if (line.starts_with("=ybegin ")) break;
      rest = after;
      if (line.starts_with("=ypart ")) continue;
      if (line.starts_with("=yend")) {
        ended = true;
        break;
      }
      std::string out;
      for (size_t i = 0; i < line.size(); ++i) {
        const bool escaped = line[i] == '=' && i + 1 < line.size();
        const auto byte = static_cast<uint8_t>(line[escaped ? ++i : i]);
        out.push_back(static_cast<char>(static_cast<uint8_t>(byte - (escaped ? 106 : 42))));
      }
      if (!unpack.append(out)) break;
    }
    // One part of several, or cut off.
    if (!ended || (size != 0 && unpack.bytes().size() != size)) unpack.set_reason(Reason::partial);
    if (!unpack.give(name)) return;
    at_start = true;
  }
}

// unpack_binhex undoes the six-bit alphabet and the run lengths (RFC 1741); false: it ended without its colon, or at a
// limit.
bool unpack_binhex(std::string_view text, Unpack& unpack) {
  constexpr size_t kPiece = 64u << 10;
  constexpr std::string_view kAlphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";
  unsigned group = 0;
  int bits = 0;
  bool run = false;
  std::string out;
  char last = '\0';
  bool any = false;
  for (const char c : text) {
    if (c == ':') return unpack.append(out);
    if (c == '\r' || c == '\n' || c == ' ' || c == '\t') continue;
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) break;
    group = group << 6 | static_cast<unsigned>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    const auto byte = static_cast<uint8_t>(group >> bits & 0xff);
    if (run) {
      run = false;
      // Zero stands for the mark itself, n for n times the byte before.
      if (byte == 0) {
        out.push_back(last = '\x90');
        any = true;
      } else if (any) {
        out.append(byte - 1u, last);
      }
    } else if (byte == 0x90) {
      run = true;
    } else {
      out.push_back(last = static_cast<char>(byte));
      any = true;
    }
    if (out.size() < kPiece) continue;
    if (!unpack.append(out)) return false;
    out.clear();
  }
  unpack.append(out);
  return false;
}

void read_binhex(Context& context, std::string_view rest, Unpack& unpack) {
  bool at_start = true;
  while (skip_to(rest, "(This file must be converted with BinHex", at_start)) {
    next_line(rest);
    at_start = true;
    const size_t colon = rest.find(':');
    if (colon == std::string_view::npos) return context.fail(Reason::corrupt);
    rest.remove_prefix(colon + 1);
    unpack.begin();
    const bool whole = unpack_binhex(rest, unpack);
    const std::string_view file = unpack.bytes();
    const std::string_view name = slice(file, 1, byte_at(file, 0));
    const uint64_t header = 1 + name.size() + 1 + 4 + 4 + 2;
    const uint64_t data = big32(file, header);
    const uint64_t resource = big32(file, header + 4);
    const uint64_t at = header + 8 + 2;
    const std::string_view fork = slice(file, at, data);
    const Reason lost = unpack.reason() != Reason::none ? unpack.reason() : Reason::corrupt;
    if (!unpack.give_view(fork, name, whole && fork.size() == data ? Reason::none : lost)) return;
    if (resource > 0 && !unpack.give_view(slice(file, at + data + 2, resource), "resource fork")) return;
    if (unpack.stopped()) return context.fail(lost);
  }
}

constexpr std::string_view kEncodingField = "content-transfer-encoding";
constexpr int kMostParts = 1000;
constexpr size_t kHeaderBytes = 8192;
// Text in UTF-16 and UTF-32 is converted up to this size where something may be in it.
constexpr size_t kMostWide = 32u << 20;

// next_encoding finds the next line that names a transfer encoding of a file; npos when there is none.
size_t next_encoding(std::string_view text, size_t at) {
  while (at + kEncodingField.size() < text.size()) {
    if (base::ascii_lower(text[at]) == 'c' && base::istarts_with(text.substr(at), kEncodingField)) {
      const std::string_view rest = text.substr(at + kEncodingField.size(), 200);
      const std::string value = base::lower(rest.substr(0, rest.find("\n\n")));
      if (value.find("base64") != std::string::npos || value.find("quoted") != std::string::npos ||
          value.find("uu") != std::string::npos) {
        return at;
      }
    }
    at = text.find_first_of("\r\n", at);
    if (at != std::string_view::npos) at = text.find_first_not_of("\r\n \t>|", at);
    if (at == std::string_view::npos) break;
  }
  return std::string_view::npos;
}

// has_encoding tells whether that stands anywhere in text in UTF-16 or UTF-32.
bool has_encoding(std::string_view bytes, std::string_view charset) {
  bool found = false;
  each_wide_piece(bytes, charset, [&](std::string_view text, bool) {
    found = next_encoding(text, 0) != std::string_view::npos;
    return !found;
  });
  return found;
}

// header_begin goes up from `at` over lines that can be a header's, not beyond `from`.
size_t header_begin(std::string_view text, size_t from, size_t at) {
  from = std::max(from, at - std::min(at, kHeaderBytes));
  while (at > from) {
    const size_t before = at < 2 ? std::string_view::npos : text.substr(from, at - 1 - from).rfind('\n');
    const size_t begin = before == std::string_view::npos ? from : from + before + 1;
    const std::string_view line = text.substr(begin, at - begin);
    const bool folded = line.front() == ' ' || line.front() == '\t';
    if (base::trim(line).empty() || line.starts_with("--")) break;
    if (!folded && line.find(':') == std::string_view::npos) break;
    at = begin;
  }
  return at;
}

void read_parts(Context& context, std::string_view text) {
  size_t from = 0;
  int parts = 0;
  for (size_t at = next_encoding(text, 0); at != std::string_view::npos;) {
    if (++parts > kMostParts) return context.fail(Reason::members);
    const size_t begin = header_begin(text, from, at);
    const size_t content = at + kEncodingField.size();
    const size_t next = next_encoding(text, content);
    // Its content ends before a line that begins with two dashes, or before the next one's header.
    std::string_view part = text.substr(0, next == std::string_view::npos ? next : header_begin(text, content, next));
    const size_t dashes = std::min(part.substr(content).find("\n--"), part.substr(content).find("\r--"));
    if (dashes != std::string_view::npos) part = part.substr(0, content + dashes);
    read_part_in_text(context, part.substr(begin));
    if (context.budget().expired()) return context.fail(Reason::time);
    from = part.size();
    at = next;
  }
}

void read_carriers(Context& context, std::string_view text) {
  const Leaf& leaf = context.leaf();
  Unpack unpack(context);
  if (leaf.is(FileType::uuencode)) read_uuencode(context, text, unpack);
  if (leaf.is(FileType::yenc)) read_yenc(text, unpack);
  if (leaf.is(FileType::binhex)) read_binhex(context, text, unpack);
  read_parts(context, text);
}

}  // namespace

void read_text_carriers(Context& context) {
  const std::string_view text = context.bytes();
  const std::string_view charset = mime::sniff_charset(text);
  const Leaf& leaf = context.leaf();
  const bool carrier = leaf.is(FileType::uuencode) || leaf.is(FileType::yenc) || leaf.is(FileType::binhex);
  if (!mime::is_wide_charset(charset)) return read_carriers(context, text);
  // What begins with no mark is UTF-16 by its zero bytes only.
  if (charset != "utf-16" && charset != "utf-32") read_carriers(context, text);
  if (!carrier && !has_encoding(text, charset)) return;
  const mime::Converted whole = mime::to_utf8(text, charset, kMostWide);
  if (!whole.whole) context.fail(Reason::size);
  read_carriers(context, whole.utf8);
}

void read_apple(Context& context) {
  const std::string_view bytes = context.bytes();
  const uint32_t count = big16(bytes, 24);
  std::string_view name;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t row = 26 + 12ull * i;
    if (big32(bytes, row) == 3) name = slice(bytes, big32(bytes, row + 4), std::min(big32(bytes, row + 8), 255u));
  }
  Unpack unpack(context);
  LookedAt forks(context, bytes.size());
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t row = 26 + 12ull * i;
    const uint32_t kind = big32(bytes, row);
    // 1 is the data fork, 2 the resource fork; the rest are dates and icons.
    if (kind != 1 && kind != 2) continue;
    const uint64_t size = big32(bytes, row + 8);
    const std::string_view fork = slice(bytes, big32(bytes, row + 4), size);
    const Reason lost = fork.size() == size ? Reason::none : Reason::corrupt;
    if (fork.empty() && size == 0) continue;
    if (!forks.take(fork.size())) return;
    if (!unpack.give_view(fork, kind == 1 ? name : std::string_view("resource fork"), lost)) return;
  }
}

}  // namespace postern::scan::worker

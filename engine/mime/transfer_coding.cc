// SPDX-License-Identifier: Apache-2.0
// Transfer encodings. The decoders go on where others stop (after padding in the middle, after junk), because a reader
// that goes on sees what lies behind it; each such place is reported as damage. All are single passes.
#include "engine/mime/transfer_coding.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "engine/base/text.h"

namespace postern::mime {
namespace {

constexpr uint8_t kJunk = 0xFF;
constexpr uint8_t kSpace = 0xFE;
constexpr uint8_t kPad = 0xFD;
constexpr uint8_t kUrlSafe = 0x80;  // added to the value of '-' and '_'
constexpr char kBase64Alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<uint8_t, 256> kBase64Values = [] {
  std::array<uint8_t, 256> table{};
  table.fill(kJunk);
  for (uint8_t i = 0; i < 64; ++i) table[static_cast<unsigned char>(kBase64Alphabet[i])] = i;
  table['-'] = kUrlSafe | 62;
  table['_'] = kUrlSafe | 63;
  table['='] = kPad;
  for (const char c : {' ', '\t', '\r', '\n', '\v', '\f'}) table[static_cast<unsigned char>(c)] = kSpace;
  return table;
}();

Decoded decode_base64(std::string_view in) {
  Decoded out;
  out.bytes.resize(in.size() / 4 * 3 + 3);
  char* to = out.bytes.data();
  const auto* from = reinterpret_cast<const unsigned char*>(in.data());
  const auto* const end = from + in.size();
  uint32_t bits = 0;
  unsigned have = 0;  // sextets in `bits`
  bool ended = false;
  while (from < end) {
    // Whole groups while nothing special is in them, which is most of any real part.
    while (have == 0 && !ended && end - from >= 4) {
      const uint32_t a = kBase64Values[from[0]];
      const uint32_t b = kBase64Values[from[1]];
      const uint32_t c = kBase64Values[from[2]];
      const uint32_t d = kBase64Values[from[3]];
      if (((a | b | c | d) & 0xC0) != 0) break;
      const uint32_t group = a << 18 | b << 12 | c << 6 | d;
      to[0] = static_cast<char>(group >> 16);
      to[1] = static_cast<char>(group >> 8);
      to[2] = static_cast<char>(group);
      to += 3;
      from += 4;
    }
    if (from == end) break;
    uint8_t value = kBase64Values[*from++];
    if (value == kSpace) {
      // A reader may decode each line for itself, or stop at a blank one behind data.
      unsigned ends = from[-1] == '\n' ? 1 : 0;
      for (; from < end && kBase64Values[*from] == kSpace; ++from) ends += *from == '\n' ? 1 : 0;
      if (from < end && ends > 0 && (have > 0 || (ends > 1 && to != out.bytes.data()))) out.odd = true;
      continue;
    }
    if (value == kJunk) {
      out.damaged = true;
      continue;
    }
    if (value == kPad) {
      if (have == 2) {
        *to++ = static_cast<char>(bits >> 4);
      } else if (have == 3) {
        *to++ = static_cast<char>(bits >> 10);
        *to++ = static_cast<char>(bits >> 2);
      } else if (!ended) {
        out.damaged = true;
      }
      bits = 0;
      have = 0;
      ended = true;
      continue;
    }
    if (ended) {
      out.damaged = true;
      ended = false;
    }
    if ((value & kUrlSafe) != 0) {
      out.damaged = true;
      value &= 0x3F;
    }
    bits = bits << 6 | value;
    if (++have == 4) {
      *to++ = static_cast<char>(bits >> 16);
      *to++ = static_cast<char>(bits >> 8);
      *to++ = static_cast<char>(bits);
      bits = 0;
      have = 0;
    }
  }
  // Padding left out at the very end loses nothing.
  if (have == 1) out.damaged = true;
  if (have == 2) *to++ = static_cast<char>(bits >> 4);
  if (have == 3) {
    *to++ = static_cast<char>(bits >> 10);
    *to++ = static_cast<char>(bits >> 2);
  }
  out.bytes.resize(static_cast<size_t>(to - out.bytes.data()));
  return out;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// line_end returns where the line of `in` that contains `at` ends: at its CR or LF, or at the end of `in`.
size_t line_end(std::string_view in, size_t at) {
  while (at < in.size() && in[at] != '\r' && in[at] != '\n') ++at;
  return at;
}

// after_line_end skips one line end at `at`.
size_t after_line_end(std::string_view in, size_t at) {
  if (at < in.size() && in[at] == '\r') {
    ++at;
    if (at < in.size() && in[at] == '\n') ++at;
  } else if (at < in.size()) {
    ++at;
  }
  return at;
}

Decoded decode_quoted_printable(std::string_view in) {
  Decoded out;
  out.bytes.reserve(in.size());
  size_t at = 0;
  while (at < in.size()) {
    const size_t end = line_end(in, at);
    const size_t next = after_line_end(in, end);
    // White space at the end of a line was added on the way (RFC 2045 6.7 rule 3), also behind a soft break.
    size_t text_end = end;
    while (text_end > at && is_blank(in[text_end - 1])) --text_end;
    const bool soft = text_end > at && in[text_end - 1] == '=';
    if (soft) {
      if (text_end < end || (next == end + 1 && in[end] == '\r')) out.odd = true;
      --text_end;
    }
    size_t i = at;
    while (i < text_end) {
      const void* found = std::memchr(in.data() + i, '=', text_end - i);
      const size_t equals =
          found == nullptr ? text_end : static_cast<size_t>(static_cast<const char*>(found) - in.data());
      out.bytes.append(in.substr(i, equals - i));
      i = equals;
      if (i == text_end) break;
      const int high = i + 1 < text_end ? hex_value(in[i + 1]) : -1;
      const int low = i + 2 < text_end ? hex_value(in[i + 2]) : -1;
      if (high >= 0 && low >= 0) {
        out.bytes += static_cast<char>(high * 16 + low);
        i += 3;
      } else {
        out.damaged = true;
        out.bytes += '=';
        ++i;
      }
    }
    if (!soft) out.bytes.append(in.substr(end, next - end));
    at = next;
  }
  return out;
}

unsigned sextet(char c) { return static_cast<unsigned>(static_cast<unsigned char>(c) - 32) & 63; }

Decoded decode_uuencode(std::string_view in) {
  Decoded out;
  bool inside = false;
  bool found = false;
  size_t at = 0;
  while (at < in.size()) {
    const size_t end = line_end(in, at);
    const std::string_view line = in.substr(at, end - at);
    at = after_line_end(in, end);
    if (!inside) {
      inside = is_uu_begin(line);
      found = found || inside;
      // Readers that know this encoding by other marks show the text round it.
      if (!inside && !base::trim(line).empty()) out.damaged = true;
      continue;
    }
    if (base::trim(line) == "end") {
      inside = false;
      continue;
    }
    if (line.empty()) continue;
    const size_t declared = sextet(line[0]);
    if (declared == 0) continue;
    const std::string_view data = line.substr(1);
    size_t made = 0;
    for (size_t i = 0; i < data.size() && made < declared; i += 4) {
      unsigned group = 0;
      for (size_t k = 0; k < 4; ++k) {
        const char c = i + k < data.size() ? data[i + k] : ' ';
        if (c < 32 || c > 96) out.damaged = true;
        group = group << 6 | sextet(c);
      }
      // Blanks cut from the end of a line stand for zeros, but a line never gives more than its characters can hold.
      const size_t present = std::min<size_t>(data.size() - i, 4) * 3 / 4;
      for (size_t k = 0; k < present && made < declared; ++k, ++made) {
        out.bytes += static_cast<char>(group >> (16 - 8 * k));
      }
    }
    if (made < declared) out.damaged = true;
  }
  if (inside) out.damaged = true;
  if (!found) return {std::string(in), true};
  return out;
}

}  // namespace

TransferEncoding parse_transfer_encoding(std::string_view raw) {
  // Readers differ in what they skip; the first word outside comments is what most act on.
  std::string word;
  unsigned comment = 0;
  for (const char c : raw.substr(0, 1024)) {
    if (c == '(') {
      ++comment;
    } else if (c == ')' && comment > 0) {
      --comment;
      if (!word.empty()) break;
    } else if (comment == 0) {
      const bool stop = static_cast<unsigned char>(c) <= ' ' || c == ';' || c == ',' || c == '"' || c == 127;
      if (stop && !word.empty()) break;
      if (!stop) word += base::ascii_lower(c);
      if (word.size() > 32) break;
    }
  }
  if (word.empty() || word == "7bit" || word == "8bit" || word == "7-bit" || word == "8-bit" || word == "binary") {
    return word.empty() && !base::trim(raw).empty() ? TransferEncoding::unknown : TransferEncoding::identity;
  }
  if (word == "base64") return TransferEncoding::base64;
  if (word == "quoted-printable") return TransferEncoding::quoted_printable;
  if (word == "x-uuencode" || word == "uuencode" || word == "x-uue" || word == "x-uu")
    return TransferEncoding::uuencode;
  return TransferEncoding::unknown;
}

Decoded decode_transfer(TransferEncoding encoding, std::string_view encoded) {
  Decoded out;
  switch (encoding) {
    case TransferEncoding::base64:
      out = decode_base64(encoded);
      break;
    case TransferEncoding::quoted_printable:
      out = decode_quoted_printable(encoded);
      break;
    case TransferEncoding::uuencode:
      out = decode_uuencode(encoded);
      break;
    case TransferEncoding::identity:
    case TransferEncoding::unknown:
      out.bytes = encoded;
      break;
  }
  out.odd = out.odd || out.damaged;
  return out;
}

bool is_uu_begin(std::string_view line) {
  if (!line.starts_with("begin ")) return false;
  size_t i = 6;
  while (i < line.size() && line[i] >= '0' && line[i] <= '7') ++i;
  return (i == 9 || i == 10) && i < line.size() && line[i] == ' ';
}

bool is_uu_data(std::string_view line) {
  if (line.empty() || !std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '`'; })) return false;
  const size_t bytes = sextet(line[0]);
  const size_t data = line.size() - 1;
  return data >= (bytes * 4 + 2) / 3 && data <= (bytes + 2) / 3 * 4 + 1;
}

std::string encode_base64(std::string_view bytes) {
  constexpr size_t kBytesPerLine = 57;
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4 + (bytes.size() / kBytesPerLine + 1) * 2);
  for (size_t line = 0; line < bytes.size(); line += kBytesPerLine) {
    const std::string_view part = bytes.substr(line, kBytesPerLine);
    for (size_t i = 0; i < part.size(); i += 3) {
      uint32_t group = 0;
      for (size_t k = 0; k < 3; ++k) {
        group = group << 8 | (i + k < part.size() ? static_cast<unsigned char>(part[i + k]) : 0u);
      }
      const size_t left = part.size() - i;
      out += kBase64Alphabet[group >> 18];
      out += kBase64Alphabet[group >> 12 & 63];
      out += left > 1 ? kBase64Alphabet[group >> 6 & 63] : '=';
      out += left > 2 ? kBase64Alphabet[group & 63] : '=';
    }
    out += "\r\n";
  }
  return out;
}

std::string encode_quoted_printable(std::string_view text) {
  constexpr size_t kLineLimit = 75;  // one more for the '=' of a soft break
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + text.size() / 8 + 16);
  size_t used = 0;
  size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (c == '\n' || (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n')) {
      out += "\r\n";
      used = 0;
      i += c == '\n' ? 1 : 2;
      continue;
    }
    const bool last = i + 1 == text.size() || text[i + 1] == '\n' ||
                      (text[i + 1] == '\r' && i + 2 < text.size() && text[i + 2] == '\n');
    bool plain = (c >= '!' && c <= '~' && c != '=') || (is_blank(c) && !last);
    // At the start of a line a dot and "From " are changed by mail programs on the way, and "--" may be read as a
    // delimiter.
    const auto plain_at_start = [&] {
      return c != '.' && !(c == 'F' && text.substr(i).starts_with("From ")) &&
             !(c == '-' && i + 1 < text.size() && text[i + 1] == '-');
    };
    if (used + (plain ? 1 : 3) > kLineLimit) {
      out += "=\r\n";
      used = 0;
    }
    if (used == 0) plain = plain && plain_at_start();
    if (plain) {
      out += c;
      ++used;
    } else {
      out += '=';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
      used += 3;
    }
    ++i;
  }
  return out;
}

}  // namespace postern::mime

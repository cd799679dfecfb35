// SPDX-License-Identifier: Apache-2.0
// Searches look at every few bytes only and widen a hit both ways, so that text without data costs little.
#include "engine/scan/worker/embedded_data.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/mime/html_entities.h"

namespace postern::scan::worker {
namespace {

constexpr uint8_t kNoValue = 0xFF;
constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> table{};
  table.fill(kNoValue);
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (uint8_t i = 0; i < 64; ++i) table[static_cast<unsigned char>(kAlphabet[i])] = i;
  table['-'] = 62;
  table['_'] = 63;
  return table;
}();

uint8_t value_of(char c) { return kValues[static_cast<unsigned char>(c)]; }
bool is_base64(char c) { return value_of(c) != kNoValue && c != '-' && c != '_'; }
bool is_url_base64(char c) { return value_of(c) != kNoValue && c != '+' && c != '/'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char low = base::ascii_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// hex_number is what `count` hexadecimal digits at `at` stand for; -1 where there are none.
int hex_number(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return -1;
  int number = 0;
  for (const char c : text.substr(at, count)) {
    if (hex_value(c) < 0) return -1;
    number = number * 16 + hex_value(c);
  }
  return number;
}

std::string percent_decode(std::string_view text, size_t most) {
  std::string out;
  for (size_t i = 0; i < text.size() && out.size() < most; ++i) {
    if (text[i] == '%' && hex_number(text, i + 1, 2) >= 0) {
      out += static_cast<char>(hex_number(text, i + 1, 2));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

constexpr size_t kFewest = 192;      // characters of base64 that are worth a look
constexpr size_t kPiece = 32;        // of one string of several
constexpr size_t kGap = 24;          // between two of them
constexpr size_t kFewestBytes = 64;  // numbers of an array
constexpr size_t kFewestEscapes = 32;
constexpr size_t kLongestType = 256;  // of a data URI in a text
constexpr std::string_view kEnds = "\"'`)<>";

// What may stand between the strings of one value: quotes, '+', ',', white space, a backslash before a line end.
bool is_joint(char c) {
  return c == '"' || c == '\'' || c == '`' || c == '+' || c == ',' || c == '\\' || c == '&' || c == '_' || c == ' ' ||
         c == '\t' || c == '\r' || c == '\n';
}

// Digits puts together what hexadecimal digits stand for, as long as nothing else comes.
class Digits {
 public:
  void add(std::string_view piece) {
    if (piece.starts_with("0x")) piece.remove_prefix(2);
    for (const char c : piece) {
      const int value = hex_value(c);
      none_ = none_ || value < 0;
      if (none_) return bytes_.clear();
      full_ = full_ || bytes_.size() >= kMost;
      if (full_) return;
      if (half_ >= 0) bytes_ += static_cast<char>(half_ * 16 + value);
      half_ = half_ >= 0 ? -1 : value;
    }
  }
  bool full() const { return full_ && !none_; }
  const std::string& bytes() const { return bytes_; }

 private:
  static constexpr size_t kMost = kMostInline / 2;
  std::string bytes_;
  int half_ = -1;
  bool none_ = false;
  bool full_ = false;
};

// Runs takes the base64 strings of a text one after another.
class Runs {
 public:
  Runs(Context& context, std::string_view text) : context_(context), text_(text) {}

  // Looks at [from, to).
  bool look(size_t from, size_t to) {
    size_t at = from;
    while (at < to) {
      if (!is_base64(text_[at])) {
        at += kPiece;
        continue;
      }
      size_t begin = at;
      while (begin > from && is_base64(text_[begin - 1])) --begin;
      size_t end = run_end(at, to);
      if (end - begin < kPiece) {
        at = end + kPiece;
        continue;
      }
      if (!take(begin, end, to)) return false;
      from = end;
      at = end;
    }
    return true;
  }

 private:
  size_t run_end(size_t at, size_t to) const {
    while (at < to && is_base64(text_[at])) ++at;
    return at;
  }

  // Takes the run and those that follow it; `end` moves behind the last.
  bool take(size_t begin, size_t& end, size_t to) {
    Base64Stream stream;
    Digits digits;
    size_t taken = 0;
    bool whole = true;
    for (;;) {
      whole = stream.add(text_.substr(begin, end - begin)) && whole;
      digits.add(text_.substr(begin, end - begin));
      taken += end - begin;
      while (end < to && text_[end] == '=') ++end;
      size_t next = end;
      while (next < to && next - end < kGap && is_joint(text_[next])) ++next;
      if (next == end || next >= to || !is_base64(text_[next])) break;
      const size_t next_end = run_end(next, to);
      if (next_end - next < kPiece / 2 && taken % 4 == 0) break;
      // Between words of prose stand blanks alone.
      if (next_end - next < kPiece && text_.substr(end, next - end).find_first_of("\"'`") == std::string_view::npos)
        break;
      begin = next;
      end = next_end;
    }
    if (taken < kFewest) return true;
    if (!whole || digits.full()) context_.fail(Reason::size);
    if (!give_inline(context_, stream.take(), "base64:", {}, {})) return false;
    return give_inline(context_, digits.bytes(), "hex:", {}, {});
  }

  Context& context_;
  std::string_view text_;
};

// find_numbers looks for "77,90,144,0,…" and "0x4d, 0x5a, …".
bool find_numbers(Context& context, std::string_view text) {
  const auto fits = [&](size_t i) {
    const char c = text[i];
    return is_digit(c) || c == ',' || c == ' ' || c == '\r' || c == '\n' || c == '\t' || c == 'x' || c == 'X' ||
           hex_value(c) >= 0;
  };
  size_t from = 0;
  for (size_t at = 0; at < text.size();) {
    if (!fits(at)) {
      at += kFewestBytes;
      continue;
    }
    size_t begin = at;
    while (begin > from && fits(begin - 1)) --begin;
    size_t end = at;
    while (end < text.size() && fits(end)) ++end;
    from = end;
    at = end + 1;
    std::string bytes;
    for (size_t i = begin; i < end && bytes.size() <= kMostInline;) {
      if (!is_digit(text[i])) {
        ++i;
        continue;
      }
      unsigned value = 0;
      const bool hex = text[i] == '0' && i + 1 < end && base::ascii_lower(text[i + 1]) == 'x';
      if (hex) i += 2;
      for (; i < end && (hex ? hex_value(text[i]) >= 0 : is_digit(text[i])); ++i) {
        value = std::min(value * (hex ? 16 : 10) + static_cast<unsigned>(hex_value(text[i])), 256u);
      }
      const size_t comma = i;
      while (i < end && text[i] != ',' && !is_digit(text[i]) && base::ascii_lower(text[i]) != 'x') ++i;
      const bool last = i >= end;
      if (value > 255 || (!last && text[i] != ',') || i - comma > 16) {
        if (bytes.size() >= kFewestBytes && !give_inline(context, bytes, "array:", {}, {})) return false;
        bytes.clear();
      } else {
        bytes += static_cast<char>(value);
      }
    }
    if (bytes.size() > kMostInline) context.fail(Reason::size);
    if (bytes.size() >= kFewestBytes && !give_inline(context, bytes, "array:", {}, {})) return false;
  }
  return true;
}

// find_url_base64 looks for strings of the alphabet with '-' and '_', in quotes: what stands in addresses is mostly an
// identifier.
bool find_url_base64(Context& context, std::string_view text) {
  size_t from = 0;
  for (size_t at = 0; at < text.size();) {
    if (!is_url_base64(text[at])) {
      at += kFewest;
      continue;
    }
    size_t begin = at;
    while (begin > from && is_url_base64(text[begin - 1])) --begin;
    size_t end = at;
    while (end < text.size() && is_url_base64(text[end])) ++end;
    from = end;
    at = end + 1;
    const std::string_view run = text.substr(begin, end - begin);
    if (run.size() < kFewest || begin == 0 || run.find_first_of("-_") == std::string_view::npos) continue;
    if (std::string_view("\"'`>").find(text[begin - 1]) == std::string_view::npos) continue;
    Base64Stream stream;
    if (!stream.add(run)) context.fail(Reason::size);
    if (!give_inline(context, stream.take(), "base64:", {}, {})) return false;
  }
  return true;
}

// append_escape appends what an escape at `at` stands for and returns its length, 0 where there is none: "%4d", "\x4d",
// "\u004d" and, of two octets, "%u5a4d".
size_t append_escape(std::string_view text, size_t at, std::string& out) {
  if (at + 2 >= text.size()) return 0;
  const char kind = text[at];
  const char letter = base::ascii_lower(text[at + 1]);
  if (kind == '%' || (kind == '\\' && letter == 'x')) {
    const size_t digits = kind == '%' ? at + 1 : at + 2;
    if (const int value = hex_number(text, digits, 2); value >= 0) {
      out += static_cast<char>(value);
      return digits + 2 - at;
    }
  }
  if ((kind != '%' && kind != '\\') || letter != 'u') return 0;
  const int value = hex_number(text, at + 2, 4);
  if (value < 0) return 0;
  if (value < 0x100 || kind == '%') out += static_cast<char>(value);
  if (value < 0x100) return 6;
  if (kind == '%') {
    out += static_cast<char>(value >> 8);
  } else {
    mime::append_utf8(static_cast<uint32_t>(value), out);
  }
  return 6;
}

bool is_no_text(char c) {
  return (c >= '\0' && c < ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f') || c == 0x7f || c == '<';
}

// find_escaped looks for strings of which much is escaped. What is text without markup then is an address or the like,
// but may be base64.
bool find_escaped(Context& context, std::string_view text) {
  const auto ends = [](char c) { return c == '"' || c == '\'' || c == '`' || c == '<' || c == '>' || c == '\n'; };
  std::string bytes;
  size_t from = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    bytes.clear();
    if ((text[at] != '%' && text[at] != '\\') || append_escape(text, at, bytes) == 0) continue;
    size_t begin = at;
    while (begin > from && !ends(text[begin - 1])) --begin;
    const std::string_view before = text.substr(begin, at - begin);
    bytes = before.substr(0, kMostInline);
    size_t escapes = 0;
    bool whole = true;
    while (at < text.size() && !ends(text[at])) {
      whole = whole && bytes.size() < kMostInline;
      const size_t length = whole ? append_escape(text, at, bytes) : 0;
      escapes += length != 0 ? 1 : 0;
      if (length == 0 && whole) bytes += text[at];
      at += std::max<size_t>(length, 1);
    }
    from = std::min(at, text.size());
    if (escapes < kFewestEscapes || bytes.size() < kFewestBytes) continue;
    // Data URIs are found as such.
    if (base::lower(before).find("data:") != std::string::npos) continue;
    if (!whole) context.fail(Reason::size);
    if (std::ranges::any_of(bytes, is_no_text)) {
      if (!give_inline(context, bytes, "escaped:", {}, {})) return false;
    } else if (!Runs(context, bytes).look(0, bytes.size())) {
      return false;
    }
  }
  return true;
}

// is_data_type tells whether this stands between "data:" and the comma; in prose no type follows.
bool is_data_type(std::string_view type) {
  if (type.find_first_of("\"'`()<>{}") != std::string_view::npos) return false;
  return type.empty() || type[0] == ';' || type.find('/') != std::string_view::npos;
}

}  // namespace

bool Base64Stream::add(std::string_view piece) {
  for (const char c : piece) {
    const uint8_t value = value_of(c);
    if (value == kNoValue) {
      if (c == '=') have_ = 0;
      continue;
    }
    if (bytes_.size() >= kMostInline) return false;
    bits_ = bits_ << 6 | value;
    // Each sextet but the first of four ends an octet.
    if (have_ != 0) bytes_ += static_cast<char>(bits_ >> (6 - have_ * 2));
    have_ = (have_ + 1) % 4;
  }
  return true;
}

std::string Base64Stream::take() {
  have_ = 0;
  return std::move(bytes_);
}

bool give_inline(Context& context, std::string_view bytes, std::string_view label, std::string_view name,
                 std::string_view mime) {
  if (bytes.empty()) return true;
  if (const Reason reason = context.budget().out(bytes.size(), 0, context.bytes().size()); reason != Reason::none) {
    context.fail(reason);
    return false;
  }
  Child child;
  child.bytes = bytes;
  child.name = name;
  child.label = label;
  child.declared_mime = mime;
  child.embedded = true;
  return context.child(child);
}

bool give_data_uri(Context& context, std::string_view uri, std::string_view name) {
  uri = base::trim(uri);
  if (!base::istarts_with(uri, "data:")) return true;
  uri.remove_prefix(5);
  const size_t comma = uri.find(',');
  if (comma == std::string_view::npos) return true;
  const std::string type = percent_decode(uri.substr(0, comma), comma);
  std::string_view data = uri.substr(comma + 1);
  const std::string mime = base::lower(base::trim(std::string_view(type).substr(0, type.find(';'))));
  if (base::lower(type).find("base64") == std::string::npos) {
    if (data.size() > kMostInline) context.fail(Reason::size);
    return give_inline(context, percent_decode(data, kMostInline), "data:", name, mime);
  }
  Base64Stream stream;
  bool whole = true;
  // "%2B" and the like stand for characters of base64.
  for (size_t at = 0; at < data.size() && whole;) {
    const size_t sign = std::min(data.find('%', at), data.size());
    whole = stream.add(data.substr(at, sign - at));
    if (sign < data.size()) whole = stream.add(percent_decode(data.substr(sign, 3), 3)) && whole;
    at = sign + 3;
  }
  if (!whole) context.fail(Reason::size);
  return give_inline(context, stream.take(), "data:", name, mime);
}

bool give_data_attribute(Context& context, std::string_view source, std::string_view value) {
  std::string uri;
  for (const char c : value) {
    if (c == '\t' || c == '\r' || c == '\n' || (uri.empty() && static_cast<unsigned char>(c) <= ' ')) continue;
    uri += c;
    if (uri.size() == 5 && !base::iequals(uri, "data:")) return true;
  }
  const size_t comma = uri.find(',');
  if (uri.size() < 5 || comma == std::string::npos) return true;
  // White space in the data hides it from nobody.
  const std::string_view head = std::string_view(uri).substr(0, comma + 1);
  const bool found = base::trim(source).starts_with(head) && source.find('&') == std::string_view::npos &&
                     comma - 5 < kLongestType && is_data_type(head.substr(5, comma - 5)) &&
                     uri.find_first_of(kEnds) == std::string::npos;
  return found || give_data_uri(context, uri, {});
}

void find_embedded(Context& context, std::string_view text, bool script) {
  Runs runs(context, text);
  size_t from = 0;
  for (size_t at = 0; at < text.size();) {
    // The scheme's ':' with "data" before it, in any case.
    const size_t colon = text.find(':', at);
    if (colon == std::string_view::npos) break;
    at = colon + 1;
    if (colon < 4 || !base::iequals(text.substr(colon - 4, 4), "data")) continue;
    const size_t comma = text.substr(colon + 1, kLongestType).find(',');
    if (comma == std::string_view::npos || !is_data_type(text.substr(colon + 1, comma))) continue;
    const size_t end = std::min(text.find_first_of(kEnds, colon), text.size());
    if (script && !runs.look(from, colon - 4)) return;
    if (!give_data_uri(context, text.substr(colon - 4, end - (colon - 4)), {})) return;
    from = end;
    at = end;
  }
  if (!script) return;
  if (runs.look(from, text.size()) && find_numbers(context, text) && find_url_base64(context, text)) {
    find_escaped(context, text);
  }
}

}  // namespace postern::scan::worker

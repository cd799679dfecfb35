// SPDX-License-Identifier: Apache-2.0
// Searches look at every few bytes only and widen a hit both ways, so that text without data costs little.
#include "engine/scan/worker/embedded_data.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"

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
bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char low = base::ascii_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

std::string percent_decode(std::string_view text, size_t most) {
  std::string out;
  for (size_t i = 0; i < text.size() && out.size() < most; ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
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

// What may stand between the strings of one value: quotes, '+', ',', white space, a backslash before a line end.
bool is_joint(char c) {
  return c == '"' || c == '\'' || c == '`' || c == '+' || c == ',' || c == '\\' || c == '&' || c == '_' || c == ' ' ||
         c == '\t' || c == '\r' || c == '\n';
}

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
    size_t taken = 0;
    bool whole = true;
    for (;;) {
      whole = stream.add(text_.substr(begin, end - begin)) && whole;
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
    if (!whole) context_.fail(Reason::size);
    return give_inline(context_, stream.take(), "base64:", {}, {});
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
  if (comma == std::string_view::npos || comma > 256) return true;
  const std::string_view type = uri.substr(0, comma);
  std::string_view data = uri.substr(comma + 1);
  const std::string mime = base::lower(base::trim(type.substr(0, type.find(';'))));
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

void find_embedded(Context& context, std::string_view text, bool script) {
  Runs runs(context, text);
  constexpr std::string_view kEnds = "\"'`)<>";
  size_t from = 0;
  for (size_t at = 0; at < text.size();) {
    // The scheme's ':' with "data" before it, in any case.
    const size_t colon = text.find(':', at);
    if (colon == std::string_view::npos) break;
    at = colon + 1;
    if (colon < 4 || !base::iequals(text.substr(colon - 4, 4), "data")) continue;
    const size_t comma = text.substr(colon + 1, 256).find(',');
    if (comma == std::string_view::npos) continue;
    const std::string_view type = text.substr(colon + 1, comma);
    if (type.find_first_of("\"'`()<>{}") != std::string_view::npos) continue;
    // "data:" in prose is followed by no type.
    if (!type.empty() && type.find('/') == std::string_view::npos && type[0] != ';') continue;
    const size_t end = std::min(text.find_first_of(kEnds, colon), text.size());
    if (script && !runs.look(from, colon - 4)) return;
    if (!give_data_uri(context, text.substr(colon - 4, end - (colon - 4)), {})) return;
    from = end;
    at = end;
  }
  if (!script) return;
  if (runs.look(from, text.size())) find_numbers(context, text);
}

}  // namespace postern::scan::worker

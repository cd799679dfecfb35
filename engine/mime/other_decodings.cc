// SPDX-License-Identifier: Apache-2.0
// One decoder an encoding, with a switch for each point on which readers differ. Which switches can matter for a
// content is found in one pass; each of them is turned alone, then in pairs. What all decode alike at the beginning of
// base64 is decoded once: damage at the end of a large part costs little.
#include "engine/mime/other_decodings.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/base/text.h"

namespace postern::mime {
namespace {

// Choice is one setting of one switch: `set` puts it into the options of a decoder.
template <typename Options>
struct Choice {
  unsigned axis;  // choices of one axis exclude each other
  void (*set)(Options& options);
};

// try_choices decodes with each choice, then with each pair of different axes, what stands behind `before` and is
// `normal` to decode_transfer; `size` is its size.
template <typename Options, typename Decoder>
void try_choices(const std::vector<Choice<Options>>& choices, std::string_view before, uint64_t size,
                 const std::string& normal, Decoder decode, const DecodingTaker& taker) {
  constexpr size_t kShort = 16u << 10;
  std::vector<std::string> known;  // as far as they are short: who takes them looks at all that stands before
  const auto attempt = [&](const Options& options) {
    if (!taker.next(size)) return false;
    std::string bytes = decode(options);
    if (bytes == normal || std::ranges::find(known, bytes) != known.end()) return true;
    if (bytes.size() <= kShort) known.push_back(bytes);
    if (!before.empty()) bytes.insert(0, before);
    return taker.take(std::move(bytes));
  };
  for (const Choice<Options>& choice : choices) {
    Options options;
    choice.set(options);
    if (!attempt(options)) return;
  }
  for (size_t i = 0; i < choices.size(); ++i) {
    for (size_t k = i + 1; k < choices.size(); ++k) {
      if (choices[i].axis == choices[k].axis) continue;
      Options options;
      choices[i].set(options);
      choices[k].set(options);
      if (!attempt(options)) return;
    }
  }
}

// Base64.

struct Base64Options {
  enum class Junk { skip, stop, drop_line, new_group } junk = Junk::skip;
  enum class Pad { go_on, stop_when_full, stop, skip, zero } pad = Pad::go_on;
  bool url_safe = true;        // '-' and '_' are data
  bool lines_apart = false;    // a group does not go over the end of a line
  bool stop_at_blank = false;  // a blank line ends the data
  bool seven_bits = false;     // the high bit of a byte is not looked at
};

int base64_value(unsigned char c, bool url_safe) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || (url_safe && c == '-')) return 62;
  if (c == '/' || (url_safe && c == '_')) return 63;
  return -1;
}

bool is_white(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

class Base64 {
 public:
  // `data_before`: there was data before what decode is given.
  Base64(const Base64Options& options, bool data_before) : options_(options), data_before_(data_before) {}

  std::string decode(std::string_view in);

 private:
  // take takes one byte; false when the reader stops there.
  bool take(unsigned char c);
  void put(int value) {
    bits_ = bits_ << 6 | static_cast<uint32_t>(value);
    if (++have_ < 4) return;
    for (const unsigned shift : {16u, 8u, 0u}) out_ += static_cast<char>(bits_ >> shift);
    bits_ = 0;
    have_ = 0;
  }
  void end_group() {
    if (have_ == 2) out_ += static_cast<char>(bits_ >> 4);
    if (have_ == 3) {
      out_ += static_cast<char>(bits_ >> 10);
      out_ += static_cast<char>(bits_ >> 2);
    }
    bits_ = 0;
    have_ = 0;
  }

  Base64Options options_;
  bool data_before_;
  std::string out_;
  uint32_t bits_ = 0;
  unsigned have_ = 0;
  unsigned pads_ = 0;  // since the last data
};

bool Base64::take(unsigned char c) {
  using Junk = Base64Options::Junk;
  using Pad = Base64Options::Pad;
  if (options_.seven_bits) c &= 0x7F;
  if (is_white(c)) return true;
  if (c == '=') {
    switch (options_.pad) {
      case Pad::go_on:
        end_group();
        return true;
      case Pad::stop_when_full:
        return have_ < 2 || have_ + ++pads_ < 4;
      case Pad::stop:
        return false;
      case Pad::skip:
        return true;
      case Pad::zero:
        if (have_ > 0) put(0);
        return true;
    }
  }
  const int value = base64_value(c, options_.url_safe);
  if (value >= 0) {
    pads_ = 0;
    put(value);
    return true;
  }
  if (options_.junk == Junk::stop) return false;
  if (options_.junk == Junk::new_group) {
    bits_ = 0;
    have_ = 0;
  }
  return true;
}

std::string Base64::decode(std::string_view in) {
  out_.reserve(in.size() / 4 * 3 + 3);
  for (size_t at = 0; at < in.size();) {
    const size_t end = std::min(in.find_first_of("\r\n", at), in.size());
    const std::string_view line = in.substr(at, end - at);
    at = end + 1;
    if (end + 1 < in.size() && in[end] == '\r' && in[end + 1] == '\n') ++at;
    const auto is_junk = [&](char each) {
      auto c = static_cast<unsigned char>(each);
      if (options_.seven_bits) c &= 0x7F;
      return c != '=' && !is_white(c) && base64_value(c, options_.url_safe) < 0;
    };
    if (options_.junk == Base64Options::Junk::drop_line && std::ranges::any_of(line, is_junk)) continue;
    if (options_.stop_at_blank && data_before_ && base::trim(line).empty()) break;
    data_before_ = data_before_ || !line.empty();
    bool stopped = false;
    for (const char c : line) {
      if (!take(static_cast<unsigned char>(c))) {
        stopped = true;
        break;
      }
    }
    if (stopped) break;
    if (options_.lines_apart) end_group();
  }
  end_group();
  return std::move(out_);
}

// How many bytes of `in` every reader decodes alike: whole lines of whole groups.
size_t common_base64(std::string_view in) {
  size_t at = 0;
  while (at < in.size()) {
    const size_t end = in.find('\n', at);
    if (end == std::string_view::npos) break;
    std::string_view line = in.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.size() % 4 != 0) break;
    if (!std::ranges::all_of(line, [](char c) { return base64_value(static_cast<unsigned char>(c), false) >= 0; }))
      break;
    at = end + 1;
  }
  return at;
}

void other_base64(std::string_view in, const DecodingTaker& taker) {
  using Options = Base64Options;
  if (!taker.next(2 * in.size())) return;
  const size_t common = common_base64(in);
  const std::string before = decode_transfer(TransferEncoding::base64, in.substr(0, common)).bytes;
  in.remove_prefix(common);
  bool junk = false;
  bool url_safe = false;
  bool high = false;
  bool pad = false;
  for (const char each : in) {
    const auto c = static_cast<unsigned char>(each);
    if (c == '=') {
      pad = true;
    } else if (c == '-' || c == '_') {
      url_safe = true;
    } else if (!is_white(c) && base64_value(c, false) < 0) {
      junk = true;
      high = high || c >= 0x80;
    }
  }
  std::vector<Choice<Options>> choices;
  if (junk || url_safe) {
    choices.push_back({0, [](Options& o) { o.junk = Options::Junk::drop_line; }});
    choices.push_back({0, [](Options& o) { o.junk = Options::Junk::stop; }});
  }
  if (pad) {
    choices.push_back({1, [](Options& o) { o.pad = Options::Pad::stop; }});
    choices.push_back({1, [](Options& o) { o.pad = Options::Pad::stop_when_full; }});
    choices.push_back({1, [](Options& o) { o.pad = Options::Pad::skip; }});
    choices.push_back({1, [](Options& o) { o.pad = Options::Pad::zero; }});
  }
  if (url_safe) choices.push_back({2, [](Options& o) { o.url_safe = false; }});
  if (high) choices.push_back({3, [](Options& o) { o.seven_bits = true; }});
  choices.push_back({4, [](Options& o) { o.lines_apart = true; }});
  choices.push_back({5, [](Options& o) { o.stop_at_blank = true; }});
  if (junk || url_safe) choices.push_back({0, [](Options& o) { o.junk = Options::Junk::new_group; }});
  const std::string normal = decode_transfer(TransferEncoding::base64, in).bytes;
  try_choices<Options>(
      choices, before, in.size(), normal,
      [&](const Options& options) { return Base64(options, !before.empty()).decode(in); }, taker);
}

// Quoted-printable.

struct QuotedOptions {
  enum class Bad { keep, drop_sign, drop_all, stop, one_of_pair } bad = Bad::keep;  // what is no escape
  enum class Cr { line_end, data, to_line_feed } cr = Cr::line_end;                 // a CR without LF
  bool blank_in_soft = true;  // a soft break may have white space behind the sign
  bool keep_blanks = false;   // white space at the end of a line stays
  bool upper_only = false;    // hexadecimal digits are upper case
  bool join_first = false;    // soft breaks are taken out before escapes are decoded
};

int hex_digit(char c, bool upper_only) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f' && !upper_only) return c - 'a' + 10;
  return -1;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// soft_break returns how many bytes behind the '=' at `at` belong to a soft line break, 0 when it is none.
size_t soft_break(std::string_view in, size_t at, const QuotedOptions& options) {
  size_t i = at + 1;
  if (options.blank_in_soft) {
    while (i < in.size() && is_blank(in[i])) ++i;
  }
  if (i >= in.size()) return i - at;
  if (in[i] == '\n') return i + 1 - at;
  if (in[i] != '\r') return 0;
  if (i + 1 < in.size() && in[i + 1] == '\n') return i + 2 - at;
  switch (options.cr) {
    case QuotedOptions::Cr::line_end:
      return i + 1 - at;
    case QuotedOptions::Cr::data:
      return 0;
    case QuotedOptions::Cr::to_line_feed: {
      const size_t feed = in.find('\n', i);
      return (feed == std::string_view::npos ? in.size() : feed + 1) - at;
    }
  }
  return 0;
}

std::string without_soft_breaks(std::string_view in, const QuotedOptions& options) {
  std::string out;
  out.reserve(in.size());
  for (size_t at = 0; at < in.size();) {
    const size_t skip = in[at] == '=' ? soft_break(in, at, options) : 0;
    if (skip == 0) out += in[at];
    at += std::max<size_t>(skip, 1);
  }
  return out;
}

std::string decode_quoted(std::string_view in, const QuotedOptions& options) {
  using Bad = QuotedOptions::Bad;
  std::string joined;
  if (options.join_first) {
    joined = without_soft_breaks(in, options);
    in = joined;
  }
  std::string out;
  out.reserve(in.size());
  size_t kept = 0;  // bytes of `out` that white space at the end of a line cannot take away
  for (size_t at = 0; at < in.size();) {
    const char c = in[at];
    if (c == '\n' || c == '\r') {
      if (!options.keep_blanks &&
          (c == '\n' || options.cr == QuotedOptions::Cr::line_end || (at + 1 < in.size() && in[at + 1] == '\n'))) {
        while (out.size() > kept && is_blank(out.back())) out.pop_back();
      }
      out += c;
      kept = out.size();
      ++at;
      continue;
    }
    if (c != '=') {
      out += c;
      ++at;
      continue;
    }
    if (const size_t skip = soft_break(in, at, options); skip > 0) {
      at += skip;
      kept = out.size();
      continue;
    }
    const int high = at + 1 < in.size() ? hex_digit(in[at + 1], options.upper_only) : -1;
    const int low = at + 2 < in.size() ? hex_digit(in[at + 2], options.upper_only) : -1;
    if (high >= 0 && low >= 0) {
      out += static_cast<char>(high * 16 + low);
      kept = out.size();
      at += 3;
      continue;
    }
    if (options.bad == Bad::stop) break;
    if (options.bad == Bad::keep || options.bad == Bad::one_of_pair) out += '=';
    const bool pair = options.bad == Bad::one_of_pair && at + 1 < in.size() && in[at + 1] == '=';
    at += options.bad == Bad::drop_all ? 3 : pair ? 2 : 1;
  }
  return out;
}

void other_quoted(std::string_view in, const DecodingTaker& taker) {
  using Options = QuotedOptions;
  if (!taker.next(2 * in.size())) return;
  bool bad = false;
  bool bare_cr = false;
  bool blanks = false;
  bool lower = false;
  for (size_t at = 0; at < in.size(); ++at) {
    const char next = at + 1 < in.size() ? in[at + 1] : '\n';
    if (in[at] == '\r' && next != '\n') bare_cr = true;
    if (is_blank(in[at]) && (next == '\r' || next == '\n')) blanks = true;
    if (in[at] != '=' || soft_break(in, at, {}) > 0) continue;
    const char last = at + 2 < in.size() ? in[at + 2] : '\n';
    if (hex_digit(next, false) < 0 || hex_digit(last, false) < 0) bad = true;
    if (hex_digit(next, true) < 0 || hex_digit(last, true) < 0) lower = true;
  }
  std::vector<Choice<Options>> choices;
  if (bad) {
    choices.push_back({0, [](Options& o) { o.bad = Options::Bad::drop_sign; }});
    choices.push_back({0, [](Options& o) { o.bad = Options::Bad::drop_all; }});
    choices.push_back({0, [](Options& o) { o.bad = Options::Bad::one_of_pair; }});
    choices.push_back({1, [](Options& o) { o.join_first = true; }});
  }
  if (bare_cr) {
    choices.push_back({2, [](Options& o) { o.cr = Options::Cr::to_line_feed; }});
    choices.push_back({2, [](Options& o) { o.cr = Options::Cr::data; }});
  }
  if (blanks) {
    choices.push_back({3, [](Options& o) { o.blank_in_soft = false; }});
    choices.push_back({4, [](Options& o) { o.keep_blanks = true; }});
  }
  if (lower) choices.push_back({5, [](Options& o) { o.upper_only = true; }});
  if (bad) choices.push_back({0, [](Options& o) { o.bad = Options::Bad::stop; }});
  const std::string normal = decode_transfer(TransferEncoding::quoted_printable, in).bytes;
  try_choices<Options>(
      choices, {}, in.size(), normal, [&](const Options& options) { return decode_quoted(in, options); }, taker);
}

// for_lines calls `take` with each line; stops when it says so.
template <typename Take>
void for_lines(std::string_view in, Take take) {
  for (size_t at = 0; at < in.size();) {
    const size_t end = std::min(in.find_first_of("\r\n", at), in.size());
    if (end > at && !take(in.substr(at, end - at))) return;
    at = end + 1;
  }
}

}  // namespace

void other_decodings(TransferEncoding encoding, std::string_view encoded, const DecodingTaker& taker) {
  if (encoding == TransferEncoding::base64) other_base64(encoded, taker);
  if (encoding == TransferEncoding::quoted_printable) other_quoted(encoded, taker);
}

bool looks_base64(std::string_view content) {
  // One line of a few groups is enough, and so is a run of shorter ones.
  constexpr size_t kLongLine = 24;
  constexpr size_t kShortLines = 32;
  size_t run = 0;
  bool found = false;
  for_lines(content, [&](std::string_view line) {
    size_t data = 0;
    const bool other = std::ranges::any_of(line, [&](char each) {
      const auto c = static_cast<unsigned char>(each);
      if (base64_value(c, true) >= 0) ++data;
      return c != '=' && c < 0x80 && c > ' ' && base64_value(c, true) < 0;
    });
    const bool words = line.find(' ') != std::string_view::npos && data < line.size() * 9 / 10;
    run = other || words ? 0 : run + data;
    found = (!other && !words && data >= kLongLine) || run >= kShortLines;
    return !found;
  });
  return found;
}

bool looks_quoted_printable(std::string_view content) {
  for (size_t at = content.find('='); at != std::string_view::npos; at = content.find('=', at + 1)) {
    if (at + 2 < content.size() && hex_digit(content[at + 1], false) >= 0 && hex_digit(content[at + 2], false) >= 0) {
      return true;
    }
    if (soft_break(content, at, {}) > 0) return true;
  }
  return false;
}

bool looks_uuencoded(std::string_view content) {
  bool found = false;
  for_lines(content, [&](std::string_view line) {
    found = is_uu_begin(line);
    return !found;
  });
  return found;
}

}  // namespace postern::mime

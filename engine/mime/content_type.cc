// SPDX-License-Identifier: Apache-2.0
// One pass over the value, then RFC 2231 continuations are put together. Where senders and readers disagree (text
// behind a quoted string, blanks in a token, backslashes, percent signs) the likely reading becomes the parameter and
// the others become candidates.
#include "engine/mime/content_type.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/encoded_word.h"
#include "engine/mime/header.h"

namespace postern::mime {
namespace {

constexpr size_t kMostParameters = 64;
constexpr size_t kMostSegments = 64;
constexpr size_t kLongestName = 128;
constexpr size_t kLongestWord = 128;  // of a type or disposition

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_token_char(char c) {
  return c > ' ' && c < 127 && std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}
bool is_all_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char low = base::ascii_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// percent_decode decodes %XX; other percent signs stay. `any` tells whether there was one.
std::string percent_decode(std::string_view text, bool& any) {
  std::string out;
  out.reserve(text.size());
  any = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      any = true;
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// as_text decodes a plain value: RFC 2047 words where there are any (not allowed here, but sent), raw bytes otherwise.
std::string as_text(std::string_view value) {
  if (value.find("=?") != std::string_view::npos) return decode_words(value);
  return to_utf8(value, "").utf8;
}

// RawValue is a value before decoding, with other ways to cut it out of the header. `path` is the value with only \"
// and
// \\ unescaped: senders do not escape the separators of "C:\dir\a.exe".
struct RawValue {
  std::string text;
  std::string path;
  std::vector<std::string> others;
};

// Segment is one RFC 2231 piece: name*3*=….
struct Segment {
  std::string name;
  uint32_t number = 0;
  bool encoded = false;
  std::string text;
};

struct Reader {
  std::string_view in;
  size_t at = 0;
  bool malformed = false;

  bool more() const { return at < in.size(); }

  // skip_space skips white space and comments; true when it skipped a comment.
  bool skip_space() {
    bool comment = false;
    while (more()) {
      if (is_space(in[at])) {
        ++at;
      } else if (in[at] == '(') {
        comment = true;
        unsigned depth = 0;
        do {
          if (in[at] == '\\') {
            ++at;
          } else if (in[at] == '(') {
            ++depth;
          } else if (in[at] == ')') {
            --depth;
          }
          ++at;
        } while (more() && depth > 0);
        at = std::min(at, in.size());
        if (depth > 0) malformed = true;
      } else {
        break;
      }
    }
    return comment;
  }

  std::string word() {
    std::string out;
    while (more() && is_token_char(in[at])) {
      if (out.size() < kLongestWord) out += base::ascii_lower(in[at]);
      ++at;
    }
    return out;
  }

  // rest_of_item returns what stands before the next semicolon, trimmed, and moves behind that text.
  std::string_view rest_of_item() {
    const size_t end = std::min(in.find(';', at), in.size());
    const std::string_view text = in.substr(at, end - at);
    at = end;
    return base::trim(text);
  }

  // looks_like_parameter tells whether token, '=' follow, as when a semicolon was left out.
  bool looks_like_parameter() const {
    size_t i = at;
    while (i < in.size() && is_token_char(in[i]) && i - at < kLongestName) ++i;
    return i > at && i < in.size() && in[i] == '=';
  }

  RawValue value();
  RawValue quoted();
  RawValue unquoted();
};

// Further readings are kept up to a length no file name has; a value where one is longer is malformed anyway.
constexpr size_t kLongestOther = 4096;

void add_other(RawValue& value, std::string other) {
  if (other.size() > kLongestOther) return;
  if (other != value.text && std::ranges::find(value.others, other) == value.others.end()) {
    value.others.push_back(std::move(other));
  }
}

RawValue Reader::value() {
  skip_space();
  return more() && in[at] == '"' ? quoted() : unquoted();
}

RawValue Reader::quoted() {
  const size_t begin = ++at;
  RawValue out;
  std::string literal;   // with backslashes as they stand
  std::string unfolded;  // without the white space behind a fold
  bool folded = false;
  bool closed = false;
  bool after_fold = false;
  while (more()) {
    char c = in[at++];
    if (c == '"') {
      closed = true;
      break;
    }
    if (c == '\r' || c == '\n') {
      folded = true;
      after_fold = true;
      continue;
    }
    if (after_fold && is_space(c)) {
      out.text += c;
      out.path += c;
      literal += c;
      continue;
    }
    after_fold = false;
    literal += c;
    out.path += c;
    if (c == '\\' && more()) {
      c = in[at++];
      literal += c;
      if (c == '\\' || c == '"') out.path.pop_back();
      out.path += c;
    }
    out.text += c;
    unfolded += c;
  }
  if (!closed) {
    malformed = true;
    const std::string_view all = in.substr(begin);
    out.text = base::trim(out.text);
    out.path = base::trim(out.path);
    add_other(out, std::string(base::trim(all.substr(0, all.find(';')))));
  }
  add_other(out, literal);
  if (folded) add_other(out, unfolded);
  skip_space();
  if (closed && more() && in[at] != ';' && !looks_like_parameter()) {
    malformed = true;
    std::string tail(rest_of_item());
    std::erase(tail, '"');
    add_other(out, out.path + tail);
  }
  return out;
}

RawValue Reader::unquoted() {
  const size_t begin = at;
  size_t token_end = at;
  while (token_end < in.size() && in[token_end] != ';' && !is_space(in[token_end]) && in[token_end] != '(') ++token_end;
  const std::string first(in.substr(begin, token_end - begin));
  at = token_end;
  skip_space();
  RawValue out;
  out.text = first;
  if (more() && in[at] != ';') {
    malformed = true;
    const bool next_parameter = is_space(in[at - 1]) && looks_like_parameter();
    const size_t resume = at;
    at = begin;
    std::string whole = unfold(rest_of_item());
    if (next_parameter) {
      add_other(out, std::move(whole));
      at = resume;
    } else {
      out.text = std::move(whole);
      add_other(out, first);
    }
  }
  if (std::ranges::any_of(out.text,
                          [](char c) { return c == '"' || static_cast<unsigned char>(c) < ' ' || c == 127; })) {
    malformed = true;
  }
  out.path = out.text;
  std::string bare = out.text;
  std::erase(bare, '"');
  if (bare.size() >= 2 && bare.front() == '\'' && bare.back() == '\'') bare = bare.substr(1, bare.size() - 2);
  add_other(out, std::move(bare));
  return out;
}

// Builder collects the parameters of one value.
class Builder {
 public:
  explicit Builder(StructuredValue& out) : out_(out) {}

  void add(std::string_view name, const RawValue& value);
  void finish();

 private:
  struct Known {
    std::string name;
    bool extended = false;  // RFC 2231; a plain and an extended form side by side are no contradiction
    bool pending = false;   // to be filled from its segments at the end
  };

  void put_plain(const std::string& name, std::string value);
  // extended_place makes room for an extended parameter: readers that know both forms prefer it (RFC 6266 4.3), so it
  // goes before a plain one of its name.
  size_t extended_place(const std::string& name, bool pending);
  void note_duplicate(size_t place);
  std::string extended_text(std::string_view bytes, std::string_view charset) const {
    return to_utf8(bytes, charset).utf8;
  }
  // cut_charset takes "charset'language'" off the front of an extended value; false when it is not there.
  static bool cut_charset(std::string_view& text, std::string& charset);

  StructuredValue& out_;
  std::vector<Known> known_;  // beside out_.parameters
  std::vector<Segment> segments_;
};

void Builder::note_duplicate(size_t place) {
  for (size_t i = 0; i < known_.size(); ++i) {
    if (i != place && !known_[i].pending && known_[i].extended == known_[place].extended &&
        known_[i].name == known_[place].name && out_.parameters[i].value != out_.parameters[place].value) {
      out_.duplicate_parameter = true;
    }
  }
}

void Builder::put_plain(const std::string& name, std::string value) {
  known_.push_back({name, false, false});
  out_.parameters.push_back({name, std::move(value)});
  note_duplicate(known_.size() - 1);
}

size_t Builder::extended_place(const std::string& name, bool pending) {
  size_t place = 0;
  while (place < known_.size() && (known_[place].extended || known_[place].name != name)) ++place;
  known_.insert(known_.begin() + static_cast<ptrdiff_t>(place), {name, true, pending});
  out_.parameters.insert(out_.parameters.begin() + static_cast<ptrdiff_t>(place), {name, {}});
  return place;
}

bool Builder::cut_charset(std::string_view& text, std::string& charset) {
  const size_t first = text.find('\'');
  const size_t second = first == std::string_view::npos ? first : text.find('\'', first + 1);
  if (second == std::string_view::npos) return false;
  charset = text.substr(0, std::min<size_t>(first, 64));
  text.remove_prefix(second + 1);
  return true;
}

void Builder::add(std::string_view name, const RawValue& value) {
  const size_t star = name.find('*');
  const std::string base_name(name.substr(0, star));
  if (base_name.empty()) {
    out_.malformed = true;
    return;
  }
  for (const std::string& other : value.others) {
    if (star == std::string_view::npos) out_.candidates.push_back({base_name, as_text(other)});
  }
  if (star == std::string_view::npos) {
    const bool is_name = base_name == "name" || base_name == "filename";
    const std::string& raw = is_name ? value.path : value.text;
    if (value.path != value.text) out_.candidates.push_back({base_name, as_text(is_name ? value.text : value.path)});
    std::string text = as_text(raw);
    bool any = false;
    std::string decoded = percent_decode(raw, any);
    if (any) out_.candidates.push_back({base_name, to_utf8(decoded, "").utf8});
    put_plain(base_name, std::move(text));
    return;
  }
  std::string_view form = name.substr(star + 1);
  if (form.empty()) {
    std::string charset;
    std::string_view text = value.text;
    if (!cut_charset(text, charset)) out_.malformed = true;
    bool any = false;
    const size_t place = extended_place(base_name, false);
    out_.parameters[place].value = extended_text(percent_decode(text, any), charset);
    note_duplicate(place);
    return;
  }
  Segment segment{base_name, 0, form.ends_with('*'), value.text};
  if (segment.encoded) form.remove_suffix(1);
  const bool number = !form.empty() && form.size() <= 6 && std::ranges::all_of(form, is_digit);
  if (!number || segments_.size() >= kMostSegments) {
    out_.malformed = true;
    out_.truncated = out_.truncated || segments_.size() >= kMostSegments;
    out_.candidates.push_back({base_name, as_text(value.text)});
    return;
  }
  for (const char c : form) segment.number = segment.number * 10 + static_cast<uint32_t>(c - '0');
  const auto waits = [&](const Known& known) { return known.pending && known.name == base_name; };
  if (std::ranges::none_of(known_, waits)) extended_place(base_name, true);
  segments_.push_back(std::move(segment));
}

// finish joins the continuations: up to the first gap for the parameter, over gaps for a candidate.
void Builder::finish() {
  std::ranges::stable_sort(segments_, [](const Segment& a, const Segment& b) {
    return a.name != b.name ? a.name < b.name : a.number < b.number;
  });
  for (size_t i = 0; i < segments_.size();) {
    const Segment& first = segments_[i];
    std::string charset;
    std::string strict;
    std::string all;
    uint32_t expected = 0;
    bool gap = false;
    bool encoded = false;
    size_t k = i;
    for (; k < segments_.size() && segments_[k].name == first.name; ++k) {
      const Segment& segment = segments_[k];
      if (k > i && segment.number == segments_[k - 1].number) {
        out_.duplicate_parameter = out_.duplicate_parameter || segment.text != segments_[k - 1].text;
        out_.malformed = true;
        continue;
      }
      std::string_view text = segment.text;
      std::string decoded;
      if (segment.encoded) {
        encoded = true;
        if (k == i && !cut_charset(text, charset)) out_.malformed = true;
        bool any = false;
        decoded = percent_decode(text, any);
        text = decoded;
      }
      gap = gap || segment.number != expected;
      expected = segment.number + 1;
      if (!gap) strict.append(text);
      all.append(text);
    }
    if (gap) {
      out_.malformed = true;
      out_.candidates.push_back({first.name, extended_text(all, charset)});
    }
    std::string value = extended_text(strict, charset);
    // Some senders cut encoded words over continuations.
    if (value.find("=?") != std::string::npos) {
      std::string decoded = decode_words(value);
      if (!encoded) value.swap(decoded);
      out_.candidates.push_back({first.name, std::move(decoded)});
    }
    size_t place = 0;
    while (!known_[place].pending || known_[place].name != first.name) ++place;
    known_[place].pending = false;
    out_.parameters[place].value = std::move(value);
    note_duplicate(place);
    i = k;
  }
}

// read_parameters reads everything behind the value.
void read_parameters(Reader& reader, StructuredValue& out) {
  Builder builder(out);
  size_t count = 0;
  while (true) {
    reader.skip_space();
    if (!reader.more()) break;
    if (reader.in[reader.at] == ';') {
      ++reader.at;
      continue;
    }
    if (++count > kMostParameters) {
      out.malformed = true;
      out.truncated = true;
      break;
    }
    std::string name;
    bool space = false;
    while (reader.more() && reader.in[reader.at] != '=' && reader.in[reader.at] != ';') {
      const char c = reader.in[reader.at];
      if (is_space(c) || c == '(') {
        reader.skip_space();
        space = true;
        continue;
      }
      if (space && !name.empty()) {
        // "junk name=value": the last word before the equals sign is the name.
        out.malformed = true;
        name.clear();
      }
      space = false;
      if (c == '"' || c == '\0') {
        out.malformed = true;
      } else if (name.size() <= kLongestName) {
        name += base::ascii_lower(c);
      }
      ++reader.at;
    }
    if (!reader.more() || reader.in[reader.at] == ';') {
      if (!name.empty()) out.malformed = true;
      continue;
    }
    ++reader.at;
    const RawValue value = reader.value();
    if (name.empty() || name.size() > kLongestName) {
      out.malformed = true;
      continue;
    }
    if (!std::ranges::all_of(name, [](char c) { return is_token_char(c); })) out.malformed = true;
    builder.add(name, value);
  }
  builder.finish();
  out.malformed = out.malformed || reader.malformed || reader.in.find('\0') != std::string_view::npos;
}

// skip_quote skips a quote round a type, which some senders write.
void skip_quote(Reader& reader, StructuredValue& out) {
  if (reader.more() && reader.in[reader.at] == '"') {
    out.malformed = true;
    ++reader.at;
  }
}

}  // namespace

std::string_view StructuredValue::get(std::string_view name) const {
  for (const Parameter& parameter : parameters) {
    if (parameter.name == name) return parameter.value;
  }
  return {};
}

StructuredValue parse_content_type(std::string_view raw) {
  StructuredValue out;
  Reader reader{raw};
  bool comment = reader.skip_space();
  skip_quote(reader, out);
  const std::string type = reader.word();
  const size_t after_type = reader.at;
  comment = reader.skip_space() || comment;
  bool slash = reader.more() && reader.in[reader.at] == '/';
  std::string subtype;
  if (slash) {
    if (reader.at != after_type) out.malformed = true;
    ++reader.at;
    const size_t after_slash = reader.at;
    comment = reader.skip_space() || comment;
    if (reader.at != after_slash) out.malformed = true;
    subtype = reader.word();
    skip_quote(reader, out);
    reader.skip_space();
  }
  if (slash && reader.more() && reader.in[reader.at] == '/') slash = false;
  if (slash && !type.empty() && !subtype.empty()) {
    out.value = type + "/" + subtype;
    if (comment) out.malformed = true;
  } else {
    out.malformed = true;
    reader.rest_of_item();
  }
  if (reader.more() && reader.in[reader.at] != ';') out.malformed = true;
  read_parameters(reader, out);
  return out;
}

StructuredValue parse_disposition(std::string_view raw) {
  StructuredValue out;
  Reader reader{raw};
  reader.skip_space();
  skip_quote(reader, out);
  out.value = reader.word();
  skip_quote(reader, out);
  reader.skip_space();
  if (out.value.empty()) out.malformed = true;
  if (reader.more() && reader.in[reader.at] == '=') {
    // "filename=x" without a disposition before it.
    reader.at = 0;
    out.value.clear();
    out.malformed = true;
  } else if (reader.more() && reader.in[reader.at] != ';') {
    out.malformed = true;
  }
  read_parameters(reader, out);
  return out;
}

std::string encode_parameter(std::string_view name, std::string_view utf8_value) {
  constexpr size_t kLongestPlain = 180;
  constexpr size_t kSegment = 54;  // of encoded characters a line
  constexpr char kHex[] = "0123456789ABCDEF";
  const bool ascii = std::ranges::all_of(utf8_value, [](char c) { return c >= ' ' && c < 127; });
  const bool mistakable = utf8_value.find("=?") != std::string_view::npos;
  if (ascii && !mistakable && utf8_value.size() <= kLongestPlain) {
    if (is_all_token(utf8_value)) return std::string(name) + "=" + std::string(utf8_value);
    std::string out = std::string(name) + "=\"";
    for (const char c : utf8_value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out + "\"";
  }
  std::vector<std::string> pieces(1);
  for (size_t i = 0; i < utf8_value.size();) {
    size_t length = 1;
    while (i + length < utf8_value.size() && (static_cast<unsigned char>(utf8_value[i + length]) & 0xC0) == 0x80 &&
           length < 4) {
      ++length;
    }
    std::string character;
    for (const char c : utf8_value.substr(i, length)) {
      const bool plain = is_digit(c) || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z') ||
                         std::string_view("-._~").find(c) != std::string_view::npos;
      if (plain) {
        character += c;
      } else {
        character += '%';
        character += kHex[static_cast<unsigned char>(c) >> 4];
        character += kHex[static_cast<unsigned char>(c) & 15];
      }
    }
    if (pieces.back().size() + character.size() > kSegment) pieces.emplace_back();
    pieces.back() += character;
    i += length;
  }
  if (pieces.size() == 1) return std::string(name) + "*=utf-8''" + pieces[0];
  std::string out;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) out += ";\n ";
    out += std::string(name) + "*" + std::to_string(i) + "*=" + (i == 0 ? "utf-8''" : "") + pieces[i];
  }
  return out;
}

}  // namespace postern::mime

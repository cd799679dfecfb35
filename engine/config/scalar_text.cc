// SPDX-License-Identifier: Apache-2.0
// Walks along plain, quoted and block scalars. YAML 1.2 section 7.3 (flow scalars), 8.1 (block scalars), 5.7 (escapes).
#include "engine/config/scalar_text.h"

#include <algorithm>
#include <optional>

namespace postern::config {
namespace {

class Walker {
 public:
  Walker(std::string_view source, size_t begin, std::string_view text, size_t offset)
      : source_(source), text_(text), offset_(offset), at_(begin) {}

  ScalarPlace plain() {
    place_.text_begin = at_;
    while (done_ < text_.size()) {
      if (at_line_end_after_blanks()) {
        if (!fold()) return place_;
      } else if (!same()) {
        return place_;
      }
    }
    return finish(at_);
  }

  ScalarPlace single_quoted() {
    place_.text_begin = ++at_;
    for (;;) {
      if (at_ >= source_.size()) return fail(Replay::unterminated);
      if (source_[at_] == '\'') {
        if (peek(1) != '\'') break;
        if (!take(1)) return place_;
        at_ += 2;
      } else if (at_line_end_after_blanks()) {
        if (!fold()) return place_;
      } else if (!same()) {
        return place_;
      }
    }
    return done_ == text_.size() ? finish(at_ + 1) : place_;
  }

  ScalarPlace double_quoted() {
    place_.text_begin = ++at_;
    for (;;) {
      if (at_ >= source_.size()) return fail(Replay::unterminated);
      if (source_[at_] == '"') break;
      if (source_[at_] == '\\') {
        if (at_ + 1 >= source_.size()) return fail(Replay::unterminated);
        if (!escape()) return place_;
      } else if (at_line_end_after_blanks()) {
        if (!fold()) return place_;
      } else if (!same()) {
        return place_;
      }
    }
    return done_ == text_.size() ? finish(at_ + 1) : place_;
  }

  // Walks along a block whose lines are indented by `indent` (found out when not given).
  ScalarPlace block(bool folded, std::optional<size_t> indent) {
    while (at_ < source_.size() && !at_newline()) ++at_;
    if (at_ < source_.size()) skip_newline();
    if (!indent) indent = first_indent(at_);
    indent_ = *indent;
    skip_indent();
    place_.text_begin = at_;
    while (done_ < text_.size()) {
      if (at_ >= source_.size()) {
        // The last line may lack its line end; what the value has beyond is the one YAML adds.
        if (text_.find_first_not_of('\n', done_) != std::string_view::npos) return place_;
        take(text_.size() - done_);
      } else if (!at_newline()) {
        if (!same()) return place_;
      } else if (!folded) {
        if (!take_line_end()) return place_;
        skip_newline();
        skip_indent();
      } else if (!fold_block()) {
        return place_;
      }
    }
    return finish(at_);
  }

 private:
  char peek(size_t n) const { return at_ + n < source_.size() ? source_[at_ + n] : '\0'; }
  bool newline_at(size_t i) const {
    return i < source_.size() &&
           (source_[i] == '\n' || (source_[i] == '\r' && i + 1 < source_.size() && source_[i + 1] == '\n'));
  }
  bool at_newline() const { return newline_at(at_); }
  void skip_newline() { at_ += source_[at_] == '\r' ? 2 : 1; }
  bool at_line_end_after_blanks() const {
    size_t i = at_;
    while (i < source_.size() && (source_[i] == ' ' || source_[i] == '\t')) ++i;
    return newline_at(i);
  }

  // Maps the next `n` bytes of the value to the place where the walk is.
  bool take(size_t n) {
    if (text_.size() - done_ < n) return false;
    if (offset_ >= done_ && offset_ < done_ + n) place_.wanted = at_;
    done_ += n;
    return true;
  }
  bool take_line_end() { return done_ < text_.size() && text_[done_] == '\n' && take(1); }
  bool same() {
    if (at_ >= source_.size() || done_ >= text_.size() || source_[at_] != text_[done_]) return false;
    take(1);
    ++at_;
    return true;
  }

  // A line end in a flow scalar: one is a blank, n are n - 1 line ends; blanks on both sides vanish.
  bool fold() {
    while (source_[at_] == ' ' || source_[at_] == '\t') ++at_;
    size_t ends = 0;
    size_t i = at_;
    size_t after = at_;
    while (newline_at(i)) {
      i += source_[i] == '\r' ? 2 : 1;
      ++ends;
      while (i < source_.size() && (source_[i] == ' ' || source_[i] == '\t')) ++i;
      after = i;
    }
    if (ends == 1) {
      if (done_ >= text_.size() || text_[done_] != ' ') return false;
      take(1);
    } else {
      for (size_t n = 1; n < ends; ++n) {
        if (!take_line_end()) return false;
      }
    }
    at_ = after;
    return true;
  }

  bool escape() {
    const char kind = source_[at_ + 1];
    if (newline_at(at_ + 1)) {
      at_ += kind == '\r' ? 3 : 2;
      while (at_ < source_.size() && (source_[at_] == ' ' || source_[at_] == '\t')) ++at_;
      return true;
    }
    size_t digits = 0;
    size_t bytes = 1;
    switch (kind) {
      case 'x':
        digits = 2;
        break;
      case 'u':
        digits = 4;
        break;
      case 'U':
        digits = 8;
        break;
      case 'N':
      case '_':
        bytes = 2;
        break;
      case 'L':
      case 'P':
        bytes = 3;
        break;
      default:
        break;
    }
    if (digits != 0) {
      uint32_t code = 0;
      for (size_t i = 0; i < digits; ++i) {
        const char c = peek(2 + i);
        const int value = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : -1;
        if (value < 0) return false;
        code = code << 4 | static_cast<uint32_t>(value);
      }
      bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    }
    if (!take(bytes)) return false;
    at_ += 2 + digits;
    return true;
  }

  // A line end in a folded block. How many line ends the value keeps depends on the lines round it, so the value says.
  bool fold_block() {
    const size_t start = at_;
    size_t ends = 0;
    size_t i = at_;
    while (newline_at(i)) {
      i += source_[i] == '\r' ? 2 : 1;
      ++ends;
      const size_t next_line = i;
      while (i < source_.size() && i - next_line < indent_ && source_[i] == ' ') ++i;
    }
    size_t kept = 0;
    if (ends == 1 && text_[done_] == ' ') {
      take(1);
    } else {
      while (kept < ends && take_line_end()) {
        ++kept;
        if (newline_at(at_)) skip_newline();
        while (at_ < source_.size() && !newline_at(at_) && source_[at_] == ' ' && kept < ends) ++at_;
      }
      if (kept + 1 < ends && done_ < text_.size()) return false;
    }
    at_ = i;
    return at_ > start;
  }

  size_t first_indent(size_t from) const {
    for (size_t i = from; i < source_.size();) {
      size_t j = i;
      while (j < source_.size() && source_[j] == ' ') ++j;
      if (j >= source_.size() || !newline_at(j)) return j - i;
      i = j + (source_[j] == '\r' ? 2 : 1);
    }
    return 0;
  }
  void skip_indent() {
    for (size_t n = 0; n < indent_ && at_ < source_.size() && source_[at_] == ' '; ++n) ++at_;
  }

  ScalarPlace fail(Replay why) {
    place_.result = why;
    return place_;
  }
  ScalarPlace finish(size_t end) {
    place_.result = Replay::ok;
    place_.end = end;
    if (offset_ >= text_.size()) place_.wanted = at_;
    return place_;
  }

  std::string_view source_;
  std::string_view text_;
  size_t offset_;
  size_t at_;
  size_t done_ = 0;  // bytes of the value that have their place
  size_t indent_ = 0;
  ScalarPlace place_;
};

// The indentation a block header states, as a digit relative to the parent's, which the source does not tell here.
bool has_indent_digit(std::string_view source, size_t begin) {
  for (size_t i = begin + 1; i < source.size() && i < begin + 3; ++i) {
    if (source[i] >= '1' && source[i] <= '9') return true;
  }
  return false;
}

}  // namespace

ScalarStyle style_at(std::string_view source, size_t begin) {
  switch (begin < source.size() ? source[begin] : '\0') {
    case '\'':
      return ScalarStyle::single_quoted;
    case '"':
      return ScalarStyle::double_quoted;
    case '|':
      return ScalarStyle::literal;
    case '>':
      return ScalarStyle::folded;
    default:
      return ScalarStyle::plain;
  }
}

ScalarPlace walk_scalar(std::string_view source, size_t begin, ScalarStyle style, std::string_view text,
                        size_t offset) {
  if (begin > source.size()) return {};
  switch (style) {
    case ScalarStyle::plain:
      return Walker(source, begin, text, offset).plain();
    case ScalarStyle::single_quoted:
      return Walker(source, begin, text, offset).single_quoted();
    case ScalarStyle::double_quoted:
      return Walker(source, begin, text, offset).double_quoted();
    case ScalarStyle::literal:
    case ScalarStyle::folded:
      break;
  }
  const bool folded = style == ScalarStyle::folded;
  if (!has_indent_digit(source, begin)) return Walker(source, begin, text, offset).block(folded, std::nullopt);
  constexpr size_t kWidestIndent = 2 * kMaxYamlDepth + 9;
  for (size_t indent = 1; indent <= kWidestIndent; ++indent) {
    const ScalarPlace place = Walker(source, begin, text, offset).block(folded, indent);
    if (place.result == Replay::ok) return place;
  }
  return {};
}

}  // namespace postern::config

// SPDX-License-Identifier: Apache-2.0
// Words, strings, numbers and operators of conditions. What people write out of habit from other languages (&&, =, a
// typographic quote) gets an answer that says how it is written here.
#include "rules/lexer.h"

#include <cstdint>

#include "engine/base/text.h"

namespace postern::rules {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Length of the UTF-8 sequence that starts with `byte`, 1 when it starts none.
size_t sequence_length(char byte) {
  const auto b = static_cast<unsigned char>(byte);
  if (b >= 0xF0) return 4;
  if (b >= 0xE0) return 3;
  if (b >= 0xC2) return 2;
  return 1;
}

bool is_typographic_quote(std::string_view character) {
  for (const std::string_view quote : {"\u201C", "\u201D", "\u201E", "\u201F", "\u2018", "\u2019", "\u201A", "\u201B",
                                       "\u00AB", "\u00BB", "\u2039", "\u203A", "\u2033", "\u00B4", "`"}) {
    if (character == quote) return true;
  }
  return false;
}

}  // namespace

Token Lexer::bad(size_t offset, size_t length, std::string message, std::string hint) {
  at_ = text_.size();
  return {TokenKind::bad, offset, length, std::move(message), std::move(hint)};
}

Token Lexer::string_token(char quote) {
  const size_t start = at_;
  std::string value;
  size_t i = at_ + 1;
  while (i < text_.size() && text_[i] != quote) {
    if (text_[i] == '\\' && i + 1 < text_.size()) {
      if (text_[i + 1] != quote) value += '\\';
      value += text_[i + 1];
      i += 2;
    } else {
      value += text_[i++];
    }
  }
  if (i >= text_.size()) {
    return bad(start, 1, "this string has no closing quote",
               std::string("inside the string a quote is written \\") + quote);
  }
  at_ = i + 1;
  return {TokenKind::text, start, at_ - start, std::move(value), {}};
}

Token Lexer::symbol() {
  const size_t start = at_;
  const auto is_next = [&](char c) { return start + 1 < text_.size() && text_[start + 1] == c; };
  const auto take = [&](TokenKind kind, size_t length) {
    at_ = start + length;
    return Token{kind, start, length, std::string(text_.substr(start, length)), {}};
  };
  switch (text_[start]) {
    case '(':
      return take(TokenKind::open, 1);
    case ')':
      return take(TokenKind::close, 1);
    case ',':
      return take(TokenKind::comma, 1);
    case '<':
      if (is_next('>')) return bad(start, 2, "there is no operator '<>'", "write '!='");
      return take(TokenKind::compare, is_next('=') ? 2 : 1);
    case '>':
      return take(TokenKind::compare, is_next('=') ? 2 : 1);
    case '=':
      if (is_next('=')) return take(TokenKind::compare, 2);
      if (is_next('~')) return bad(start, 2, "there is no operator '=~'", "write '==', which takes a regex already");
      return bad(start, 1, "there is no operator '='", "write '=='");
    case '!':
      if (is_next('=')) return take(TokenKind::compare, 2);
      return bad(start, 1, "there is no operator '!'", "write 'not'");
    case '&':
      return bad(start, is_next('&') ? 2 : 1, "there is no operator '&'", "write 'and'");
    case '|':
      return bad(start, is_next('|') ? 2 : 1, "there is no operator '|'", "write 'or'");
    case '#':
      return bad(start, 1, "a condition takes no comment", "put it on a line of its own above, or under 'comment:'");
    default:
      break;
  }
  const std::string_view character = text_.substr(start, sequence_length(text_[start]));
  if (is_typographic_quote(character)) {
    return bad(start, character.size(), "this is a typographic quote, which means nothing here",
               "write a plain \" or '");
  }
  if (character == "\u00A0" || character == "\u202F" || character == "\u2007" || character == "\uFEFF") {
    return bad(start, character.size(), "this is not a plain blank but a special one that looks alike",
               "replace it by a blank");
  }
  return bad(start, character.size(), "unexpected character '" + base::escape_for_log(character) + "'");
}

Token Lexer::next() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  const size_t start = at_;
  if (start >= text_.size()) {
    // The end is just behind the last word, not in the blank lines after it.
    size_t end = text_.size();
    while (end > 0 && is_blank(text_[end - 1])) --end;
    return {TokenKind::end, end, 1, {}, {}};
  }
  const char c = text_[start];
  if (c == '"' || c == '\'') return string_token(c);
  const auto digit_at = [&](size_t at) { return at < text_.size() && is_digit(text_[at]); };
  const bool number = is_digit(c) || (c == '-' && digit_at(start + 1));
  if (is_letter(c) || number) {
    ++at_;
    while (at_ < text_.size() && (is_word(text_[at_]) || (number && text_[at_] == '.' && digit_at(at_ + 1)))) ++at_;
    const TokenKind kind = number ? TokenKind::number : TokenKind::word;
    return {kind, start, at_ - start, std::string(text_.substr(start, at_ - start)), {}};
  }
  return symbol();
}

size_t text_offset(std::string_view source, size_t token_offset, size_t offset) {
  const char quote = source[token_offset];
  size_t i = token_offset + 1;
  for (size_t done = 0; done < offset && i < source.size() && source[i] != quote;) {
    if (source[i] == '\\' && i + 1 < source.size()) {
      const size_t written = source[i + 1] == quote ? 1 : 2;
      if (done + written > offset) return i + 1;
      done += written;
      i += 2;
    } else {
      ++done;
      ++i;
    }
  }
  return i;
}

}  // namespace postern::rules

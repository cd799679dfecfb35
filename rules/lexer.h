// SPDX-License-Identifier: Apache-2.0
// Lexer of conditions: text to tokens, each with its place in the text. Strings are raw: a backslash before the closing
// quote's kind keeps the quote out of the syntax and disappears, every other backslash stays, so a regex is written
// once. Linear, allocation per string only; keeps a view of the text, which must outlive it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::rules {

enum class TokenKind : uint8_t { word, text, number, compare, open, close, comma, end, bad };

// Token is one lexical unit. `offset` and `length` are bytes of the source text, quotes included; `value` is the word,
// the text without quotes, the number as written, or for `bad` what is wrong.
struct Token {
  TokenKind kind = TokenKind::end;
  size_t offset = 0;
  size_t length = 0;
  std::string value;
  std::string hint;  // for bad: how to write it instead
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}
  // next returns the next token; after the last one, `end` for ever. A bad token ends the text too.
  Token next();

 private:
  Token bad(size_t offset, size_t length, std::string message, std::string hint = {});
  Token string_token(char quote);
  Token symbol();
  std::string_view text_;
  size_t at_ = 0;
};

// text_offset maps byte `offset` of a text token's value to its place in `source`, where `token` stands.
size_t text_offset(std::string_view source, size_t token_offset, size_t offset);

}  // namespace postern::rules

// SPDX-License-Identifier: Apache-2.0
// Parser of conditions: tokens to a syntax tree that knows nothing of which rules exist.
//
//   expression = and-expression { "or" and-expression }
//   and-expression = not-expression { "and" not-expression }
//   not-expression = { "not" } ( "(" expression ")" | test )
//   test = word [ "(" [ value { "," value } ] ")" ] [ operator value ]
//
// `and`, `or`, `not` in any case. Depth of parentheses and `not`s together is bounded by the caller, so recursion is
// too. The first fault of a text ends it.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/ast.h"
#include "rules/lexer.h"

namespace postern::rules {

// Literal is an argument or a compared value as written.
struct Literal {
  TokenKind kind = TokenKind::text;  // text, number or word
  std::string value;
  size_t offset = 0;
  size_t length = 0;
};

// Term is one test as written.
struct Term {
  Literal word;
  std::vector<Literal> arguments;
  size_t close_offset = 0;  // of the ')' after the arguments; 0: no parentheses
  Operator op = Operator::none;
  size_t op_offset = 0;
  size_t op_length = 0;
  Literal value;
};

// Syntax is a parsed condition; node 0 is the root. Node::test indexes `terms`.
struct Syntax {
  std::vector<Node> nodes;
  std::vector<Term> terms;
};

// SyntaxFault says what is wrong where.
struct SyntaxFault {
  size_t offset = 0;
  size_t length = 1;
  std::string message;
  std::string hint;
};

// parse_condition parses `text`, with at most `max_depth` levels of nesting and kMaxNodes nodes. On a fault it returns
// nullopt and fills `fault`.
std::optional<Syntax> parse_condition(std::string_view text, uint32_t max_depth, SyntaxFault& fault);

}  // namespace postern::rules

// SPDX-License-Identifier: Apache-2.0
// Recursive descent over one token of look-ahead. Children of `and` and `or` are gathered flat, so that only
// parentheses and `not` cost depth.
#include "rules/parser.h"

#include "engine/base/text.h"

namespace postern::rules {
namespace {

class Parser {
 public:
  Parser(std::string_view text, uint32_t max_depth, SyntaxFault& fault)
      : lexer_(text), max_depth_(max_depth), fault_(fault) {}

  std::optional<Syntax> run() {
    advance();
    if (token_.kind == TokenKind::end) {
      fail("the condition is empty", "leave 'if' out, or write 'true'");
      return std::nullopt;
    }
    // The root's place is taken first and filled last, so that it is node 0.
    syntax_.nodes.emplace_back();
    const std::optional<Node> root = list(Node::Kind::any_of, 0);
    if (!root) return std::nullopt;
    if (token_.kind != TokenKind::end) {
      fail_after_test();
      return std::nullopt;
    }
    syntax_.nodes[0] = *root;
    return std::move(syntax_);
  }

 private:
  void advance() { token_ = lexer_.next(); }

  std::nullopt_t fail_at(size_t offset, size_t length, std::string message, std::string hint) {
    fault_ = {offset, length, std::move(message), std::move(hint)};
    return std::nullopt;
  }

  // Reports `message` at the present token, or what is wrong with that token itself.
  std::nullopt_t fail(std::string message, std::string hint = {}) {
    if (token_.kind == TokenKind::bad) return fail_at(token_.offset, token_.length, token_.value, token_.hint);
    return fail_at(token_.offset, token_.length, std::move(message), std::move(hint));
  }

  std::nullopt_t fail_after_test() {
    if (token_.kind == TokenKind::close) return fail("this ')' closes nothing");
    if (token_.kind == TokenKind::word) {
      const std::string word = base::lower(token_.value);
      if (word == "contains" || word == "matches" || word == "is" || word == "in" || word == "like") {
        return fail("there is no operator '" + token_.value + "'", "write '==' or '!='");
      }
      return fail("expected 'and', 'or' or the end of the condition before '" + base::escape_for_log(token_.value, 64) +
                  "'");
    }
    if (token_.kind == TokenKind::text || token_.kind == TokenKind::number) {
      return fail("expected an operator before this value", "for example ==");
    }
    return fail("expected 'and', 'or' or the end of the condition");
  }

  bool at_word(std::string_view word) const {
    return token_.kind == TokenKind::word && base::iequals(token_.value, word);
  }

  std::optional<uint32_t> keep(Node node) {
    if (syntax_.nodes.size() >= kMaxNodes) {
      fail_at(token_.offset, token_.length, "the condition has more than " + std::to_string(kMaxNodes) + " parts", {});
      return std::nullopt;
    }
    syntax_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(syntax_.nodes.size() - 1);
  }

  // One level of `or` (any_of) or `and` (all_of); a single operand is itself.
  std::optional<Node> list(Node::Kind kind, uint32_t depth) {
    const bool is_or = kind == Node::Kind::any_of;
    const auto operand = [&] { return is_or ? list(Node::Kind::all_of, depth) : negation(depth); };
    std::optional<Node> first = operand();
    if (!first || !at_word(is_or ? "or" : "and")) return first;
    Node node;
    node.kind = kind;
    for (Node next = std::move(*first);;) {
      const std::optional<uint32_t> index = keep(std::move(next));
      if (!index) return std::nullopt;
      node.children.push_back(*index);
      if (!at_word(is_or ? "or" : "and")) return node;
      advance();
      std::optional<Node> following = operand();
      if (!following) return std::nullopt;
      next = std::move(*following);
    }
  }

  std::optional<Node> negation(uint32_t depth) {
    const Token start = token_;
    bool negative = false;
    while (at_word("not")) {
      negative = !negative;
      ++depth;
      if (depth > max_depth_) return too_deep(start);
      advance();
    }
    std::optional<Node> inner = primary(depth);
    if (!inner || !negative) return inner;
    const std::optional<uint32_t> index = keep(std::move(*inner));
    if (!index) return std::nullopt;
    Node node;
    node.kind = Node::Kind::negation;
    node.children.push_back(*index);
    return node;
  }

  std::nullopt_t too_deep(const Token& at) {
    return fail_at(at.offset, at.length, "nested deeper than " + std::to_string(kMaxDepth) + " levels",
                   "split the filter in two");
  }

  std::optional<Node> primary(uint32_t depth) {
    if (token_.kind == TokenKind::word) {
      if (at_word("and") || at_word("or")) return fail("expected a rule before '" + token_.value + "'");
      return test();
    }
    if (token_.kind != TokenKind::open) {
      if (token_.kind == TokenKind::end) return fail("the condition ends where a rule is expected");
      return fail("expected a rule, 'not' or '('");
    }
    const Token open = token_;
    if (depth + 1 > max_depth_) return too_deep(open);
    advance();
    std::optional<Node> inner = list(Node::Kind::any_of, depth + 1);
    if (!inner) return std::nullopt;
    if (token_.kind == TokenKind::end) return fail_at(open.offset, open.length, "this '(' is not closed", {});
    if (token_.kind != TokenKind::close) return fail_after_test();
    advance();
    return inner;
  }

  std::optional<Node> test() {
    Term term;
    term.word = {token_.kind, token_.value, token_.offset, token_.length};
    advance();
    if (token_.kind == TokenKind::open && !arguments(term)) return std::nullopt;
    if (token_.kind == TokenKind::compare) {
      term.op = operator_of(token_.value);
      term.op_offset = token_.offset;
      term.op_length = token_.length;
      advance();
      if (!value(term.value)) return std::nullopt;
    }
    syntax_.terms.push_back(std::move(term));
    Node node;
    node.test = static_cast<uint32_t>(syntax_.terms.size() - 1);
    return node;
  }

  bool arguments(Term& term) {
    const Token open = token_;
    advance();
    while (token_.kind != TokenKind::close) {
      if (token_.kind == TokenKind::end) {
        fail_at(open.offset, open.length, "this '(' is not closed", {});
        return false;
      }
      Literal literal;
      if (!value(literal)) return false;
      term.arguments.push_back(std::move(literal));
      if (token_.kind == TokenKind::comma) {
        advance();
        if (token_.kind == TokenKind::close) {
          fail("expected a value after ','");
          return false;
        }
      } else if (token_.kind != TokenKind::close) {
        if (token_.kind == TokenKind::end) {
          fail_at(open.offset, open.length, "this '(' is not closed", {});
        } else {
          fail("expected ',' or ')' after this argument");
        }
        return false;
      }
    }
    term.close_offset = token_.offset;
    advance();
    return true;
  }

  bool value(Literal& literal) {
    const bool is_word = token_.kind == TokenKind::word;
    if (is_word && (at_word("and") || at_word("or") || at_word("not"))) {
      fail("expected a value before '" + token_.value + "'");
      return false;
    }
    if (!is_word && token_.kind != TokenKind::text && token_.kind != TokenKind::number) {
      fail("expected a value: a text in quotes or a number");
      return false;
    }
    literal = {token_.kind, token_.value, token_.offset, token_.length};
    advance();
    return true;
  }

  static Operator operator_of(std::string_view text) {
    if (text == "==") return Operator::eq;
    if (text == "!=") return Operator::ne;
    if (text == "<") return Operator::lt;
    if (text == "<=") return Operator::le;
    if (text == ">") return Operator::gt;
    return Operator::ge;
  }

  Lexer lexer_;
  Token token_;
  uint32_t max_depth_;
  SyntaxFault& fault_;
  Syntax syntax_;
};

}  // namespace

std::optional<Syntax> parse_condition(std::string_view text, uint32_t max_depth, SyntaxFault& fault) {
  return Parser(text, max_depth, fault).run();
}

}  // namespace postern::rules

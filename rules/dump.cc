// SPDX-License-Identifier: Apache-2.0
// Writes checked conditions and filters as s-expressions. Depth is bounded by the loader.
#include "rules/dump.h"

namespace postern::rules {
namespace {

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string_view operator_name(Operator op, bool regex) {
  switch (op) {
    case Operator::none:
      return "";
    case Operator::eq:
      return regex ? "=~" : "==";
    case Operator::ne:
      return regex ? "!~" : "!=";
    case Operator::lt:
      return "<";
    case Operator::le:
      return "<=";
    case Operator::gt:
      return ">";
    case Operator::ge:
      return ">=";
  }
  return "";
}

void dump_test(const Test& test, std::string& out) {
  const RuleRow& row = *test.rule;
  const bool compared = test.op != Operator::none;
  const bool regex_value = compared && row.value == 'R';
  const bool text_value =
      compared && test.texts.size() > 0 && row.value != 'R' && row.value != 'N' && row.value != 'Z' && row.value != 's';
  out += '(';
  out += row.name;
  const size_t arguments = test.texts.size() - (text_value ? 1 : 0);
  for (size_t i = 0; i < arguments; ++i) out += ' ' + quote(test.texts[i]);
  if (test.regex && !regex_value) out += ' ' + quote(test.regex->pattern());
  if (row.arguments.find_first_of("Nn") != std::string_view::npos) out += ' ' + std::to_string(test.threshold);
  if (compared) {
    out += ' ';
    out += operator_name(test.op, row.value == 'R');
    out += ' ';
    if (regex_value) {
      out += quote(test.regex->pattern());
    } else if (text_value) {
      out += quote(test.texts.back());
    } else {
      out += std::to_string(test.number);
    }
  }
  out += ')';
}

void dump_node(const Condition& condition, uint32_t index, std::string& out) {
  const Node& node = condition.nodes[index];
  switch (node.kind) {
    case Node::Kind::test:
      dump_test(condition.tests[node.test], out);
      return;
    case Node::Kind::all_of:
      out += "(and";
      break;
    case Node::Kind::any_of:
      out += "(or";
      break;
    case Node::Kind::negation:
      out += "(not";
      break;
  }
  for (const uint32_t child : node.children) {
    out += ' ';
    dump_node(condition, child, out);
  }
  out += ')';
}

void dump_template(const Template& text, std::string& out) {
  out += '"';
  for (const Template::Piece& piece : text.pieces) {
    switch (piece.kind) {
      case Template::Piece::Kind::literal:
        out += piece.text;
        break;
      case Template::Piece::Kind::variable:
        out += "{" + piece.text + "}";
        break;
      case Template::Piece::Kind::header:
        out += "{Header " + piece.text + "}";
        break;
    }
  }
  out += '"';
}

void dump_branch(const Branch& branch, std::string& out);

void dump_statements(const std::vector<Statement>& statements, std::string& out) {
  for (const Statement& statement : statements) {
    out += ' ';
    if (statement.branch) {
      dump_branch(*statement.branch, out);
      continue;
    }
    const Action& action = *statement.action;
    out += '(';
    out += action.row->name;
    for (size_t i = 0; i < action.given.size(); ++i) {
      if (!action.given[i]) continue;
      out += ' ';
      if (!action.templates[i].pieces.empty()) {
        dump_template(action.templates[i], out);
      } else {
        out += quote(action.texts[i]);
      }
    }
    out += ')';
  }
}

void dump_branch(const Branch& branch, std::string& out) {
  out += "(if ";
  dump_node(branch.condition, 0, out);
  out += " (then";
  dump_statements(branch.then_part, out);
  out += ')';
  if (!branch.else_part.empty()) {
    out += " (else";
    dump_statements(branch.else_part, out);
    out += ')';
  }
  out += ')';
}

}  // namespace

std::string dump(const Condition& condition) {
  std::string out;
  dump_node(condition, 0, out);
  return out;
}

std::string dump(const Filter& filter) {
  std::string out = "(filter " + filter.name + ' ';
  dump_branch(filter.body, out);
  return out + ')';
}

}  // namespace postern::rules

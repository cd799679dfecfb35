// SPDX-License-Identifier: Apache-2.0
// Templates and filters. Nothing recurses: the depth of a filter is a counter. RFC 4515 section 3, RFC 4514 section
// 2.4.
#include "engine/directory/ldap_filter.h"

#include <array>
#include <utility>

namespace postern::directory {
namespace {

using base::Cause;
using base::fail;

constexpr size_t kMaxTemplate = 8192;
constexpr uint32_t kMaxDepth = 50;

struct TokenName {
  std::string_view name;
  Token token;
};
constexpr std::array<TokenName, 6> kTokens = {{{"a", Token::address},
                                               {"u", Token::local},
                                               {"d", Token::domain},
                                               {"dn", Token::dn},
                                               {"g", Token::group},
                                               {"f", Token::sender}}};

void append_hex(std::string& out, char c) {
  constexpr char kHex[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out += '\\';
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

void append_escaped(std::string& out, std::string_view value, std::string_view special) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F || special.find(c) != std::string_view::npos) {
      append_hex(out, c);
    } else {
      out += c;
    }
  }
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_attribute_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == ';' || c == '_' || c == ':';
}

std::string_view value_of(Token token, const Values& values) {
  switch (token) {
    case Token::address:
      return values.address;
    case Token::local:
      return values.local;
    case Token::domain:
      return values.domain;
    case Token::dn:
      return values.dn;
    case Token::group:
      return values.group;
    case Token::sender:
      return values.sender;
  }
  return {};
}

std::unexpected<base::Error> bad(std::string what, size_t at) {
  return fail(Cause::malformed, std::move(what) + " at character " + std::to_string(at + 1));
}

// read_assertion reads "attribute op value" from `at` to the closing bracket, which it leaves.
base::Result<Assertion> read_assertion(std::string_view filter, size_t& at) {
  Assertion out;
  const size_t begin = at;
  while (at < filter.size() && is_attribute_char(filter[at])) out.attribute += filter[at++];
  if (at < filter.size() && (filter[at] == '>' || filter[at] == '<' || filter[at] == '~'))
    out.attribute += filter[at++];
  if (at == filter.size() || filter[at] != '=') return bad("an attribute, an operator and a value are expected", at);
  if (out.attribute.empty() || at == begin) return bad("an attribute's name is missing", at);
  out.attribute += filter[at++];
  while (at < filter.size() && filter[at] != ')') {
    const char c = filter[at];
    if (c == '(' || c == '\0') return bad("'(' in a value is written \\28", at);
    if (c == '*') ++out.wildcards;
    if (c == '\\') {
      const int high = at + 2 < filter.size() ? hex_value(filter[at + 1]) : -1;
      const int low = high >= 0 ? hex_value(filter[at + 2]) : -1;
      if (low < 0) return bad("two hexadecimal digits are expected after '\\'", at);
      out.value += static_cast<char>(high * 16 + low);
      at += 3;
      continue;
    }
    out.value += c;
    ++at;
  }
  return out;
}

}  // namespace

std::string escape_filter(std::string_view value) {
  std::string out;
  append_escaped(out, value, "()*\\");
  return out;
}

std::string escape_dn(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    const bool edge = (value[i] == ' ' && (i == 0 || i + 1 == value.size())) || (value[i] == '#' && i == 0);
    if (edge) {
      append_hex(out, value[i]);
    } else {
      append_escaped(out, value.substr(i, 1), "\"+,;<>\\=");
    }
  }
  return out;
}

base::Result<QueryTemplate> QueryTemplate::split(std::string_view text, bool is_filter) {
  if (text.size() > kMaxTemplate) return fail(Cause::limit, "longer than 8192 bytes");
  QueryTemplate out;
  out.text_ = text;
  std::string literal;
  size_t equals = 0;  // equal signs of the text since the last bracket
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '}') return bad("'}' without '{'; as a character write \\7d", at);
    if (c != '{') {
      if (c == '=') ++equals;
      if (c == '(' || c == ')') equals = 0;
      literal += c;
      continue;
    }
    const size_t end = text.find('}', at);
    const std::string_view name = text.substr(at + 1, end == std::string_view::npos ? 0 : end - at - 1);
    const TokenName* found = nullptr;
    for (const TokenName& row : kTokens) {
      if (end != std::string_view::npos && row.name == name) found = &row;
    }
    if (found == nullptr) return bad("{a}, {u}, {d}, {dn}, {g} or {f} is expected; as a character write \\7b", at);
    if (is_filter && equals == 0) return bad("a value may stand only behind an attribute and '='", at);
    Place place = Place::filter;
    if (is_filter) {
      // "(member=uid={u},ou=people)" holds a name: the value is escaped for that first.
      if (equals > 1 && found->token != Token::dn) place = Place::name_in_filter;
    } else {
      const bool whole = found->token == Token::dn || (found->token == Token::group && text == "{g}");
      place = whole ? Place::whole_name : Place::name;
      if (place == Place::name && equals == 0) {
        return bad("a value may stand only behind an attribute and '='", at);
      }
    }
    if (!literal.empty()) out.pieces_.push_back({Place::literal, Token::address, std::exchange(literal, {})});
    out.pieces_.push_back({place, found->token, {}});
    out.tokens_ |= 1u << static_cast<unsigned>(found->token);
    at = end;
  }
  if (!literal.empty()) out.pieces_.push_back({Place::literal, Token::address, std::move(literal)});
  return out;
}

base::Result<QueryTemplate> QueryTemplate::filter(std::string_view text) {
  auto out = split(text, true);
  if (!out) return out;
  // The filter with the shortest harmless values must be one.
  if (auto shape = read_filter(out->expand({"x", "x", "x", "x", "x", "x"})); !shape) {
    return std::unexpected(std::move(shape.error()));
  }
  return out;
}

base::Result<QueryTemplate> QueryTemplate::dn(std::string_view text) { return split(text, false); }

std::string QueryTemplate::expand(const Values& values) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    const std::string_view value = value_of(piece.token, values);
    switch (piece.place) {
      case Place::literal:
        out += piece.text;
        break;
      case Place::filter:
        out += escape_filter(value);
        break;
      case Place::name_in_filter:
        out += escape_filter(escape_dn(value));
        break;
      case Place::name:
        out += escape_dn(value);
        break;
      case Place::whole_name:
        out += value;
        break;
    }
  }
  return out;
}

base::Result<FilterShape> read_filter(std::string_view filter) {
  FilterShape shape;
  // One entry an open bracket: the operator, and how many filters stand behind it.
  struct Open {
    char op;
    size_t members;
  };
  std::vector<Open> open;
  size_t at = 0;
  do {
    if (at == filter.size()) return bad("')' is missing", at);
    if (filter[at] == ')') {
      if (open.empty() || open.back().members == 0) return bad("a filter is expected", at);
      open.pop_back();
      shape.structure += ')';
      ++at;
      continue;
    }
    if (filter[at] != '(') return bad("'(' is expected", at);
    if (!open.empty() && ++open.back().members > 1 && open.back().op == '!') {
      return bad("'!' takes one filter", at);
    }
    ++at;
    const char op = at < filter.size() ? filter[at] : '\0';
    if (op == '&' || op == '|' || op == '!') {
      if (open.size() >= kMaxDepth) return bad("nested too deep", at);
      open.push_back({op, 0});
      shape.structure += '(';
      shape.structure += op;
      ++at;
      continue;
    }
    auto assertion = read_assertion(filter, at);
    if (!assertion) return std::unexpected(std::move(assertion.error()));
    if (at == filter.size()) return bad("')' is missing", at);
    ++at;
    shape.structure += "()";
    shape.assertions.push_back(std::move(*assertion));
  } while (!open.empty());
  if (at != filter.size()) return bad("something stands behind the filter", at);
  return shape;
}

}  // namespace postern::directory

// SPDX-License-Identifier: Apache-2.0
// Query templates: LDAP filters (RFC 4515) and distinguished names (RFC 4514) in which {a} {u} {d} {dn} {g} {f} stand
// for values from a message. A template is split once at load; expanding goes over it once, so that what a value
// contains is never read as a token, and each value is escaped for the place where it stands. Immutable, usable from
// any thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::directory {

// Token is one value a template may ask for: {a} the address, {u} its local part, {d} its domain, {dn} the
// distinguished name of the entry another query found, {g} the group a rule names, {f} the envelope sender.
enum class Token : uint8_t { address, local, domain, dn, group, sender };

// Values are what the tokens stand for; the views need to live only as long as the call.
struct Values {
  std::string_view address;
  std::string_view local;
  std::string_view domain;
  std::string_view dn;
  std::string_view group;
  std::string_view sender;
};

// escape_filter writes `value` as an RFC 4515 assertion value: everything but printable ASCII without special meaning
// becomes \XX.
std::string escape_filter(std::string_view value);
// escape_dn writes `value` as an RFC 4514 attribute value, with \XX for all that is special anywhere in it.
std::string escape_dn(std::string_view value);

class QueryTemplate {
 public:
  QueryTemplate() = default;
  // filter reads an LDAP filter; malformed (with the place in the text) when it is none.
  static base::Result<QueryTemplate> filter(std::string_view text);
  // dn reads a distinguished name, which may be empty.
  static base::Result<QueryTemplate> dn(std::string_view text);

  std::string expand(const Values& values) const;
  bool uses(Token token) const { return (tokens_ >> static_cast<unsigned>(token) & 1) != 0; }
  bool constant() const { return tokens_ == 0; }
  const std::string& text() const { return text_; }
  bool operator==(const QueryTemplate& other) const { return text_ == other.text_; }

 private:
  // How a value is written: in a filter; in a name within a filter; in a name; as it is (a whole name in place of a
  // name).
  enum class Place : uint8_t { literal, filter, name_in_filter, name, whole_name };
  struct Piece {
    Place place = Place::literal;
    Token token = Token::address;
    std::string text;
  };
  static base::Result<QueryTemplate> split(std::string_view text, bool is_filter);
  std::string text_;
  std::vector<Piece> pieces_;
  uint32_t tokens_ = 0;
};

// Assertion is one comparison of a filter, as a directory server reads it.
struct Assertion {
  std::string attribute;  // with the operator: "mail=", "uidNumber>=", "memberOf:1.2.3:="
  std::string value;      // unescaped; wild cards of the filter's own stay "*"
  uint32_t wildcards = 0;
};

// FilterShape is the structure of a filter: its operators and brackets, and its comparisons in order.
struct FilterShape {
  std::string structure;
  std::vector<Assertion> assertions;
};

// read_filter reads a filter strictly, nesting at most 50 deep; malformed when a server would refuse it.
base::Result<FilterShape> read_filter(std::string_view filter);

}  // namespace postern::directory

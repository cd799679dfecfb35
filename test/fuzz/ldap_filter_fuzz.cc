// SPDX-License-Identifier: Apache-2.0
// Whatever stands in an address, the filter keeps its structure and the server reads exactly that value: read_filter,
// QueryTemplate::filter, QueryTemplate::dn, expand, escape_filter, escape_dn.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/directory/ldap_filter.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view raw(reinterpret_cast<const char*>(data), size);

  static const auto fixed = directory::QueryTemplate::filter(
      "(&(|(mail={a})(proxyAddresses=smtp:{a})(uid={u}*))(!(member=uid={u},ou={d},dc=x))(cn={g})(x={f})(seeAlso={dn})"
      ")");
  require(fixed.has_value());
  const directory::Values values{raw, raw, raw, raw, raw, raw};
  const auto shape = directory::read_filter(fixed->expand(values));
  require(shape.has_value());
  require(shape->structure == "(&(|()()())(!())()()())");
  require(shape->assertions[0].value == raw && shape->assertions[0].wildcards == 0);
  require(shape->assertions[1].value == "smtp:" + std::string(raw));
  require(shape->assertions[2].value == std::string(raw) + "*" && shape->assertions[2].wildcards == 1);
  require(shape->assertions[3].value ==
          "uid=" + directory::escape_dn(raw) + ",ou=" + directory::escape_dn(raw) + ",dc=x");
  require(shape->assertions[4].value == raw && shape->assertions[5].value == raw && shape->assertions[6].value == raw);
  for (const char c : directory::escape_dn(raw)) {
    require(static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7F);
    require(std::string_view("\"+,;<>=").find(c) == std::string_view::npos);
  }

  // The input as a template: what loads, expands to a filter whatever the values are.
  if (const auto own = directory::QueryTemplate::filter(raw)) {
    const auto a = directory::read_filter(own->expand({"a", "a", "a", "a", "a", "a"}));
    const auto b = directory::read_filter(own->expand({"*)(x=\\", "{a}", "\0(", "cn=x,dc=\xff", "(", ""}));
    require(a.has_value() && b.has_value() && a->structure == b->structure);
    require(a->assertions.size() == b->assertions.size());
  }
  if (const auto own = directory::QueryTemplate::dn(raw)) own->expand(values);
  return 0;
}

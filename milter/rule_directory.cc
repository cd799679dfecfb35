// SPDX-License-Identifier: Apache-2.0
// One chain of queries for all addresses in question.
#include "milter/rule_directory.h"

#include "engine/base/text.h"

namespace postern::milter {

std::vector<base::Result<bool>> RuleDirectory::in_group(std::span<const std::string> addresses,
                                                        const std::string& group) {
  std::vector<directory::Key> keys;
  for (const std::string& address : addresses) keys.push_back({address, group, {}});
  std::vector<base::Result<bool>> out;
  for (auto& hit : stages::ask_chain(generation_.directories, generation_.settings.group_query, keys, deadline)) {
    if (hit) {
      out.emplace_back(hit->answer != nullptr);
    } else {
      out.emplace_back(std::unexpected(std::move(hit.error())));
    }
  }
  return out;
}

base::Result<bool> RuleDirectory::is_login(const std::string& query, const std::string& address,
                                           const std::string& login) {
  const auto roles = generation_.settings.ldap_roles.find(query);
  const size_t dot = query.find('.');
  if (roles == generation_.settings.ldap_roles.end() || dot == std::string::npos) {
    return base::fail(base::Cause::misconfigured, "no query " + query);
  }
  stages::QueryUse use;
  use.profile = query.substr(0, dot);
  use.query = query.substr(dot + 1);
  use.roles = roles->second;
  const directory::Key key{address, {}, {}};
  auto hit = std::move(stages::ask_chain(generation_.directories, {&use, 1}, {&key, 1}, deadline).front());
  if (!hit) return std::unexpected(std::move(hit.error()));
  for (const std::string& value : hit->values(use.roles.login)) {
    if (base::iequals(value, login)) return true;
  }
  return false;
}

}  // namespace postern::milter

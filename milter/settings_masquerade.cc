// SPDX-License-Identifier: Apache-2.0
// What the flows and rules use of directories: chains of queries, masquerade profiles, which recipients there are and
// where their mail goes.
#include "milter/settings_masquerade.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/config/source.h"
#include "engine/config/yaml.h"
#include "engine/message/rewrite.h"
#include "milter/settings_ldap.h"

namespace postern::milter {
namespace {

using config::Node;
using config::NodeKind;

constexpr size_t kMaxProfiles = 100;
constexpr size_t kMaxChain = 20;
constexpr size_t kMaxHeaders = 20;
constexpr size_t kShownTableFaults = 20;

constexpr std::array<std::string_view, 4> kAddressFields = {"From", "To", "Cc", "Reply-To"};

// `other`, where given, is set for the word "*".
std::vector<std::string> read_domains(config::OptionReader& read, const Node& node, bool* other = nullptr) {
  std::vector<std::string> out;
  const std::vector<const Node*> items = read.items(node);
  for (const Node* item : items) {
    if (other != nullptr && item->text == "*") {
      *other = true;
      if (items.size() > 1) read.error(*item, "'*' stands alone");
      continue;
    }
    const std::string_view bare = std::string_view(item->text).substr(item->text.starts_with('.') ? 1 : 0);
    if (!message::is_one_address("x@" + std::string(bare), false)) {
      read.error(*item, base::quoted(item->text) + " is no domain", "example.org, or .example.org for those below it");
    }
    out.push_back(base::lower(item->text));
  }
  return out;
}

const directory::ProfileSettings* find_profile(const Settings& settings, std::string_view name) {
  const auto found = std::ranges::find(settings.ldap, name, &directory::ProfileSettings::name);
  return found == settings.ldap.end() ? nullptr : &*found;
}

// uses tells whether the query, or the one it needs, has `token` anywhere.
bool uses(const directory::ProfileSettings& profile, const directory::QuerySettings& query, directory::Token token) {
  if (query.filter.uses(token) || (query.base && query.base->uses(token))) return true;
  const auto other = std::ranges::find(profile.queries, query.dn_query, &directory::QuerySettings::name);
  if (query.dn_query.empty() || other == profile.queries.end()) return false;
  return other->filter.uses(token) || (other->base && other->base->uses(token));
}

// Which of a query's attributes a use needs, in words for the error.
enum class Needs : uint8_t { nothing, address_or_name, address_or_host };

std::vector<stages::QueryUse> read_chain(config::OptionReader& read, const Node& list, std::string_view path,
                                         const Settings& settings, Needs needs) {
  std::vector<stages::QueryUse> out;
  std::vector<const Node*> items;
  if (list.kind == NodeKind::scalar) items.push_back(&list);
  for (const Node& item : list.items) items.push_back(&item);
  if (items.empty()) read.error(list, "a list of queries PROFILE.QUERY is expected");
  if (items.size() > kMaxChain) read.error(list, "more than " + std::to_string(kMaxChain) + " queries in a chain");
  for (const Node* item : items) {
    stages::QueryUse use;
    const Node* name = item;
    if (item->kind == NodeKind::map) {
      for (const auto& [option, ignored] : item->entries) read.check_key(option, std::string(path) + "[]");
      name = given(*item, "query");
      if (const Node* domains = given(*item, "domains")) use.domains = read_domains(read, *domains, &use.other_domains);
    }
    if (name == nullptr || name->kind != NodeKind::scalar) {
      read.error(*item, "a query is PROFILE.QUERY, or a map of query and domains");
      continue;
    }
    const size_t dot = name->text.find('.');
    use.profile = name->text.substr(0, dot);
    use.query = dot == std::string::npos ? std::string() : name->text.substr(dot + 1);
    const auto roles = settings.ldap_roles.find(name->text);
    if (roles == settings.ldap_roles.end()) {
      std::vector<std::string_view> known;
      for (const auto& [each, ignored] : settings.ldap_roles) known.push_back(each);
      const std::string_view near = base::nearest(name->text, known);
      read.error(*name, "there is no LDAP query " + base::quoted(name->text),
                 near.empty() ? "PROFILE.QUERY, as under 'ldap'" : "did you mean '" + std::string(near) + "'?");
      continue;
    }
    use.roles = roles->second;
    if (needs == Needs::address_or_name && use.roles.address < 0 && use.roles.name < 0) {
      read.error(*name, "the query " + base::quoted(name->text) + " has neither 'address' nor 'name'");
    }
    if (needs == Needs::address_or_host && use.roles.address < 0 && use.roles.host < 0) {
      read.error(*name, "the query " + base::quoted(name->text) + " has neither 'address' nor 'host'");
    }
    const directory::ProfileSettings* profile = find_profile(settings, use.profile);
    const auto query = std::ranges::find(profile->queries, use.query, &directory::QuerySettings::name);
    if (path != "group-query" && uses(*profile, *query, directory::Token::group)) {
      read.error(*name, "{g} is known only to a group query");
    }
    if (path != "flows[].accept.queries" && uses(*profile, *query, directory::Token::sender)) {
      read.error(*name, "{f} is known only to an accept query");
    }
    out.push_back(std::move(use));
  }
  return out;
}

std::shared_ptr<const stages::AddressTable> read_table(config::OptionReader& read, const Node& map,
                                                       std::string_view path, const std::string& folder,
                                                       std::string& file) {
  read.text(map, path, file);
  if (file.empty()) return nullptr;
  file = config::absolute_path(folder, file);
  const Node& node = *map.get("table");
  std::vector<stages::AddressTable::Fault> faults;
  auto table = stages::AddressTable::load(file, faults);
  if (!table) {
    read.error(node, table.error().text());
    return nullptr;
  }
  size_t count = 0;
  for (const auto& fault : faults) {
    if (++count > kShownTableFaults && !fault.error) continue;
    const std::string text = base::escape_for_log(file, 300) + ":" + std::to_string(fault.line) + ": " + fault.text;
    if (fault.error) {
      read.error(node, text);
    } else {
      read.warning(node, text);
    }
  }
  return std::make_shared<const stages::AddressTable>(std::move(*table));
}

void read_accept(config::OptionReader& read, const Node& map, const Settings& settings, stages::Acceptance& out) {
  if (map.kind != NodeKind::map) {
    read.error(map, "'accept' is a map with 'queries'");
    return;
  }
  for (const auto& [option, ignored] : map.entries) read.check_key(option, "flows[].accept");
  if (const Node* queries = given(map, "queries")) {
    out.queries = read_chain(read, *queries, "flows[].accept.queries", settings, Needs::nothing);
  } else {
    read.error(map, "'accept' needs 'queries'");
  }
  std::string unavailable = "defer";
  read.text(map, "flows[].accept.when-unavailable", unavailable);
  out.accept_unavailable = unavailable == "accept";
}

void read_route(config::OptionReader& read, const Node& map, const std::string& folder, const Settings& settings,
                stages::Routing& out) {
  if (map.kind != NodeKind::map) {
    read.error(map, "'route' is a map with 'table' or 'queries'");
    return;
  }
  for (const auto& [option, ignored] : map.entries) read.check_key(option, "flows[].route");
  out.table = read_table(read, map, "flows[].route.table", folder, out.table_file);
  if (const Node* queries = given(map, "queries")) {
    out.queries = read_chain(read, *queries, "flows[].route.queries", settings, Needs::address_or_host);
    const bool hosts = std::ranges::any_of(out.queries, [](const auto& use) { return use.roles.host >= 0; });
    if (hosts && settings.mta == "sendmail") {
      read.error(*queries, "Sendmail cannot be told a message's next hop", "use a query without 'host'");
    }
  } else if (out.table_file.empty()) {
    read.error(map, "'route' has neither 'table' nor 'queries'");
  }
}

void read_masquerade(config::OptionReader& read, const Node& key, const Node& map, const std::string& folder,
                     Settings& settings) {
  stages::MasqueradeProfile out;
  out.name = key.text;
  for (const auto& [option, ignored] : map.entries) read.check_key(option, "masquerade.*");
  out.table = read_table(read, map, "masquerade.*.table", folder, out.table_file);
  if (const Node* queries = given(map, "queries")) {
    out.queries = read_chain(read, *queries, "masquerade.*.queries", settings, Needs::address_or_name);
  }
  if (given(map, "table") == nullptr && given(map, "queries") == nullptr) {
    read.error(key, "the masquerade profile " + base::quoted(key.text) + " has neither 'table' nor 'queries'");
  }
  if (const Node* sender = given(map, "envelope-sender")) out.envelope_sender = read.boolean(*sender);
  if (const Node* headers = given(map, "headers")) {
    out.headers.clear();
    for (const Node* item : read.items(*headers)) {
      const auto known =
          std::ranges::find_if(kAddressFields, [&](auto name) { return base::iequals(name, item->text); });
      if (known == kAddressFields.end()) {
        read.error(*item, base::quoted(item->text) + " is no field that is masqueraded", "From, To, Cc or Reply-To");
        continue;
      }
      out.headers.emplace_back(*known);
    }
    if (headers->items.size() > kMaxHeaders) read.error(*headers, "too many fields");
  }
  if (const Node* domains = given(map, "domains")) out.domains = read_domains(read, *domains);
  read.text(map, "masquerade.*.quarantine", out.quarantine);
  settings.masquerade.push_back(std::move(out));
}

std::string chain_text(const std::vector<stages::QueryUse>& chain) {
  std::string out = "[";
  for (size_t i = 0; i < chain.size(); ++i) {
    out += i == 0 ? "" : ", ";
    const std::string name = config::quote_scalar(chain[i].profile + "." + chain[i].query);
    const std::string domains = chain[i].other_domains ? "\"*\"" : config::quote_list(chain[i].domains);
    const bool all = chain[i].domains.empty() && !chain[i].other_domains;
    out += all ? name : "{query: " + name + ", domains: " + domains + "}";
  }
  return out + "]";
}

}  // namespace

void read_directories(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  read_profiles(read, root, folder, settings);
  if (const Node* groups = given(root, "group-query")) {
    settings.group_query = read_chain(read, *groups, "group-query", settings, Needs::nothing);
  }
  if (const Node* masquerade = read.map(root, "masquerade")) {
    if (masquerade->entries.size() > kMaxProfiles) {
      read.error(*masquerade, "more than " + std::to_string(kMaxProfiles) + " profiles");
      return;
    }
    for (const auto& [key, value] : masquerade->entries) {
      if (!is_profile_name(key.text)) read.error(key, "a profile's name is letters, digits, '-' and '_'");
      if (value.kind != NodeKind::map) {
        read.error(value, "a masquerade profile is a map with 'table' or 'queries'");
      } else {
        read_masquerade(read, key, value, folder, settings);
      }
    }
  }
}

void read_flow_directories(config::OptionReader& read, const Node& node, const std::string& folder,
                           const Settings& settings, Flow& flow) {
  if (const Node* accept = given(node, "accept")) read_accept(read, *accept, settings, flow.accept);
  if (const Node* route = given(node, "route")) read_route(read, *route, folder, settings, flow.route);
  const Node* list = given(node, "masquerade");
  if (list == nullptr) return;
  for (const Node* item : read.items(*list)) {
    const auto found = std::ranges::find(settings.masquerade, item->text, &stages::MasqueradeProfile::name);
    if (found == settings.masquerade.end()) {
      std::vector<std::string_view> known;
      for (const auto& each : settings.masquerade) known.push_back(each.name);
      const std::string_view near = base::nearest(item->text, known);
      read.error(*item, "there is no masquerade profile " + base::quoted(item->text),
                 near.empty() ? std::string() : "did you mean '" + std::string(near) + "'?");
      continue;
    }
    const auto index = static_cast<uint32_t>(found - settings.masquerade.begin());
    if (std::ranges::find(flow.masquerade, index) != flow.masquerade.end()) {
      read.error(*item, "this profile stands here twice");
      continue;
    }
    flow.masquerade.push_back(index);
  }
}

void check_masquerade(config::OptionReader& read, const Node& root, const Settings& settings) {
  for (uint32_t i = 0; i < settings.masquerade.size(); ++i) {
    const stages::MasqueradeProfile& profile = settings.masquerade[i];
    const Node& all = *root.get("masquerade");
    if (!profile.quarantine.empty() &&
        std::ranges::find(settings.quarantines, profile.quarantine) == settings.quarantines.end()) {
      read.error(*all.get(profile.name)->get("quarantine"),
                 "there is no quarantine " + base::quoted(profile.quarantine));
    }
    const auto uses = [i](const Flow& flow) { return std::ranges::find(flow.masquerade, i) != flow.masquerade.end(); };
    if (std::ranges::any_of(settings.flows, uses)) continue;
    read.warning(*all.key_node(profile.name), "no flow uses this masquerade profile",
                 "name it in a flow's 'masquerade'");
  }
}

void dump_directories(const Settings& settings, std::string& out) {
  dump_profiles(settings, out);
  if (!settings.group_query.empty()) out += "group-query: " + chain_text(settings.group_query) + "\n";
  if (!settings.masquerade.empty()) out += "masquerade:\n";
  for (const stages::MasqueradeProfile& profile : settings.masquerade) {
    out += "  " + config::quote_scalar(profile.name) + ":\n";
    if (!profile.table_file.empty()) out += "    table: " + config::quote_scalar(profile.table_file) + "\n";
    if (!profile.queries.empty()) out += "    queries: " + chain_text(profile.queries) + "\n";
    out += std::string("    envelope-sender: ") + (profile.envelope_sender ? "true" : "false") + "\n";
    out += "    headers: " + config::quote_list(profile.headers) + "\n";
    if (!profile.domains.empty()) out += "    domains: " + config::quote_list(profile.domains) + "\n";
    if (!profile.quarantine.empty()) out += "    quarantine: " + config::quote_scalar(profile.quarantine) + "\n";
  }
}

void dump_flow_directories(const Settings& settings, const Flow& flow, std::string& out) {
  if (!flow.accept.queries.empty()) {
    out += "    accept: {queries: " + chain_text(flow.accept.queries) +
           ", when-unavailable: " + (flow.accept.accept_unavailable ? "accept" : "defer") + "}\n";
  }
  if (!flow.route.table_file.empty() || !flow.route.queries.empty()) {
    std::string inside;
    if (!flow.route.table_file.empty()) inside = "table: " + config::quote_scalar(flow.route.table_file);
    if (!flow.route.queries.empty()) {
      inside += (inside.empty() ? "" : ", ") + ("queries: " + chain_text(flow.route.queries));
    }
    out += "    route: {" + inside + "}\n";
  }
  if (flow.masquerade.empty()) return;
  std::vector<std::string> names;
  for (const uint32_t index : flow.masquerade) names.push_back(settings.masquerade[index].name);
  out += "    masquerade: " + config::quote_list(names) + "\n";
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// Directories as the administrator writes them. A filter is parsed here, with values in place of its tokens, so that a
// mistake in it is a load error and not a message deferred at night.
#include "milter/settings_ldap.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/config/source.h"
#include "engine/config/yaml.h"
#include "engine/x509/distrust.h"

namespace postern::milter {
namespace {

using config::Node;
using config::NodeKind;

constexpr size_t kMaxProfiles = 100;
constexpr size_t kMaxQueries = 200;
constexpr size_t kMaxServers = 20;

// ProfileReader reads one entry of `ldap`.
class ProfileReader {
 public:
  ProfileReader(config::OptionReader& read, const Node& key, const Node& value, const std::string& folder,
                Settings& settings)
      : read_(read), key_(key), map_(value), folder_(folder), settings_(settings) {}

  void read() {
    out_.name = key_.text;
    for (const auto& [option, ignored] : map_.entries) read_.check_key(option, "ldap.*");
    servers();
    read_.text(map_, "ldap.*.base", out_.base);
    security();
    identity();
    limits();
    queries();
    settings_.ldap.push_back(std::move(out_));
  }

 private:
  void file(std::string_view key, std::string& to) {
    read_.text(map_, "ldap.*." + std::string(key), to);
    if (!to.empty() && !to.starts_with("fipsd:")) to = config::absolute_path(folder_, to);
  }

  void servers() {
    const Node* list = given(map_, "servers");
    const std::vector<const Node*> items = list == nullptr ? std::vector<const Node*>() : read_.items(*list);
    if (items.empty() || items.size() > kMaxServers) {
      read_.error(list == nullptr ? key_ : *list,
                  "an LDAP profile needs 1 to " + std::to_string(kMaxServers) + " servers",
                  "for example servers: [ldaps://ldap1.example.org, ldaps://ldap2.example.org]");
    }
    for (const Node* item : items) {
      auto url = directory::read_server_url(item->text);
      if (!url) {
        read_.error(*item, base::quoted(item->text) + " is no LDAP server: " + url.error().text());
        continue;
      }
      if (std::ranges::any_of(out_.servers, [&](const auto& other) { return other.text == url->text; })) {
        read_.error(*item, "this server stands here twice");
      }
      out_.servers.push_back(std::move(*url));
    }
    std::string mode = "failover";
    read_.text(map_, "ldap.*.mode", mode);
    out_.load_balance = mode == "load-balance";
  }

  void security() {
    std::string starttls = "required";
    read_.text(map_, "ldap.*.starttls", starttls);
    out_.starttls = starttls == "required";
    file("trusted", out_.trusted);
    file("certificate", out_.certificate);
    file("key", out_.key);
    const bool in_fipsd = out_.key.starts_with("fipsd:");
    if (!in_fipsd && out_.certificate.empty() != out_.key.empty()) {
      read_.error(*map_.key_node(out_.key.empty() ? "certificate" : "key"), "'certificate' and 'key' go together",
                  "key: fipsd:NAME is a key that fipsd has, with its certificate");
    }
    if (in_fipsd && !is_key_name(std::string_view(out_.key).substr(6))) {
      read_.error(*map_.get("key"), "fipsd: and the name of a key is expected");
    }
    if (const Node* list = given(map_, "distrust")) {
      for (const Node* item : read_.items(*list)) {
        if (auto entry = x509::check_distrust_entry(item->text)) {
          out_.distrust.push_back(std::move(*entry));
        } else {
          read_.error(*item, "no entry of a distrust list: " + entry.error().text());
        }
      }
      if (out_.distrust.size() > x509::kMaxDistrust) read_.error(*list, "too many entries");
    }
  }

  void identity() {
    read_.text(map_, "ldap.*.bind-dn", out_.bind_dn);
    file("secret-file", out_.secret_file);
    std::string sasl = "none";
    read_.text(map_, "ldap.*.sasl", sasl);
    out_.sasl_external = sasl == "external";
    const Node* dn = map_.key_node("bind-dn");
    if (out_.bind_dn.empty() != out_.secret_file.empty()) {
      read_.error(dn != nullptr ? *dn : *map_.key_node("secret-file"), "'bind-dn' and 'secret-file' go together");
    }
    if (out_.sasl_external && !out_.bind_dn.empty())
      read_.error(*dn, "'bind-dn' and 'sasl: external' exclude each other");
    for (const directory::ServerUrl& server : out_.servers) {
      const bool digits = server.host.find_first_not_of("0123456789.") == std::string::npos;
      const bool near =
          server.host == "localhost" || server.host == "::1" || (digits && server.host.starts_with("127."));
      if (server.kind != directory::ServerUrl::Kind::ldap || out_.starttls || near) continue;
      const bool secret = !out_.bind_dn.empty();
      const std::string what = "what is asked of " + server.text + " can be read and changed on its way";
      if (secret) {
        read_.error(*dn, "the password would go to " + server.text + " in clear",
                    "remove 'starttls: off', or use ldaps://");
      } else {
        read_.warning(*map_.key_node("starttls"), what, "remove 'starttls: off', or use ldaps://");
      }
      return;
    }
  }

  void limits() {
    read_.integer(map_, "ldap.*.connections", out_.connections);
    read_time(read_, map_, "ldap.*.connect-timeout", out_.connect_timeout);
    read_time(read_, map_, "ldap.*.timeout", out_.timeout);
    read_time(read_, map_, "ldap.*.retry", out_.retry);
    read_.size(map_, "ldap.*.answer-size", out_.answer_bytes);
    std::string references = "refuse";
    read_.text(map_, "ldap.*.references", references);
    out_.ignore_references = references == "ignore";
    read_.integer(map_, "ldap.*.cache-size", out_.cache_entries);
    read_time(read_, map_, "ldap.*.cache-time", out_.cache_ttl);
    read_time(read_, map_, "ldap.*.negative-cache-time", out_.negative_ttl);
  }

  void queries() {
    const Node* map = given(map_, "queries");
    if (map == nullptr || map->kind != NodeKind::map || map->entries.empty() || map->entries.size() > kMaxQueries) {
      read_.error(map == nullptr ? key_ : *map,
                  "an LDAP profile needs 1 to " + std::to_string(kMaxQueries) + " queries",
                  "for example queries: {mail: {filter: \"(mail={a})\", address: mailPrimary}}");
      return;
    }
    for (const auto& [key, value] : map->entries) {
      if (!is_profile_name(key.text)) read_.error(key, "a query's name is letters, digits, '-' and '_'");
      if (value.kind != NodeKind::map) {
        read_.error(value, "a query is a map with 'filter'");
        continue;
      }
      query(key, value);
    }
    // {dn} is another query's entry.
    for (const directory::QuerySettings& each : out_.queries) {
      const Node& node = *map->get(each.name);
      const bool uses = each.filter.uses(directory::Token::dn) || (each.base && each.base->uses(directory::Token::dn));
      const auto other = std::ranges::find(out_.queries, each.dn_query, &directory::QuerySettings::name);
      // Whose name it is must not be left to chance.
      if (other != out_.queries.end()) other->any_entry = false;
      if (uses && each.dn_query.empty()) read_.error(node, "{dn} needs 'dn-query', the query that finds the entry");
      if (!each.dn_query.empty() && (other == out_.queries.end() || !other->dn_query.empty())) {
        read_.error(*node.get("dn-query"),
                    base::quoted(each.dn_query) + " is no query of this profile that can find an entry");
      }
    }
  }

  void query(const Node& key, const Node& map) {
    for (const auto& [option, ignored] : map.entries) read_.check_key(option, "ldap.*.queries.*");
    directory::QuerySettings query;
    query.name = key.text;
    std::string text;
    read_.text(map, "ldap.*.queries.*.filter", text);
    auto filter = directory::QueryTemplate::filter(text);
    if (filter) {
      query.filter = std::move(*filter);
    } else {
      const Node* node = given(map, "filter");
      read_.error(node == nullptr ? key : *node,
                  node == nullptr ? "a query needs 'filter'" : "no LDAP filter: " + filter.error().text());
    }
    if (const Node* node = given(map, "base"); node != nullptr) {
      std::string base;
      read_.text(map, "ldap.*.queries.*.base", base);
      auto made = directory::QueryTemplate::dn(base);
      if (made) {
        query.base = std::move(*made);
      } else {
        read_.error(*node, "no distinguished name: " + made.error().text());
      }
    }
    std::string scope = "subtree";
    read_.text(map, "ldap.*.queries.*.scope", scope);
    query.scope = scope == "base"  ? directory::Scope::base
                  : scope == "one" ? directory::Scope::one
                                   : directory::Scope::subtree;
    read_.text(map, "ldap.*.queries.*.dn-query", query.dn_query);
    stages::Roles roles;
    for (const auto& [role, place] : {std::pair{"address", &roles.address}, std::pair{"name", &roles.name},
                                      std::pair{"host", &roles.host}, std::pair{"login", &roles.login}}) {
      std::string attribute;
      read_.text(map, "ldap.*.queries.*." + std::string(role), attribute);
      if (attribute.empty()) continue;
      *place = static_cast<int>(query.attributes.size());
      query.attributes.push_back(std::move(attribute));
    }
    // Where only that there is an entry matters, one is as good as several.
    query.any_entry = query.attributes.empty();
    settings_.ldap_roles[out_.name + "." + query.name] = roles;
    out_.queries.push_back(std::move(query));
  }

  config::OptionReader& read_;
  const Node& key_;
  const Node& map_;
  const std::string& folder_;
  Settings& settings_;
  directory::ProfileSettings out_;
};

void dump_profile(const Settings& settings, const directory::ProfileSettings& profile, std::string& out) {
  const auto line = [&out](std::string_view key, const std::string& value) {
    out += "    " + std::string(key) + ": " + value + "\n";
  };
  const auto text = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) line(key, config::quote_scalar(value));
  };
  out += "  " + config::quote_scalar(profile.name) + ":\n";
  std::vector<std::string> servers;
  for (const auto& server : profile.servers) servers.push_back(server.text);
  line("servers", config::quote_list(servers));
  line("mode", profile.load_balance ? "load-balance" : "failover");
  text("base", profile.base);
  line("starttls", profile.starttls ? "required" : "off");
  text("trusted", profile.trusted);
  text("certificate", profile.certificate);
  text("key", profile.key);
  if (!profile.distrust.empty()) line("distrust", config::quote_list(profile.distrust));
  text("bind-dn", profile.bind_dn);
  text("secret-file", profile.secret_file);
  line("sasl", profile.sasl_external ? "external" : "none");
  line("connections", std::to_string(profile.connections));
  line("connect-timeout", time_text(profile.connect_timeout));
  line("timeout", time_text(profile.timeout));
  line("retry", time_text(profile.retry));
  line("answer-size", base::format_size(profile.answer_bytes));
  line("references", profile.ignore_references ? "ignore" : "refuse");
  line("cache-size", std::to_string(profile.cache_entries));
  line("cache-time", time_text(profile.cache_ttl));
  line("negative-cache-time", time_text(profile.negative_ttl));
  out += "    queries:\n";
  for (const directory::QuerySettings& query : profile.queries) {
    out += "      " + config::quote_scalar(query.name) + ": {filter: " + config::quote_scalar(query.filter.text());
    if (query.base) out += ", base: " + config::quote_scalar(query.base->text());
    constexpr std::string_view kScopes[] = {"base", "one", "subtree"};
    out += ", scope: " + std::string(kScopes[static_cast<size_t>(query.scope)]);
    if (!query.dn_query.empty()) out += ", dn-query: " + config::quote_scalar(query.dn_query);
    const stages::Roles& roles = settings.ldap_roles.at(profile.name + "." + query.name);
    for (const auto& [role, place] : {std::pair{"address", roles.address}, std::pair{"name", roles.name},
                                      std::pair{"host", roles.host}, std::pair{"login", roles.login}}) {
      if (place >= 0)
        out += ", " + std::string(role) + ": " + config::quote_scalar(query.attributes[static_cast<size_t>(place)]);
    }
    out += "}\n";
  }
}

}  // namespace

void read_time(config::OptionReader& read, const Node& map, std::string_view path, std::chrono::milliseconds& to) {
  uint64_t seconds = static_cast<uint64_t>(to.count()) / 1000;
  read.duration(map, path, seconds);
  to = std::chrono::seconds(seconds);
}

std::string time_text(std::chrono::milliseconds time) {
  return base::format_duration(static_cast<uint64_t>(time.count()) / 1000);
}

bool is_profile_name(std::string_view name) {
  return !name.empty() && name.size() <= 60 && std::ranges::all_of(name, [](char c) {
    const char l = base::ascii_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

bool is_key_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.find_first_of("._-") != 0 && std::ranges::all_of(name, [](char c) {
    const char l = base::ascii_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

const Node* given(const Node& map, std::string_view key) {
  const Node* node = map.get(key);
  return node == nullptr || node->kind == NodeKind::null ? nullptr : node;
}

void read_profiles(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  const Node* ldap = read.map(root, "ldap");
  if (ldap == nullptr) return;
  if (ldap->entries.size() > kMaxProfiles) read.error(*ldap, "more than " + std::to_string(kMaxProfiles) + " profiles");
  for (const auto& [key, value] : ldap->entries) {
    if (!is_profile_name(key.text)) read.error(key, "a profile's name is letters, digits, '-' and '_'");
    if (value.kind != NodeKind::map) {
      read.error(value, "an LDAP profile is a map of servers, base, queries and more");
    } else if (settings.ldap.size() < kMaxProfiles) {
      ProfileReader(read, key, value, folder, settings).read();
    }
  }
}

void dump_profiles(const Settings& settings, std::string& out) {
  if (!settings.ldap.empty()) out += "ldap:\n";
  for (const directory::ProfileSettings& profile : settings.ldap) dump_profile(settings, profile, out);
}

}  // namespace postern::milter

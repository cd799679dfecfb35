// SPDX-License-Identifier: Apache-2.0
// External engines as the administrator writes them.
#include "milter/settings_engines.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/config/source.h"
#include "engine/config/yaml.h"
#include "milter/settings_ldap.h"

namespace postern::milter {
namespace {

using config::Node;
using config::NodeKind;
using inspect::Type;

constexpr size_t kMostEngines = 20;
constexpr size_t kMostServers = 20;
constexpr size_t kMostService = 200;

bool is_service(std::string_view name) {
  return !name.empty() && name.size() <= kMostService && std::ranges::all_of(name, [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7F && c != '#';
  });
}

void read_type(config::OptionReader& read, const Node& key, const Node& map, inspect::EngineSettings& out) {
  if (given(map, "type") == nullptr) read.error(key, "an engine needs a type", "one of clamd, icap, rspamd, spamd");
  std::string word;
  read.text(map, "engines.*.type", word);
  for (const Type type : {Type::clamd, Type::icap, Type::rspamd, Type::spamd}) {
    if (inspect::type_name(type) == word) out.type = type;
  }
  for (const std::string_view option : {"service", "method"}) {
    const Node* node = map.key_node(option);
    if (node != nullptr && out.type != Type::icap) read.error(*node, "'" + std::string(option) + "' is for type: icap");
  }
}

void read_places(config::OptionReader& read, const Node& key, const Node& map, const std::string& folder,
                 inspect::EngineSettings& out) {
  const Node* list = given(map, "servers");
  const std::vector<const Node*> items = list == nullptr ? std::vector<const Node*>() : read.items(*list);
  if (items.empty() || items.size() > kMostServers) {
    read.error(list == nullptr ? key : *list, "an engine needs 1 to " + std::to_string(kMostServers) + " servers",
               "for example servers: [unix:/run/clamav/clamd.ctl, scanner2.example.org:3310]");
  }
  for (const Node* item : items) {
    std::string text = item->text;
    if (text.starts_with("unix:") && text.size() > 5) text = "unix:" + config::absolute_path(folder, text.substr(5));
    auto endpoint = base::read_endpoint(text);
    if (!endpoint) {
      read.error(*item, base::quoted(item->text) + " is no server: " + endpoint.error().text());
      continue;
    }
    if (std::ranges::any_of(out.servers, [&](const auto& other) { return other.text == text; })) {
      read.error(*item, "this server stands here twice");
    }
    out.servers.push_back({std::move(text), std::move(*endpoint)});
  }
}

void read_engine(config::OptionReader& read, const Node& key, const Node& map, const std::string& folder,
                 Settings& settings) {
  inspect::EngineSettings out;
  out.name = key.text;
  for (const auto& [option, ignored] : map.entries) read.check_key(option, "engines.*");
  read_type(read, key, map, out);
  read_places(read, key, map, folder, out);
  read_time(read, map, "engines.*.connect-timeout", out.connect_timeout);
  read_time(read, map, "engines.*.timeout", out.timeout);
  read_time(read, map, "engines.*.retry", out.retry);
  read.size(map, "engines.*.max-size", out.max_size);
  std::string large = "unscannable";
  read.text(map, "engines.*.too-large", large);
  out.skip_large = large == "skip";
  read.text(map, "engines.*.service", out.service);
  if (const Node* node = given(map, "service"); node != nullptr && !is_service(out.service)) {
    read.error(*node, base::quoted(out.service) + " is no name of an ICAP service",
               "as in icap://HOST/NAME, without the '/'");
  }
  std::string method = "respmod";
  read.text(map, "engines.*.method", method);
  out.request = method == "reqmod";
  settings.engines.push_back(std::move(out));
}

}  // namespace

void read_engines(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  const Node* engines = read.map(root, "engines");
  if (engines == nullptr) return;
  if (engines->entries.size() > kMostEngines) {
    read.error(*engines, "more than " + std::to_string(kMostEngines) + " engines");
  }
  for (const auto& [key, value] : engines->entries) {
    if (!is_profile_name(key.text)) read.error(key, "an engine's name is letters, digits, '-' and '_'");
    if (value.kind != NodeKind::map) {
      read.error(value, "an engine is a map of type, servers and more");
    } else if (settings.engines.size() < kMostEngines) {
      read_engine(read, key, value, folder, settings);
    }
  }
}

void read_flow_engines(config::OptionReader& read, const Node& node, const Settings& settings, Flow& flow) {
  const Node* list = given(node, "inspect");
  if (list == nullptr) return;
  for (const Node* item : read.items(*list)) {
    const auto found = std::ranges::find(settings.engines, item->text, &inspect::EngineSettings::name);
    if (found == settings.engines.end()) {
      std::vector<std::string_view> names;
      for (const inspect::EngineSettings& engine : settings.engines) names.push_back(engine.name);
      const std::string_view near = base::nearest(item->text, names);
      read.error(*item, "there is no engine called " + base::quoted(item->text),
                 near.empty() ? "engines stand under 'engines'" : "did you mean '" + std::string(near) + "'?");
      continue;
    }
    const auto index = static_cast<uint32_t>(found - settings.engines.begin());
    if (std::ranges::find(flow.inspect, index) != flow.inspect.end()) {
      read.error(*item, "this engine stands here twice");
      continue;
    }
    flow.inspect.push_back(index);
  }
}

void check_engines_used(config::OptionReader& read, const Node& root, const Settings& settings) {
  for (uint32_t i = 0; i < settings.engines.size(); ++i) {
    const auto asks = [i](const Flow& flow) { return std::ranges::find(flow.inspect, i) != flow.inspect.end(); };
    if (std::ranges::any_of(settings.flows, asks)) continue;
    read.warning(*root.get("engines")->key_node(settings.engines[i].name), "no flow asks this engine",
                 "name it in a flow's 'inspect'");
  }
}

void dump_engines(const Settings& settings, std::string& out) {
  if (!settings.engines.empty()) out += "engines:\n";
  for (const inspect::EngineSettings& engine : settings.engines) {
    const auto line = [&out](std::string_view key, const std::string& value) {
      out += "    " + std::string(key) + ": " + value + "\n";
    };
    out += "  " + config::quote_scalar(engine.name) + ":\n";
    line("type", std::string(inspect::type_name(engine.type)));
    std::vector<std::string> servers;
    for (const inspect::ServerPlace& server : engine.servers) servers.push_back(server.text);
    line("servers", config::quote_list(servers));
    line("connect-timeout", time_text(engine.connect_timeout));
    line("timeout", time_text(engine.timeout));
    line("retry", time_text(engine.retry));
    line("max-size", base::format_size(engine.max_size));
    line("too-large", engine.skip_large ? "skip" : "unscannable");
    if (engine.type == Type::icap) {
      line("service", config::quote_scalar(engine.service));
      line("method", engine.request ? "reqmod" : "respmod");
    }
  }
}

void dump_flow_engines(const Settings& settings, const Flow& flow, std::string& out) {
  if (flow.inspect.empty()) return;
  std::vector<std::string> names;
  for (const uint32_t index : flow.inspect) names.push_back(settings.engines[index].name);
  out += "    inspect: " + config::quote_list(names) + "\n";
}

}  // namespace postern::milter

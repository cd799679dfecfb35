// SPDX-License-Identifier: Apache-2.0
// Reads postern.yaml into Settings: each key by its row in the option table, all errors of all files in one go. Rule
// files are found here and loaded by rules::RuleSet.
#include "milter/settings.h"

#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "engine/base/text.h"
#include "engine/config/option_reader.h"
#include "engine/config/yaml.h"
#include "engine/store/store.h"
#include "keystore/client/client.h"
#include "milter/settings_dkim.h"
#include "milter/settings_engines.h"
#include "milter/settings_files.h"
#include "milter/settings_limits.h"
#include "milter/settings_mail.h"
#include "milter/settings_masquerade.h"
#include "milter/settings_scan.h"
#include "rules/dictionary_file.h"
#include "rules/values.h"

namespace postern::milter {

namespace {

using config::absolute_path;
using config::folder_of;
using config::Node;
using config::NodeKind;
using config::real_path;

constexpr size_t kMaxFlows = 1000;
constexpr size_t kMaxRuleFiles = 10'000;
constexpr size_t kMaxTexts = 1000;

// Keys of stages that later versions have. They are known, so that nobody believes that they take effect.
constexpr std::string_view kLaterKeys[] = {"encryption", "smime"};
constexpr std::string_view kLaterFlowKeys[] = {"verify", "dlp", "encrypt"};

// An empty list or map would make a flow that was meant for some mail take all of it.
constexpr std::string_view kEmptyCondition = "an empty condition would take every message";
constexpr std::string_view kEmptyHint = "leave 'when' out for that";

template <class Words>
bool is_one_of(std::string_view word, const Words& words) {
  return std::ranges::find(words, word) != std::ranges::end(words);
}

std::string own_hostname() {
  char name[256] = "localhost";
  ::gethostname(name, sizeof name - 1);
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  addrinfo* found = nullptr;
  std::string out(name);
  if (out.find('.') == std::string::npos && ::getaddrinfo(name, nullptr, &hints, &found) == 0) {
    if (found->ai_canonname != nullptr) out = found->ai_canonname;
    ::freeaddrinfo(found);
  }
  return out;
}

class Loader {
 public:
  Loader(config::Sources& sources, config::Diagnostics& diagnostics, Generation& generation)
      : sources_(sources),
        diagnostics_(diagnostics),
        read_(sources, diagnostics, option_table()),
        generation_(generation),
        settings_(generation.settings) {}

  void load(const std::string& path) {
    settings_.path = real_path(path);
    folder_ = folder_of(settings_.path);
    const base::Result<uint32_t> source = sources_.add_file(path);
    if (!source) {
      const uint32_t nothing = sources_.add_text(path, "");
      diagnostics_.error({nothing, 0, 0}, 1, source.error().text());
      return;
    }
    generation_.files.push_back(settings_.path);
    const std::optional<Node> root = read(*source);
    if (settings_.hostname.empty()) settings_.hostname = own_hostname();
    if (!root) return;  // what the rules may refer to is not known
    load_rules(*root);
    resolve_filters();
  }

  void set_folder(std::string folder) { folder_ = std::move(folder); }

  // read takes everything out of postern.yaml that stands in it; the map of its keys, empty where it has none.
  std::optional<Node> read(uint32_t source) {
    std::optional<Node> root = config::parse_yaml(sources_, source, diagnostics_);
    if (root && root->kind != NodeKind::map) {
      if (root->kind != NodeKind::null) {
        read_.error(*root, "the configuration is a map of keys, for example 'hostname: mx.example.org'");
      }
      *root = Node();
    }
    if (root) read_settings(*root);
    if (settings_.flows.empty()) settings_.flows.emplace_back().name = "default";
    return root;
  }

 private:
  void read_settings(const Node& root) {
    for (const auto& [key, value] : root.entries) {
      if (is_one_of(key.text, kLaterKeys)) {
        const bool none = value.kind != NodeKind::scalar && value.entries.empty() && value.items.empty();
        if (none) continue;
        read_.error(key, "'" + key.text + "' is not available in this version of Postern");
      } else {
        read_.check_key(key, "");
      }
    }
    read_.text(root, "hostname", settings_.hostname);
    read_.text(root, "mta", settings_.mta);
    read_listen(root);
    if (const Node* control = read_.map(root, "control")) {
      read_.text(*control, "control.socket", settings_.control_socket);
      read_.text(*control, "control.group", settings_.control_group);
      settings_.control_socket = absolute_path(folder_, settings_.control_socket);
      if (const Node* node = control->get("socket")) read_.check_socket_path(*node, settings_.control_socket);
    }
    read_.text(root, "user", settings_.user);
    read_.text(root, "group", settings_.group);
    if (settings_.user.empty() && !settings_.group.empty()) {
      read_.error(*root.key_node("group"), "'group' needs 'user'", "say whom posternd becomes after start");
    }
    read_.text(root, "spool-directory", settings_.spool_directory);
    settings_.spool_directory = absolute_path(folder_, settings_.spool_directory);
    read_signing(read_, root, folder_, settings_);
    read_directories(read_, root, folder_, settings_);
    read_engines(read_, root, folder_, settings_);
    read_flows(root);
    check_profiles_used(root);
    check_engines_used(read_, root, settings_);
    read_store(root);
    read_mail(read_, root, folder_, settings_);
    read_quarantines(root);
    check_masquerade(read_, root, settings_);
    read_scan(read_, root, folder_, settings_);
    read_limits(read_, root, settings_);
    read_on_unknown(root);
    read_logging(read_, root, folder_, settings_);
    check_hostname(root);
  }

  void check_hostname(const Node& root) {
    const Node* node = root.get("hostname");
    if (node == nullptr || settings_.hostname.empty()) return;
    const bool good = settings_.hostname.size() <= 253 && std::ranges::all_of(settings_.hostname, [](char c) {
                        const char l = base::ascii_lower(c);
                        return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
                      });
    if (!good) read_.error(*node, base::quoted(settings_.hostname) + " is no host name");
  }

  void read_listen(const Node& root) {
    const Node* listen = read_.map(root, "listen");
    if (listen == nullptr) return;
    read_.text(*listen, "listen.socket", settings_.listen.socket);
    read_.text(*listen, "listen.group", settings_.listen.group);
    std::string& socket = settings_.listen.socket;
    if (const Node* node = listen->get("socket"); node != nullptr && node->kind == NodeKind::scalar) {
      if (socket.starts_with("local:")) socket = "unix:" + socket.substr(6);
      if (socket.starts_with("unix:")) {
        if (socket.size() == 5) {
          read_.error(*node, "a path is missing after 'unix:'");
        } else {
          socket = "unix:" + absolute_path(folder_, socket.substr(5));
          read_.check_socket_path(*node, socket.substr(5));
        }
      } else if (!is_inet_socket(socket)) {
        read_.error(*node, base::quoted(socket) + " is no socket", "write unix:PATH or inet:PORT@HOST");
      }
    }
    read_.socket_mode(*listen, "listen.mode", settings_.listen.mode);
  }

  static bool is_inet_socket(std::string_view socket) {
    if (!socket.starts_with("inet:") && !socket.starts_with("inet6:")) return false;
    const std::string_view rest = socket.substr(socket.find(':') + 1);
    const size_t at = rest.find('@');
    const std::string_view port = rest.substr(0, at);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    return error == std::errc() && end == port.data() + port.size() && number > 0 && number <= 65535 &&
           at != std::string_view::npos && at + 1 < rest.size();
  }

  // One map of conditions; `nested` allows `any` in it.
  void read_when(const Node& node, bool nested, ClientMatch& match, std::vector<ClientMatch>& any) {
    if (node.kind != NodeKind::map) {
      read_.error(node, "'when' takes a map of client, authenticated, daemon-name and any");
      return;
    }
    if (node.entries.empty()) read_.error(node, std::string(kEmptyCondition), std::string(kEmptyHint));
    for (const auto& [key, value] : node.entries) {
      if (key.text == "any" && !nested) {
        read_.error(key, "'any' stands once, directly under 'when'");
        continue;
      }
      read_.check_key(key, "flows[].when");
      const bool list = key.text == "client" || key.text == "daemon-name";
      if (list && value.kind == NodeKind::sequence && value.items.empty()) {
        read_.error(value, std::string(kEmptyCondition), std::string(kEmptyHint));
      } else if (key.text == "client") {
        for (const Node* item : read_.items(value)) {
          rules::ValueFault fault;
          if (auto patterns = rules::read_ip_patterns(item->text, fault)) {
            match.client.insert(match.client.end(), patterns->begin(), patterns->end());
          } else {
            const config::Position position = item->position_of(sources_, fault.offset);
            diagnostics_.error(position, static_cast<uint32_t>(std::max<size_t>(1, fault.length)), fault.message,
                               fault.hint);
          }
        }
      } else if (key.text == "authenticated") {
        match.authenticated = read_.boolean(value);
      } else if (key.text == "daemon-name") {
        for (const Node* item : read_.items(value)) match.daemon_name.push_back(item->text);
      } else if (key.text == "any") {
        if (value.kind != NodeKind::sequence || value.items.empty()) {
          read_.error(value, "'any' takes a list of maps",
                      "for example any: [{client: [10.0.0.0/8]}, {authenticated: true}]");
          continue;
        }
        for (const Node& item : value.items) {
          std::vector<ClientMatch> none;
          read_when(item, false, any.emplace_back(), none);
        }
      }
    }
  }

  static bool empty(const ClientMatch& match) {
    return match.client.empty() && !match.authenticated && match.daemon_name.empty();
  }

  void read_flows(const Node& root) {
    const Node* flows = root.get("flows");
    if (flows == nullptr || flows->kind == NodeKind::null) return;
    if (flows->kind != NodeKind::sequence || flows->items.empty()) {
      read_.error(*flows, "'flows' takes a list", "for example flows: [{name: inbound}]");
      return;
    }
    if (flows->items.size() > kMaxFlows) read_.error(*flows, "more than " + std::to_string(kMaxFlows) + " flows");
    bool takes_all = false;
    for (const Node& node : flows->items) {
      if (settings_.flows.size() >= kMaxFlows) return;
      if (node.kind != NodeKind::map) {
        read_.error(node, "a flow is a map with 'name'");
        continue;
      }
      Flow flow;
      for (const auto& [key, value] : node.entries) {
        if (is_one_of(key.text, kLaterFlowKeys)) {
          const bool none = value.kind == NodeKind::null || (value.kind == NodeKind::sequence && value.items.empty());
          if (!none) read_.error(key, "the stage '" + key.text + "' is not available in this version of Postern");
        } else {
          read_.check_key(key, "flows[]");
        }
      }
      if (const Node* name = node.get("name"); name == nullptr || name->kind == NodeKind::null) {
        read_.error(node, "this flow has no name");
      }
      read_.text(node, "flows[].name", flow.name);
      if (const Node* name = node.get("name"); name != nullptr && name->kind == NodeKind::scalar) {
        if (flow.name.empty() || flow.name.size() > 100 || base::escape_for_log(flow.name) != flow.name)
          read_.error(*name, "a flow's name is 1 to 100 printable characters");
        for (const Flow& other : settings_.flows) {
          if (other.name == flow.name) read_.error(*name, "there are two flows called '" + flow.name + "'");
        }
      }
      if (const Node* when = node.get("when"); when != nullptr && when->kind == NodeKind::null) {
        read_.error(*when, std::string(kEmptyCondition), std::string(kEmptyHint));
      } else if (when != nullptr) {
        ClientMatch match;
        std::vector<ClientMatch> any;
        read_when(*when, true, match, any);
        combine(*when, match, any, flow);
      }
      read_flow_filters(node, flow);
      read_flow_signing(read_, node, settings_, flow);
      read_flow_engines(read_, node, settings_, flow);
      read_flow_directories(read_, node, folder_, settings_, flow);
      if (takes_all)
        read_.warning(node, "no message reaches the flow '" + flow.name + "': an earlier one takes every message");
      takes_all = takes_all || flow.any_of.empty();
      settings_.flows.push_back(std::move(flow));
    }
    if (!takes_all) {
      read_.warning(flows->items.back(), "mail that none of the flows takes passes without any filter",
                    "end the list with a flow that has no 'when'");
    }
  }

  // `when` with `any`: each alternative must hold together with what stands beside it. A key that stands in both would
  // have to hold twice, which is refused rather than read wrongly.
  void combine(const Node& when, const ClientMatch& match, const std::vector<ClientMatch>& any, Flow& flow) {
    if (any.empty()) {
      if (!empty(match)) flow.any_of.push_back(match);
      return;
    }
    for (const ClientMatch& alternative : any) {
      ClientMatch both = alternative;
      const bool twice = (!match.client.empty() && !both.client.empty()) ||
                         (match.authenticated && both.authenticated) ||
                         (!match.daemon_name.empty() && !both.daemon_name.empty());
      if (twice) {
        read_.error(*when.key_node("any"), "a key may not stand beside 'any' and in it",
                    "write it in each map of 'any'");
        return;
      }
      if (both.client.empty()) both.client = match.client;
      if (!both.authenticated) both.authenticated = match.authenticated;
      if (both.daemon_name.empty()) both.daemon_name = match.daemon_name;
      flow.any_of.push_back(std::move(both));
    }
  }

  void read_flow_filters(const Node& node, Flow& flow) {
    const Node* filters = node.get("filters");
    if (filters == nullptr || filters->kind == NodeKind::null) return;
    if (filters->kind == NodeKind::scalar) {
      if (filters->text == "all") return;
      flow.all_filters = false;
      if (filters->text != "none")
        read_.error(*filters, "'filters' takes all, none or a list of filter and file names");
      return;
    }
    flow.all_filters = false;
    for (const Node* item : read_.items(*filters)) {
      flow.filters.push_back(item->text);
      filter_nodes_.push_back({settings_.flows.size(), *item});
    }
  }

  void check_profiles_used(const Node& root) {
    for (uint32_t i = 0; i < settings_.dkim.size(); ++i) {
      const auto uses = [i](const Flow& flow) { return std::ranges::find(flow.sign, i) != flow.sign.end(); };
      if (std::ranges::any_of(settings_.flows, uses)) continue;
      read_.warning(*root.get("dkim")->key_node(settings_.dkim[i].name), "no flow signs with this profile",
                    "name it in a flow's 'sign'");
    }
  }

  void read_store(const Node& root) {
    read_.text(root, "store", settings_.store);
    const Node* node = root.get("store");
    if (node == nullptr || settings_.store.empty()) return;
    if (const std::string fault = store::Store::where_fault(settings_.store); !fault.empty()) {
      read_.error(*node, "this is no store: " + fault, "for example sqlite:/var/lib/postern/postern.db");
    }
  }

  void read_quarantines(const Node& root) {
    settings_.quarantines = {"Policy"};
    read_quarantine_options(root);
    for (const std::string& name : settings_.quarantines) {
      const Quarantine& given = settings_.quarantine_options[name];
      store::Policy& policy = settings_.policies[name];
      if (given.retention != 0) policy.retention = static_cast<int64_t>(given.retention);
      if (given.size != 0) policy.size = given.size;
      policy.release_at_end = given.default_action == "release";
    }
  }

  void read_quarantine_options(const Node& root) {
    const Node* quarantines = read_.map(root, "quarantines");
    if (quarantines == nullptr) return;
    for (const auto& [key, value] : quarantines->entries) {
      const bool good = !key.text.empty() && key.text.size() <= 100 && base::escape_for_log(key.text) == key.text;
      if (!good) read_.error(key, "a quarantine's name is 1 to 100 printable characters");
      if (!is_one_of(key.text, std::array<std::string_view, 1>{"Policy"})) settings_.quarantines.push_back(key.text);
      if (value.kind == NodeKind::null) continue;
      if (value.kind != NodeKind::map) {
        read_.error(value, "a quarantine is a map, which may be empty: {}");
        continue;
      }
      Quarantine& quarantine = settings_.quarantine_options[key.text];
      for (const auto& [option, setting] : value.entries) {
        read_.check_key(option, "quarantines.*");
        if (settings_.store.empty() && find_option(option_table(), "quarantines.*." + option.text) != nullptr) {
          read_.warning(option, "'" + option.text + "' has no effect without 'store': the MTA's hold queue has no such",
                        "for example store: sqlite:/var/lib/postern/postern.db");
        }
      }
      read_.duration(value, "quarantines.*.retention", quarantine.retention);
      read_.size(value, "quarantines.*.size", quarantine.size);
      read_.text(value, "quarantines.*.default-action", quarantine.default_action);
    }
  }

  void read_on_unknown(const Node& root) {
    const rules::LoadContext defaults;
    settings_.on_unknown = defaults.on_unknown;
    const Node* map = read_.map(root, "on-unknown");
    if (map == nullptr) return;
    constexpr std::pair<rules::Unknown, std::string_view> kReasons[] = {
        {rules::Unknown::regex_limit, "on-unknown.regex-limit"},
        {rules::Unknown::unscannable, "on-unknown.unscannable"},
        {rules::Unknown::directory, "on-unknown.directory"},
        {rules::Unknown::dns, "on-unknown.dns"},
        {rules::Unknown::engine, "on-unknown.engine"}};
    for (const auto& [reason, path] : kReasons) {
      std::string word;
      read_.text(*map, path, word);
      for (int value = 0; value <= static_cast<int>(rules::OnUnknown::by_action); ++value) {
        if (rules::on_unknown_name(static_cast<rules::OnUnknown>(value)) == word) {
          settings_.on_unknown[static_cast<size_t>(reason)] = static_cast<rules::OnUnknown>(value);
        }
      }
    }
  }

  // read_files adds the files to the sources, in order; what cannot be read is an error.
  std::vector<uint32_t> read_files(const std::vector<std::string>& paths) {
    std::vector<uint32_t> sources;
    for (const std::string& path : paths) {
      const base::Result<uint32_t> source = sources_.add_file(path);
      if (!source) {
        diagnostics_.error({sources_.add_text(path, ""), 0, 0}, 1, source.error().text());
        continue;
      }
      generation_.files.push_back(path);
      sources.push_back(*source);
    }
    return sources;
  }

  void load_dictionaries(const Node* node, rules::LoadContext& context) {
    const FileKind kind{"dictionary", "dictionaries.d/*", rules::kMaxDictionaries};
    std::map<std::string, std::string, std::less<>> names;
    for (const uint32_t source : read_files(find_files(node, folder_, kind, read_, settings_.dictionaries))) {
      const std::string path = sources_.path(source);
      constexpr std::array<std::string_view, 3> kExtensions = {".txt", ".yaml", ".yml"};
      if (std::ranges::none_of(kExtensions, [&](std::string_view extension) { return path.ends_with(extension); })) {
        diagnostics_.warning({source, 0, 0}, 1, "left out: a dictionary's file ends in .txt, .yaml or .yml");
        continue;
      }
      const auto [at, fresh] = names.try_emplace(rules::dictionary_name(path), path);
      if (!fresh) {
        diagnostics_.error({source, 0, 0}, 1, "there are two dictionaries called '" + at->first + "'",
                           "the other one is " + at->second);
        continue;
      }
      if (auto dictionary = rules::load_dictionary(sources_, source, diagnostics_)) {
        context.dictionaries.push_back(std::move(dictionary));
      } else {
        // What is wrong has been said: rules that name it are not wrong as well.
        context.dictionaries.push_back(
            std::make_shared<const match::Dictionary>(at->first, std::vector<match::DictionaryEntry>()));
      }
    }
  }

  // load_texts finds the texts of notices; the rules' loader reads them.
  void load_texts(const Node* node, rules::LoadContext& context) {
    const FileKind kind{"text", "templates.d/*.txt", kMaxTexts};
    for (const uint32_t source : read_files(find_files(node, folder_, kind, read_, settings_.templates))) {
      const std::string& path = sources_.path(source);
      std::string name = path.substr(path.rfind('/') + 1);
      if (name.ends_with(".txt")) name.resize(name.size() - 4);
      const bool twice = std::ranges::any_of(context.texts, [&](const auto& text) { return text.first == name; });
      if (twice) diagnostics_.error({source, 0, 0}, 1, "there are two texts called '" + name + "'");
      context.texts.emplace_back(std::move(name), source);
    }
  }

  void load_rules(const Node& root) {
    rules::LoadContext context;
    load_dictionaries(root.get("dictionaries"), context);
    load_texts(root.get("templates"), context);
    const FileKind kind{"rule", "rules.d/*.yaml", kMaxRuleFiles};
    const std::vector<uint32_t> sources =
        read_files(find_files(root.get("rules"), folder_, kind, read_, settings_.rules));
    for (const Flow& flow : settings_.flows) context.flows.push_back(flow.name);
    context.quarantines = settings_.quarantines;
    context.store = !settings_.store.empty();
    context.reinject = !settings_.reinject.server.empty();
    context.notice_from = settings_.reinject.from;
    for (const auto& [name, file] : settings_.archives) context.archives.push_back(name);
    context.groups = !settings_.group_query.empty();
    for (const auto& [name, roles] : settings_.ldap_roles) {
      if (roles.login >= 0) context.login_queries.push_back(name);
    }
    for (const Flow& flow : settings_.flows) {
      for (const uint32_t index : flow.inspect) {
        const bool viruses = inspect::looks_for_viruses(settings_.engines[index].type);
        (viruses ? context.virus_engines : context.spam_engines) = true;
      }
    }
    context.sendmail = settings_.mta == "sendmail";
    context.on_unknown = settings_.on_unknown;
    generation_.rules = rules::RuleSet::load(sources_, sources, context, diagnostics_);
  }

  // The filters of each flow, by filter name or rule file name.
  void resolve_filters() {
    if (generation_.rules == nullptr) return;
    const std::vector<rules::Filter>& filters = generation_.rules->filters();
    for (const auto& [flow_index, node] : filter_nodes_) {
      Flow& flow = settings_.flows[flow_index];
      bool found = false;
      for (uint32_t i = 0; i < filters.size(); ++i) {
        const bool named = filters[i].name == node.text;
        if (!named && !is_file(filters[i].file, node.text)) continue;
        found = true;
        flow.filter_indexes.push_back(i);
        const std::vector<std::string>& only = filters[i].flows;
        if (named && !only.empty() && std::ranges::find(only, flow.name) == only.end()) {
          read_.warning(node, "the filter '" + node.text + "' says in its own 'flows' that it is not for the flow '" +
                                  flow.name + "', so it never runs here");
        }
      }
      if (found) continue;
      std::vector<std::string_view> names;
      for (const rules::Filter& filter : filters) names.push_back(filter.name);
      const std::string_view near = base::nearest(node.text, names);
      read_.error(node, "there is no filter or rule file called '" + base::escape_for_log(node.text, 80) + "'",
                  near.empty() ? "" : "did you mean '" + std::string(near) + "'?");
    }
    for (Flow& flow : settings_.flows) {
      std::ranges::sort(flow.filter_indexes);
      const auto repeated = std::ranges::unique(flow.filter_indexes);
      flow.filter_indexes.erase(repeated.begin(), repeated.end());
    }
  }

  // A rule file may be named by its path or the end of it.
  static bool is_file(std::string_view path, std::string_view name) {
    if (name.empty() || !path.ends_with(name)) return false;
    return path.size() == name.size() || path[path.size() - name.size() - 1] == '/';
  }

  config::Sources& sources_;
  config::Diagnostics& diagnostics_;
  config::OptionReader read_;
  Generation& generation_;
  Settings& settings_;
  std::string folder_;
  std::vector<std::pair<size_t, Node>> filter_nodes_;
};

}  // namespace

std::optional<Settings> read_settings(config::Sources& sources, uint32_t source, config::Diagnostics& diagnostics) {
  Generation generation;
  Loader loader(sources, diagnostics, generation);
  loader.set_folder(folder_of(sources.path(source)));
  loader.read(source);
  if (!diagnostics.ok()) return std::nullopt;
  return std::move(generation.settings);
}

std::shared_ptr<Generation> load_generation(const std::string& path, config::Sources& sources,
                                            config::Diagnostics& diagnostics) {
  auto generation = std::make_shared<Generation>();
  Loader(sources, diagnostics, *generation).load(path);
  if (!diagnostics.ok() || generation->rules == nullptr) return nullptr;
  const Settings& settings = generation->settings;
  if (signs(settings))
    generation->use_keys(std::make_shared<keystore::Client>(keystore::ClientOptions{settings.keys_socket}));
  return generation;
}

}  // namespace postern::milter

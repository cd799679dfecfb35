// SPDX-License-Identifier: Apache-2.0
// Reads fipsd.yaml into FipsdSettings: each key by its row in the option table, all errors in one go.
#include "keystore/settings.h"

#include <sys/un.h>

#include <algorithm>
#include <set>

#include "engine/base/text.h"
#include "engine/config/option_reader.h"
#include "engine/config/yaml.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {
namespace {

using config::absolute_path;
using config::Node;
using config::NodeKind;

constexpr size_t kMaxSockets = 64;
constexpr size_t kMaxPaths = 64;
constexpr size_t kMaxRights = 1000;
constexpr size_t kMaxLabel = 32;   // CK_TOKEN_INFO
constexpr size_t kMaxSerial = 16;  // CK_TOKEN_INFO
constexpr size_t kMaxRemark = 200;

constexpr Use kUses[] = {Use::dkim, Use::smime, Use::tls_server, Use::tls_client, Use::ldap};
constexpr Operation kOperations[] = {Operation::describe, Operation::sign, Operation::decrypt};

uint32_t bits(std::initializer_list<Use> uses) {
  uint32_t out = 0;
  for (const Use use : uses) out |= static_cast<uint32_t>(use);
  return out;
}

uint8_t bits(std::initializer_list<Operation> operations) {
  unsigned out = 0;
  for (const Operation operation : operations) out |= static_cast<unsigned>(operation);
  return static_cast<uint8_t>(out);
}

std::vector<SocketSettings> default_sockets() {
  return {
      {"milter", {"/run/fipsd/milter.sock"}, 0660, "postern", {}},
      // Debian chroots smtpd: it finds the socket again only inside the queue directory, so it is there too.
      {"postfix", {"/run/fipsd/postfix.sock", "/var/spool/postfix/run/fipsd/postfix.sock"}, 0660, "postfix", {}},
      {std::string(kOfficerSocket), {"/run/fipsd/officer.sock"}, 0600, "", {}},
  };
}

std::vector<Right> default_rights() {
  const uint8_t use = bits({Operation::describe, Operation::sign});
  return {
      {"milter", {"*"}, bits({Use::dkim, Use::smime, Use::ldap, Use::tls_client}), use},
      {"milter", {"*"}, bits({Use::smime}), bits({Operation::decrypt})},
      {"postfix", {"*"}, bits({Use::tls_server, Use::tls_client}), use},
  };
}

bool is_printable(std::string_view text) { return base::escape_for_log(text, 4 * text.size() + 4) == text; }

bool is_class_name(std::string_view name) {
  return !name.empty() && name.size() <= 32 && name[0] >= 'a' && name[0] <= 'z' &&
         std::ranges::all_of(
             name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; });
}

bool is_key_pattern(std::string_view pattern) {
  return !pattern.empty() && pattern.size() <= kMaxName && std::ranges::all_of(pattern, [](char c) {
    const char l = base::ascii_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '*' || c == '?';
  });
}

class Loader {
 public:
  Loader(config::Sources& sources, config::Diagnostics& diagnostics, std::string folder)
      : sources_(sources),
        diagnostics_(diagnostics),
        read_(sources, diagnostics, fipsd_option_table()),
        folder_(std::move(folder)) {
    settings_.sockets = default_sockets();
    settings_.rights = default_rights();
    settings_.log.to = "journal";
  }

  std::optional<FipsdSettings> load(uint32_t source) {
    settings_.path = sources_.path(source);
    std::optional<Node> root = config::parse_yaml(sources_, source, diagnostics_);
    if (root && root->kind != NodeKind::map) {
      if (root->kind != NodeKind::null)
        read_.error(*root, "the configuration is a map of keys, for example 'fips: strict'");
      *root = Node();
    }
    if (root) read(*root);
    if (!diagnostics_.ok()) return std::nullopt;
    return std::move(settings_);
  }

 private:
  void read(const Node& root) {
    for (const auto& [key, value] : root.entries) read_.check_key(key, "");
    read_path(root, "state-directory", settings_.state_directory);
    settings_.token.scratch = settings_.state_directory;
    read_.text(root, "user", settings_.user);
    read_.text(root, "group", settings_.group);
    if (settings_.user.empty() && !settings_.group.empty())
      read_.error(*root.key_node("group"), "'group' needs 'user'", "say whom fipsd becomes after start");
    read_.text(root, "credential", settings_.credential);
    if (!settings_.credential.empty()) settings_.credential = absolute_path(folder_, settings_.credential);
    read_token(root);
    std::string fips;
    read_.text(root, "fips", fips);
    if (fips == "strict") settings_.fips = FipsPolicy::strict;
    read_bounded(root, "certificate-number", kMaxRemark, settings_.certificate_number);
    read_sockets(root);
    read_rights(root);
    read_.integer(root, "workers", settings_.workers);
    read_.integer(root, "queue", settings_.queue);
    read_.duration(root, "officer-idle", settings_.officer_idle);
    read_audit(root);
    read_.log(root, folder_, settings_.log);
  }

  // A path that must not be empty; relative ones count from the file's folder.
  void read_path(const Node& map, std::string_view path, std::string& to) {
    read_.text(map, path, to);
    if (to.empty()) {
      const std::string_view key = path.substr(path.rfind('.') + 1);
      read_.error(*map.get(key), "a path is missing after '" + std::string(key) + "'");
    } else {
      to = absolute_path(folder_, to);
    }
  }

  void read_bounded(const Node& map, std::string_view path, size_t most, std::string& to) {
    read_.text(map, path, to);
    if (to.size() > most || !is_printable(to)) {
      const std::string_view key = path.substr(path.rfind('.') + 1);
      read_.error(*map.get(key),
                  "'" + std::string(key) + "' has at most " + std::to_string(most) + " printable characters");
    }
  }

  void read_token(const Node& root) {
    TokenOptions& token = settings_.token;
    const Node* map = read_.map(root, "token");
    const Node* directory = nullptr;
    if (map != nullptr) {
      read_path(*map, "token.module", token.module);
      read_bounded(*map, "token.label", kMaxLabel, token.label);
      if (token.label.empty()) read_.error(*map->get("label"), "a token has a label");
      read_bounded(*map, "token.serial", kMaxSerial, token.serial);
      read_.text(*map, "token.softhsm-directory", token.softhsm_directory);
      directory = map->get("softhsm-directory");
    }
    if (directory == nullptr || directory->kind == NodeKind::null) {
      const std::string_view file = std::string_view(token.module).substr(token.module.rfind('/') + 1);
      if (file.find("softhsm") != std::string_view::npos)
        token.softhsm_directory = settings_.state_directory + "/tokens";
    } else if (!token.softhsm_directory.empty()) {
      token.softhsm_directory = absolute_path(folder_, token.softhsm_directory);
    }
  }

  void read_sockets(const Node& root) {
    const Node* sockets = read_.map(root, "sockets");
    if (sockets == nullptr) return;
    for (const auto& [key, value] : sockets->entries) {
      if (!is_class_name(key.text)) {
        read_.error(key, "the name of a socket class is 1 to 32 small letters, digits, '-' and '_'",
                    "it begins with a letter");
        continue;
      }
      auto found = std::ranges::find(settings_.sockets, key.text, &SocketSettings::name);
      const bool known = found != settings_.sockets.end();
      if (!known) {
        if (settings_.sockets.size() >= kMaxSockets) {
          read_.error(key, "more than " + std::to_string(kMaxSockets) + " socket classes");
          return;
        }
        settings_.sockets.emplace_back().name = key.text;
        found = settings_.sockets.end() - 1;
      }
      if (value.kind == NodeKind::map) {
        for (const auto& [option, setting] : value.entries) read_.check_key(option, "sockets.*");
        read_socket(value, *found);
      } else if (value.kind != NodeKind::null) {
        read_.error(value, "a socket class is a map of keys, for example {paths: [/run/fipsd/NAME.sock]}");
        continue;
      }
      const bool given = value.get("paths") != nullptr && value.get("paths")->kind != NodeKind::null;
      if (!known && !given) read_.error(key, "the socket class '" + key.text + "' has no 'paths'");
      if (key.text == kOfficerSocket && found->paths.empty())
        read_.error(key, "without an officer socket nobody could manage keys");
    }
    check_paths(*sockets);
  }

  void read_socket(const Node& value, SocketSettings& socket) {
    if (const Node* paths = value.get("paths"); paths != nullptr && paths->kind != NodeKind::null) {
      socket.paths.clear();
      for (const Node* item : read_.items(*paths)) {
        std::string path = absolute_path(folder_, item->text);
        if (socket.paths.size() >= kMaxPaths) {
          read_.error(*item, "more than " + std::to_string(kMaxPaths) + " paths");
          break;
        }
        if (item->text.empty()) {
          read_.error(*item, "a path is missing here");
        } else if (path.size() >= sizeof(sockaddr_un::sun_path)) {
          read_.error(*item, "a Unix socket's path may have 107 bytes at most",
                      "this is " + base::escape_for_log(path, 200));
        } else if (!is_printable(path)) {
          read_.error(*item, "line ends and control characters are not allowed here");
        } else {
          socket.paths.push_back(std::move(path));
        }
      }
    }
    read_.socket_mode(value, "sockets.*.mode", socket.mode);
    read_.text(value, "sockets.*.group", socket.group);
    if (const Node* users = value.get("users"); users != nullptr && users->kind != NodeKind::null) {
      socket.users.clear();
      for (const Node* item : read_.items(*users)) {
        if (is_printable(item->text) && base::trim(item->text) == item->text && !item->text.empty()) {
          socket.users.push_back(item->text);
        } else {
          read_.error(*item, "this is no user's name");
        }
      }
    }
    read_.integer(value, "sockets.*.rate", socket.rate);
    read_.integer(value, "sockets.*.connections", socket.connections);
  }

  // One path belongs to one class; else the class of a client would be a matter of chance.
  void check_paths(const Node& sockets) {
    std::set<std::string_view> seen;
    for (const SocketSettings& socket : settings_.sockets) {
      for (const std::string& path : socket.paths) {
        if (seen.insert(path).second) continue;
        const Node* key = sockets.key_node(socket.name);
        read_.error(key != nullptr ? *key : sockets, "two sockets have the path " + base::escape_for_log(path, 200));
      }
    }
  }

  void read_rights(const Node& root) {
    const Node* rights = root.get("rights");
    if (rights == nullptr || rights->kind == NodeKind::null) return;
    if (rights->kind != NodeKind::sequence) {
      read_.error(*rights, "'rights' takes a list", "for example rights: [{socket: milter, allow: [describe, sign]}]");
      return;
    }
    settings_.rights.clear();
    for (const Node& node : rights->items) {
      if (settings_.rights.size() >= kMaxRights) {
        read_.error(node, "more than " + std::to_string(kMaxRights) + " rights");
        return;
      }
      if (node.kind != NodeKind::map) {
        read_.error(node, "a right is a map with 'socket' and 'allow'");
        continue;
      }
      for (const auto& [key, value] : node.entries) read_.check_key(key, "rights[]");
      settings_.rights.push_back(read_right(node));
    }
  }

  Right read_right(const Node& node) {
    Right right;
    read_.text(node, "rights[].socket", right.socket);
    if (right.socket.empty()) {
      read_.error(node, "this right does not say for which 'socket'");
    } else if (settings_.socket(right.socket) == nullptr) {
      std::vector<std::string_view> names;
      for (const SocketSettings& socket : settings_.sockets) names.push_back(socket.name);
      const std::string_view near = base::nearest(right.socket, names);
      read_.error(*node.get("socket"),
                  "there is no socket class called '" + base::escape_for_log(right.socket, 80) + "'",
                  near.empty() ? "" : "did you mean '" + std::string(near) + "'?");
    }
    right.keys = {"*"};
    if (const Node* keys = node.get("keys"); keys != nullptr && keys->kind != NodeKind::null) {
      right.keys.clear();
      for (const Node* item : read_.items(*keys)) {
        if (!is_key_pattern(item->text))
          read_.error(*item, "this cannot be a key's name or a pattern of names",
                      "letters, digits, '.', '_', '-', and * or ?");
        right.keys.push_back(item->text);
      }
      if (right.keys.empty()) read_.error(*keys, "a right for no key allows nothing", "remove the right");
    }
    right.uses = bits({Use::dkim, Use::smime, Use::tls_server, Use::tls_client, Use::ldap});
    if (const Node* uses = node.get("uses"); uses != nullptr && uses->kind != NodeKind::null)
      right.uses = read_words(*uses, std::span<const Use>(kUses), use_name);
    const Node* allow = node.get("allow");
    if (allow == nullptr || allow->kind == NodeKind::null) {
      read_.error(node, "this right does not say what it allows", "allow: [describe, sign]");
      return right;
    }
    right.operations =
        static_cast<uint8_t>(read_words(*allow, std::span<const Operation>(kOperations), operation_name));
    const bool decrypt = (right.operations & bits({Operation::decrypt})) != 0;
    if (decrypt && right.uses != 0 && (right.uses & bits({Use::smime})) == 0)
      read_.warning(*allow, "only smime keys decrypt, so 'decrypt' allows nothing here");
    return right;
  }

  // Bits of the words of a list, which must have at least one.
  template <class T>
  uint32_t read_words(const Node& list, std::span<const T> known, std::string_view (*name)(T)) {
    uint32_t out = 0;
    std::vector<std::string_view> names;
    for (const T one : known) names.push_back(name(one));
    const size_t errors = diagnostics_.error_count();
    for (const Node* item : read_.items(list)) {
      const auto found = std::ranges::find(names, item->text);
      if (found != names.end()) {
        out |= static_cast<uint32_t>(known[static_cast<size_t>(found - names.begin())]);
        continue;
      }
      std::string hint = "one of:";
      for (const std::string_view one : names) hint += " " + std::string(one);
      const std::string_view near = base::nearest(item->text, names);
      if (!near.empty()) hint = "did you mean '" + std::string(near) + "'?";
      read_.error(*item, base::quoted(item->text) + " is not allowed here", std::move(hint));
    }
    if (out == 0 && diagnostics_.error_count() == errors) read_.error(list, "this list must not be empty");
    return out;
  }

  void read_audit(const Node& root) {
    AuditOptions& audit = settings_.audit;
    audit.directory = settings_.state_directory + "/audit";
    const Node* map = read_.map(root, "audit");
    if (map == nullptr) return;
    if (const Node* directory = map->get("directory"); directory != nullptr && directory->kind != NodeKind::null)
      read_path(*map, "audit.directory", audit.directory);
    read_.size(*map, "audit.segment", audit.segment);
    read_.size(*map, "audit.reserve", audit.reserve);
    read_.integer(*map, "audit.keep", audit.keep);
    if (audit.reserve > audit.segment / 2) {
      const Node* node = map->get(map->get("reserve") != nullptr ? "reserve" : "segment");
      read_.error(*node, "the reserve may take half of a segment at most");
    }
    if (audit.directory == settings_.state_directory)
      read_.error(*map->get("directory"), "the audit log needs a folder of its own");
  }

  config::Sources& sources_;
  config::Diagnostics& diagnostics_;
  config::OptionReader read_;
  std::string folder_;
  FipsdSettings settings_;
};

}  // namespace

std::string_view operation_name(Operation operation) {
  switch (operation) {
    case Operation::describe:
      return "describe";
    case Operation::sign:
      return "sign";
    case Operation::decrypt:
      return "decrypt";
  }
  return "unknown";
}

const SocketSettings* FipsdSettings::socket(std::string_view name) const {
  const auto found = std::ranges::find(sockets, name, &SocketSettings::name);
  return found == sockets.end() ? nullptr : &*found;
}

std::optional<FipsdSettings> read_fipsd_settings(config::Sources& sources, uint32_t source,
                                                 config::Diagnostics& diagnostics) {
  return Loader(sources, diagnostics, config::folder_of(sources.path(source))).load(source);
}

std::optional<FipsdSettings> load_fipsd_settings(const std::string& path, config::Sources& sources,
                                                 config::Diagnostics& diagnostics) {
  const base::Result<uint32_t> source = sources.add_file(path);
  if (!source) {
    diagnostics.error({sources.add_text(path, ""), 0, 0}, 1, source.error().text());
    return std::nullopt;
  }
  return Loader(sources, diagnostics, config::folder_of(config::real_path(path))).load(*source);
}

}  // namespace postern::keystore

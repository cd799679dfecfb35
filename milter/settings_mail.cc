// SPDX-License-Identifier: Apache-2.0
// Mail of our own: how it is encrypted while it is kept, where it is submitted, how long that is tried, where archives
// lie, who hears of alerts; and the log.
#include "milter/settings_mail.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/text.h"
#include "engine/message/address.h"
#include "milter/alert_table.h"
#include "milter/settings_ldap.h"

namespace postern::milter {
namespace {

using config::Node;
using config::NodeKind;

constexpr size_t kMaxArchives = 1000;
constexpr size_t kMaxAlerts = 20;
constexpr std::array<std::string_view, 3> kTls = {"none", "may", "require"};

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 100 && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    const char l = base::ascii_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

// "HOST:PORT" or "[ADDRESS]:PORT".
bool read_server(std::string_view text, submit::SmtpServer& out) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return false;
  }
  const bool good = !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](char c) {
    const char l = base::ascii_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':';
  });
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (!good || error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) return false;
  out.host = host;
  out.port = static_cast<uint16_t>(number);
  return true;
}

void read_reinject(config::OptionReader& read, const Node& root, const std::string& folder, Reinject& to) {
  const Node* map = read.map(root, "reinject");
  if (map == nullptr) return;
  read.text(*map, "reinject.server", to.server);
  if (to.server.empty()) {
    read.error(*root.key_node("reinject"), "'reinject' needs 'server'", "for example server: 127.0.0.1:10026");
  } else if (!read_server(to.server, to.smtp)) {
    read.error(*map->get("server"), base::quoted(to.server) + " is no server",
               "write HOST:PORT, for example 127.0.0.1:10026");
  }
  std::string word = "none";
  read.text(*map, "reinject.tls", word);
  to.smtp.tls = static_cast<submit::SmtpTls>(std::ranges::find(kTls, word) - kTls.begin());
  read.text(*map, "reinject.ca-file", to.smtp.ca_file);
  if (!to.smtp.ca_file.empty()) to.smtp.ca_file = config::absolute_path(folder, to.smtp.ca_file);
  read.duration(*map, "reinject.timeout", to.smtp.timeout);
  read.text(*map, "reinject.from", to.from);
  if (!to.from.empty()) {
    const message::AddressList list = message::parse_address_list(to.from, 2);
    if (list.malformed || list.mailboxes.size() != 1 || list.mailboxes[0].local.empty()) {
      read.error(*map->get("from"), base::quoted(to.from) + " is no mail address",
                 "for example: Gateway <postmaster@x.example>");
    }
  }
  read.text(*map, "reinject.daemon-name", to.daemon_name);
  read.duration(*map, "reinject.retry-first", to.retry_first);
  read.duration(*map, "reinject.retry-longest", to.retry_longest);
  read.duration(*map, "reinject.give-up", to.give_up);
}

void read_archives(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  const Node* archives = read.map(root, "archives");
  if (archives == nullptr) return;
  if (archives->entries.size() > kMaxArchives) read.error(*archives, "more than " + std::to_string(kMaxArchives));
  for (const auto& [key, value] : archives->entries) {
    if (!is_name(key.text)) read.error(key, "an archive's name is made of letters, digits, '-', '_' and '.'");
    std::string& file = settings.archives[key.text];
    file = settings.state_directory + "/archive/" + key.text + ".mbox";
    if (value.kind == NodeKind::null) continue;
    if (value.kind != NodeKind::map) {
      read.error(value, "an archive is a map, which may be empty: {}");
      continue;
    }
    for (const auto& [option, ignored] : value.entries) read.check_key(option, "archives.*");
    read.text(value, "archives.*.file", file);
    file = config::absolute_path(folder, file);
  }
}

void read_events(config::OptionReader& read, const Node& value, AlertProfile& profile) {
  for (const Node* item : read.items(value)) {
    const bool known =
        std::ranges::any_of(alert_table(), [&](const AlertRow& row) { return event(row.raised).id == item->text; });
    if (known) {
      profile.events.push_back(item->text);
      continue;
    }
    std::vector<std::string_view> names;
    for (const AlertRow& row : alert_table()) names.push_back(event(row.raised).id);
    const std::string_view near = base::nearest(item->text, names);
    read.error(*item, base::quoted(item->text) + " is no event that alerts",
               near.empty() ? "postern.yaml(5) lists them" : "did you mean '" + std::string(near) + "'?");
  }
}

void read_alerts(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  const Node* alerts = read.map(root, "alerts");
  if (alerts == nullptr) return;
  if (alerts->entries.size() > kMaxAlerts) read.error(*alerts, "more than " + std::to_string(kMaxAlerts) + " profiles");
  for (const auto& [key, value] : alerts->entries) {
    if (!is_name(key.text)) read.error(key, "an alert profile's name is made of letters, digits, '-', '_' and '.'");
    if (value.kind != NodeKind::map) {
      read.error(value, "an alert profile is a map with 'mail' or 'webhook'");
      continue;
    }
    for (const auto& [option, ignored] : value.entries) read.check_key(option, "alerts.*");
    AlertProfile profile;
    profile.name = key.text;
    if (const Node* mail = value.get("mail"); mail != nullptr && mail->kind != NodeKind::null) {
      for (const Node* item : read.items(*mail)) {
        auto path = message::parse_path(item->text);
        if (!path || path->empty() || item->text.find_first_of(" \t,;") != std::string::npos) {
          read.error(*item, base::quoted(item->text) + " is no mail address");
        } else {
          profile.mail.push_back(*std::move(path));
        }
      }
      if (settings.reinject.server.empty()) {
        read.error(*value.key_node("mail"), "alerts by mail need a mail server", "set reinject.server");
      }
    }
    read.text(value, "alerts.*.webhook", profile.webhook.url);
    if (!profile.webhook.url.empty() && !submit::is_webhook_url(profile.webhook.url)) {
      read.error(*value.get("webhook"), base::quoted(profile.webhook.url) + " is no URL", "http://… or https://…");
    }
    read.text(value, "alerts.*.ca-file", profile.webhook.ca_file);
    if (!profile.webhook.ca_file.empty())
      profile.webhook.ca_file = config::absolute_path(folder, profile.webhook.ca_file);
    read.duration(value, "alerts.*.first-wait", profile.first_wait);
    read.duration(value, "alerts.*.longest-wait", profile.longest_wait);
    if (const Node* events = value.get("events"); events != nullptr) read_events(read, *events, profile);
    if (profile.mail.empty() && profile.webhook.url.empty()) {
      read.error(key, "nobody hears of the alerts of " + base::quoted(key.text), "give it 'mail' or 'webhook'");
    }
    settings.alerts.push_back(std::move(profile));
  }
}

void read_store_encryption(config::OptionReader& read, const Node& root, Settings& settings) {
  const Node* map = read.map(root, "store-encryption");
  if (map == nullptr) return;
  std::string& key = settings.store_key;
  read.text(*map, "store-encryption.key", key);
  const Node& where = *root.key_node("store-encryption");
  if (settings.store.empty()) {
    read.error(where, "there is nothing to encrypt without 'store'",
               "for example store: sqlite:/var/lib/postern/postern.db");
  } else if (key.empty()) {
    read.error(where, "'store-encryption' needs 'key'", "name an RSA key in fipsd, for example key: store");
  } else if (!is_key_name(key)) {
    read.error(*map->get("key"), base::quoted(key) + " is no name of a key in fipsd");
  }
}

}  // namespace

void read_mail(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  read.text(root, "state-directory", settings.state_directory);
  settings.state_directory = config::absolute_path(folder, settings.state_directory);
  read_store_encryption(read, root, settings);
  read_reinject(read, root, folder, settings.reinject);
  read_archives(read, root, folder, settings);
  read_alerts(read, root, folder, settings);
}

void read_logging(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  if (const Node* tracking = read.map(root, "tracking")) {
    read.duration(*tracking, "tracking.keep", settings.tracking_keep);
    if (settings.store.empty() && settings.tracking_keep != Settings().tracking_keep) {
      read.warning(*root.key_node("tracking"), "messages are tracked in the store, and there is none",
                   "for example store: sqlite:/var/lib/postern/postern.db");
    }
  }
  settings.log.to = "journal";
  base::LogRotation& rotation = settings.log.rotation;
  rotation.told = [](bool removed, std::string_view what) {
    base::emit(event(removed ? Event::log_file_removed : Event::log_rotation_failed),
               {{removed ? "file" : "reason", what}});
  };
  read.log(root, folder, settings.log);
  const Node* map = root.get("log");
  if (map == nullptr || map->kind != NodeKind::map) return;
  read.size(*map, "log.rotate-size", rotation.size);
  read.duration(*map, "log.rotate-time", rotation.seconds);
  read.integer(*map, "log.keep", rotation.keep);
  for (const char* key : {"rotate-size", "rotate-time"}) {
    if (map->get(key) != nullptr && !settings.log.to.starts_with("file:")) {
      read.warning(*map->key_node(key), "only a log file is moved aside", "with log.to: file:PATH");
    }
  }
}

void dump_mail(const Settings& settings, std::string& out) {
  const auto line = [&out](std::string_view key, const std::string& value) {
    out += "  " + std::string(key) + ": " + value + "\n";
  };
  if (!settings.store_key.empty()) {
    out += "store-encryption:\n";
    line("key", config::quote_scalar(settings.store_key));
  }
  out += "state-directory: " + config::quote_scalar(settings.state_directory) + "\n";
  out += "templates:";
  if (settings.templates.empty()) out += " []";
  out += '\n';
  for (const std::string& pattern : settings.templates) out += "  - " + config::quote_scalar(pattern) + "\n";
  if (const Reinject& reinject = settings.reinject; !reinject.server.empty()) {
    out += "reinject:\n";
    line("server", config::quote_scalar(reinject.server));
    line("tls", std::string(kTls[static_cast<size_t>(reinject.smtp.tls)]));
    if (!reinject.smtp.ca_file.empty()) line("ca-file", config::quote_scalar(reinject.smtp.ca_file));
    line("timeout", base::format_duration(reinject.smtp.timeout));
    if (!reinject.from.empty()) line("from", config::quote_scalar(reinject.from));
    line("daemon-name", config::quote_scalar(reinject.daemon_name));
    line("retry-first", base::format_duration(reinject.retry_first));
    line("retry-longest", base::format_duration(reinject.retry_longest));
    line("give-up", base::format_duration(reinject.give_up));
  }
  if (!settings.archives.empty()) out += "archives:\n";
  for (const auto& [name, file] : settings.archives) {
    line(config::quote_scalar(name), "{file: " + config::quote_scalar(file) + "}");
  }
  if (!settings.alerts.empty()) out += "alerts:\n";
  for (const AlertProfile& profile : settings.alerts) {
    out += "  " + config::quote_scalar(profile.name) + ":\n";
    if (!profile.mail.empty()) line("  mail", config::quote_list(profile.mail));
    if (!profile.webhook.url.empty()) line("  webhook", config::quote_scalar(profile.webhook.url));
    if (!profile.webhook.ca_file.empty()) line("  ca-file", config::quote_scalar(profile.webhook.ca_file));
    line("  first-wait", base::format_duration(profile.first_wait));
    line("  longest-wait", base::format_duration(profile.longest_wait));
    if (!profile.events.empty()) line("  events", config::quote_list(profile.events));
  }
}

}  // namespace postern::milter

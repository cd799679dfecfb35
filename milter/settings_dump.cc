// SPDX-License-Identifier: Apache-2.0
// The effective configuration as YAML that loads to itself, and the choice of a flow.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "milter/settings.h"
#include "milter/settings_dkim.h"
#include "milter/settings_engines.h"
#include "milter/settings_mail.h"
#include "milter/settings_masquerade.h"
#include "milter/settings_scan.h"

namespace postern::milter {
namespace {

using config::quote_scalar;

std::string address_text(const uint8_t (&bytes)[16], bool v6) {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text);
  return text;
}

// A pattern as an address, as a network where its bounds are one, else as a range.
std::string pattern_text(const rules::IpPattern& pattern) {
  const size_t size = pattern.v6 ? 16 : 4;
  const std::string low = address_text(pattern.low, pattern.v6);
  if (std::memcmp(pattern.low, pattern.high, size) == 0) return low;
  size_t bits = 0;
  while (bits < size * 8 && ((pattern.low[bits / 8] ^ pattern.high[bits / 8]) >> (7 - bits % 8) & 1) == 0) ++bits;
  bool network = true;
  for (size_t bit = bits; bit < size * 8; ++bit) {
    const bool low_bit = (pattern.low[bit / 8] >> (7 - bit % 8) & 1) != 0;
    const bool high_bit = (pattern.high[bit / 8] >> (7 - bit % 8) & 1) != 0;
    network = network && !low_bit && high_bit;
  }
  if (network) return low + "/" + std::to_string(bits);
  return low + "-" + address_text(pattern.high, pattern.v6);
}

std::string when_text(const ClientMatch& match) {
  std::string out;
  const auto separate = [&out] {
    if (!out.empty()) out += ", ";
  };
  if (!match.client.empty()) {
    out += "client: [";
    for (size_t i = 0; i < match.client.size(); ++i)
      out += (i == 0 ? "" : ", ") + quote_scalar(pattern_text(match.client[i]));
    out += "]";
  }
  if (match.authenticated) {
    separate();
    out += std::string("authenticated: ") + (*match.authenticated ? "true" : "false");
  }
  if (!match.daemon_name.empty()) {
    separate();
    out += "daemon-name: [";
    for (size_t i = 0; i < match.daemon_name.size(); ++i)
      out += (i == 0 ? "" : ", ") + quote_scalar(match.daemon_name[i]);
    out += "]";
  }
  return "{" + out + "}";
}

void dump_flow(const Settings& settings, const Flow& flow, std::string& out) {
  out += "  - name: " + quote_scalar(flow.name) + "\n";
  if (!flow.any_of.empty()) {
    out += "    when: {any: [";
    for (size_t i = 0; i < flow.any_of.size(); ++i) out += (i == 0 ? "" : ", ") + when_text(flow.any_of[i]);
    out += "]}\n";
  }
  dump_flow_directories(settings, flow, out);
  dump_flow_engines(settings, flow, out);
  if (!flow.sign.empty()) {
    out += "    sign: [";
    for (size_t i = 0; i < flow.sign.size(); ++i) {
      out += (i == 0 ? "" : ", ") + quote_scalar(settings.dkim[flow.sign[i]].name);
    }
    out += "]\n";
  }
  out += "    filters: ";
  if (flow.all_filters || flow.filters.empty()) {
    out += flow.all_filters ? "all\n" : "none\n";
    return;
  }
  out += "[";
  for (size_t i = 0; i < flow.filters.size(); ++i) out += (i == 0 ? "" : ", ") + quote_scalar(flow.filters[i]);
  out += "]\n";
}

void dump_quarantines(const Settings& settings, std::string& out) {
  out += "quarantines:\n";
  for (const std::string& name : settings.quarantines) {
    std::string options;
    if (const auto it = settings.quarantine_options.find(name); it != settings.quarantine_options.end()) {
      const Quarantine& quarantine = it->second;
      const auto add = [&options](std::string_view key, const std::string& value) {
        options += (options.empty() ? "" : ", ") + std::string(key) + ": " + value;
      };
      if (quarantine.retention != 0) add("retention", base::format_duration(quarantine.retention));
      if (quarantine.size != 0) add("size", base::format_size(quarantine.size));
      if (!quarantine.default_action.empty()) add("default-action", quarantine.default_action);
    }
    out += "  " + quote_scalar(name) + ": {" + options + "}\n";
  }
}

bool in_range(const rules::IpPattern& pattern, bool v6, const uint8_t (&address)[16]) {
  if (pattern.v6 != v6) return false;
  const size_t size = v6 ? 16 : 4;
  // Bounds of a range in the last number differ in the last bytes only, so comparing as one big number is right for all
  // three forms.
  return std::memcmp(address, pattern.low, size) >= 0 && std::memcmp(address, pattern.high, size) <= 0;
}

bool client_in(const std::vector<rules::IpPattern>& patterns, const std::optional<std::string>& client) {
  if (!client) return false;
  uint8_t address[16] = {};
  bool v6 = false;
  if (::inet_pton(AF_INET, client->c_str(), address) != 1) {
    if (::inet_pton(AF_INET6, client->c_str(), address) != 1) return false;
    constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    v6 = std::memcmp(address, kMapped, sizeof kMapped) != 0;
    if (!v6) std::memmove(address, address + 12, 4);
  }
  return std::ranges::any_of(patterns, [&](const rules::IpPattern& pattern) { return in_range(pattern, v6, address); });
}

bool holds(const ClientMatch& match, const message::Connection& connection, const message::Envelope& envelope) {
  if (!match.client.empty() && !client_in(match.client, connection.client_ip)) return false;
  if (match.authenticated && *match.authenticated != envelope.auth_user.has_value()) return false;
  if (match.daemon_name.empty()) return true;
  return connection.daemon_name &&
         std::ranges::find(match.daemon_name, *connection.daemon_name) != match.daemon_name.end();
}

}  // namespace

std::string dump_settings(const Settings& settings) {
  std::string out;
  const auto line = [&out](std::string_view key, const std::string& value) {
    out += key;
    out += ": ";
    out += value;
    out += '\n';
  };
  char mode[16];
  std::snprintf(mode, sizeof mode, "\"%04o\"", settings.listen.mode);
  line("hostname", quote_scalar(settings.hostname));
  line("mta", settings.mta);
  out += "listen:\n";
  line("  socket", quote_scalar(settings.listen.socket));
  line("  mode", mode);
  line("  group", quote_scalar(settings.listen.group));
  out += "control:\n";
  line("  socket", quote_scalar(settings.control_socket));
  line("  group", quote_scalar(settings.control_group));
  line("user", quote_scalar(settings.user));
  line("group", quote_scalar(settings.group));
  line("spool-directory", quote_scalar(settings.spool_directory));
  const auto files = [&](std::string_view key, const std::vector<std::string>& patterns) {
    out += std::string(key) + (patterns.empty() ? ": []\n" : ":\n");
    for (const std::string& pattern : patterns) out += "  - " + quote_scalar(pattern) + "\n";
  };
  files("rules", settings.rules);
  files("dictionaries", settings.dictionaries);
  out += "flows:\n";
  for (const Flow& flow : settings.flows) dump_flow(settings, flow, out);
  dump_signing(settings, out);
  line("store", quote_scalar(settings.store));
  out += "tracking:\n";
  line("  keep", base::format_duration(settings.tracking_keep));
  dump_mail(settings, out);
  dump_directories(settings, out);
  dump_engines(settings, out);
  dump_quarantines(settings, out);
  dump_scan(settings, out);
  const base::Limits& limits = settings.limits;
  out += "limits:\n";
  if (settings.message_size_given) line("  message-size", base::format_size(limits.message_size));
  line("  memory", base::format_size(limits.memory));
  line("  spool-memory", base::format_size(limits.spool_memory));
  line("  header-size", base::format_size(limits.header_size));
  line("  header-count", std::to_string(limits.header_count));
  line("  recipients", std::to_string(limits.recipients));
  line("  mime-depth", std::to_string(limits.mime_depth));
  line("  mime-parts", std::to_string(limits.mime_parts));
  line("  addresses", std::to_string(limits.addresses));
  line("  decoded-text", base::format_size(limits.decoded_text));
  out += "regex:\n";
  line("  match-limit", std::to_string(settings.regex.match));
  line("  depth-limit", std::to_string(settings.regex.depth));
  line("  heap-limit", base::format_size(uint64_t{settings.regex.heap_kib} << 10));
  line("  milliseconds", std::to_string(settings.regex.milliseconds));
  out += "on-unknown:\n";
  const auto on_unknown = [&](std::string_view key, rules::Unknown reason) {
    line(key, std::string(rules::on_unknown_name(settings.on_unknown[static_cast<size_t>(reason)])));
  };
  on_unknown("  regex-limit", rules::Unknown::regex_limit);
  on_unknown("  unscannable", rules::Unknown::unscannable);
  on_unknown("  directory", rules::Unknown::directory);
  on_unknown("  dns", rules::Unknown::dns);
  on_unknown("  engine", rules::Unknown::engine);
  out += "log:\n";
  line("  to", quote_scalar(settings.log.to));
  line("  level", std::string(base::level_name(settings.log.level)));
  const base::LogRotation& rotation = settings.log.rotation;
  if (rotation.size != 0) line("  rotate-size", base::format_size(rotation.size));
  if (rotation.seconds != 0) line("  rotate-time", base::format_duration(rotation.seconds));
  line("  keep", std::to_string(rotation.keep));
  return out;
}

const Flow* choose_flow(const Settings& settings, const message::Connection& connection,
                        const message::Envelope& envelope) {
  for (const Flow& flow : settings.flows) {
    if (flow.any_of.empty()) return &flow;
    if (std::ranges::any_of(flow.any_of, [&](const ClientMatch& match) { return holds(match, connection, envelope); }))
      return &flow;
  }
  return nullptr;
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// The effective configuration as YAML that loads to itself.
#include <cstdio>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "keystore/protocol/protocol.h"
#include "keystore/settings.h"

namespace postern::keystore {
namespace {

using config::quote_scalar;

std::string operations_text(uint8_t operations) {
  std::string out;
  for (const Operation one : {Operation::describe, Operation::sign, Operation::decrypt}) {
    if ((operations & static_cast<uint8_t>(one)) == 0) continue;
    out += (out.empty() ? "" : ", ") + std::string(operation_name(one));
  }
  return "[" + out + "]";
}

std::string number_or(uint32_t number, std::string_view word) {
  return number == 0 ? std::string(word) : std::to_string(number);
}

}  // namespace

std::string dump_fipsd_settings(const FipsdSettings& settings) {
  std::string out;
  const auto line = [&out](std::string_view key, const std::string& value) {
    out += key;
    out += ": ";
    out += value;
    out += '\n';
  };
  line("state-directory", quote_scalar(settings.state_directory));
  line("user", quote_scalar(settings.user));
  line("group", quote_scalar(settings.group));
  line("credential", quote_scalar(settings.credential));
  out += "token:\n";
  line("  module", quote_scalar(settings.token.module));
  line("  label", quote_scalar(settings.token.label));
  line("  serial", quote_scalar(settings.token.serial));
  line("  softhsm-directory", quote_scalar(settings.token.softhsm_directory));
  line("fips", settings.fips == FipsPolicy::strict ? "strict" : "permissive");
  line("certificate-number", quote_scalar(settings.certificate_number));
  out += "sockets:\n";
  for (const SocketSettings& socket : settings.sockets) {
    char mode[16];
    std::snprintf(mode, sizeof mode, "\"%04o\"", socket.mode);
    out += "  " + socket.name + ":\n";
    line("    paths", config::quote_list(socket.paths));
    line("    mode", mode);
    line("    group", quote_scalar(socket.group));
    line("    users", config::quote_list(socket.users));
    line("    rate", number_or(socket.rate, "unlimited"));
    line("    connections", std::to_string(socket.connections));
  }
  out += settings.rights.empty() ? "rights: []\n" : "rights:\n";
  for (const Right& right : settings.rights) {
    line("  - socket", right.socket);
    line("    keys", config::quote_list(right.keys));
    line("    uses", "[" + uses_text(right.uses) + "]");
    line("    allow", operations_text(right.operations));
  }
  line("workers", number_or(settings.workers, "auto"));
  line("queue", std::to_string(settings.queue));
  line("officer-idle", base::format_duration(settings.officer_idle));
  out += "audit:\n";
  line("  directory", quote_scalar(settings.audit.directory));
  line("  segment", base::format_size(settings.audit.segment));
  line("  reserve", base::format_size(settings.audit.reserve));
  line("  keep", number_or(settings.audit.keep, "all"));
  out += "log:\n";
  line("  to", quote_scalar(settings.log.to));
  line("  level", std::string(base::level_name(settings.log.level)));
  return out;
}

}  // namespace postern::keystore

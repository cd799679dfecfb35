// SPDX-License-Identifier: Apache-2.0
// The option table of fipsd.yaml, and the JSON Schema made from it.
#include <nlohmann/json.hpp>

#include "engine/config/option_schema.h"
#include "keystore/settings.h"

namespace postern::keystore {
namespace {

using config::OptionRow;
using config::OptionType;

constexpr std::string_view kUses = "dkim|smime|tls-server|tls-client|ldap";
constexpr uint64_t kMegabyte = 1ull << 20;

constexpr OptionRow kOptions[] = {
    {"state-directory", OptionType::text, "/var/lib/fipsd", "",
     "Folder of fipsd's state: password hash, failure counter, key-encryption key, catalogue."},
    {"user", OptionType::text, "", "", "User to become after start as root."},
    {"group", OptionType::text, "", "", "Group to become; the user's own where not given."},
    {"credential", OptionType::text, "", "",
     "File with an additional secret (a systemd credential) without which the token cannot be opened."},
    {"token.module", OptionType::text, "/usr/lib/softhsm/libsofthsm2.so", "", "PKCS#11 module of the token."},
    {"token.label", OptionType::text, "postern", "",
     "Label of the token; fipsconfig init gives it to an uninitialised one."},
    {"token.serial", OptionType::text, "", "", "Serial number of the token, where several have the label."},
    {"token.softhsm-directory", OptionType::text, "", "",
     "Folder of SoftHSM2's token; tokens in the state directory where not given. Empty: SoftHSM2's own configuration."},
    {"fips", OptionType::choice, "permissive", "permissive|strict",
     "Whether algorithms outside the approved list are refused (strict) or only reported."},
    {"certificate-number", OptionType::text, "", "",
     "What the operator says of the token's validation; shown by fipsconfig status."},
    {"sockets", OptionType::map, "milter, postfix, officer", "",
     "Socket classes by name; what is not given keeps its default."},
    {"sockets.*.paths", OptionType::list, "", "", "Unix sockets of the class; an empty list: none."},
    {"sockets.*.mode", OptionType::text, "0660", "", "Mode of the sockets, octal."},
    {"sockets.*.group", OptionType::text, "", "", "Group of the sockets."},
    {"sockets.*.users", OptionType::list, "", "", "Users who may connect, besides what the mode says; none: anybody."},
    {"sockets.*.rate", OptionType::integer, "unlimited", "unlimited", "Requests a second of the whole class.", 1,
     10'000'000},
    {"sockets.*.connections", OptionType::integer, "1024", "", "Connections of the class at once.", 1, 65536},
    {"rights", OptionType::list, "", "", "What the clients of a socket class may do with which keys."},
    {"rights[].socket", OptionType::text, "", "", "Name of the socket class."},
    {"rights[].keys", OptionType::list, "*", "", "Key names, with * and ? as in a shell."},
    {"rights[].uses", OptionType::list, "every use", kUses, "The right holds for keys with one of these uses."},
    {"rights[].allow", OptionType::list, "", "describe|sign|decrypt", "What is allowed."},
    {"workers", OptionType::integer, "auto", "auto", "Threads that use the token; auto: one a processor.", 1, 256},
    {"queue", OptionType::integer, "1024", "", "Requests that may wait; more are answered busy.", 1, 1'000'000},
    {"officer-idle", OptionType::duration, "10m", "", "Idle time after which an officer session ends.", 1, 86400},
    {"audit.directory", OptionType::text, "", "", "Folder of the audit log; audit in the state directory."},
    {"audit.segment", OptionType::size, "16M", "", "Size of one file of the audit log.", 64u << 10, 1024 * kMegabyte},
    {"audit.reserve", OptionType::size, "64k", "", "Part of each file kept for officer actions and zeroising.",
     16u << 10, 512 * kMegabyte},
    {"audit.keep", OptionType::integer, "all", "all",
     "Files of the audit log that are kept; all: none is removed, and a full disk stops the use of keys.", 2,
     1'000'000},
    {"log.to", OptionType::text, "journal", "", "journal, syslog, stderr or file:PATH."},
    {"log.level", OptionType::choice, "info", "error|warning|info|debug", "Lowest level that is logged."},
};

}  // namespace

std::span<const OptionRow> fipsd_option_table() { return kOptions; }

std::string fipsd_schema() {
  nlohmann::json root = config::option_schema(kOptions, "fipsd.yaml", "Configuration of Postern's key helper fipsd.");
  root["properties"]["rights"]["items"]["required"] = {"socket", "allow"};
  return root.dump(2) + "\n";
}

}  // namespace postern::keystore

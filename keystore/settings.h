// SPDX-License-Identifier: Apache-2.0
// Settings: fipsd.yaml read into one immutable object; every key has a default. Errors of the whole file are reported
// together. Key material in the file is ignored with a warning (engine/config does that).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/log.h"
#include "engine/config/options.h"
#include "engine/config/source.h"
#include "keystore/audit.h"
#include "keystore/token/token.h"

namespace postern::keystore {

enum class FipsPolicy : uint8_t { permissive, strict };

// Operation is what a right may allow; bits of Right::operations.
enum class Operation : uint8_t { describe = 1, sign = 2, decrypt = 4 };
// operation_name gives "describe", "sign", "decrypt".
std::string_view operation_name(Operation operation);

// Right allows `operations` on keys whose name matches one of `keys` (shell patterns with * and ?) and that carry one
// of `uses` to clients of the socket class `socket`. What no right allows is denied, and a key that no right of a
// socket names is not_found to it.
struct Right {
  std::string socket;
  std::vector<std::string> keys;
  uint32_t uses = 0;
  uint8_t operations = 0;
};

// kOfficerSocket is the class whose clients may ask for officer verbs; it sees every key and has at least one path.
inline constexpr std::string_view kOfficerSocket = "officer";

struct SocketSettings {
  std::string name;                // "milter", "postfix", "officer" or another of the administrator's
  std::vector<std::string> paths;  // none: nobody listens for this class
  uint32_t mode = 0660;
  std::string group;
  std::vector<std::string> users;  // second check, by SO_PEERCRED; empty: none
  uint32_t rate = 0;               // requests a second; 0: unlimited
  uint32_t connections = 1024;
};

struct FipsdSettings {
  std::string path;
  std::string state_directory = "/var/lib/fipsd";
  std::string user;  // to become after start as root
  std::string group;
  std::string credential;  // path of an additional secret (systemd credential); empty: none
  TokenOptions token;      // scratch is the state directory
  FipsPolicy fips = FipsPolicy::permissive;
  std::string certificate_number;  // what the operator says of the module's validation; only shown
  std::vector<SocketSettings> sockets;
  std::vector<Right> rights;
  uint32_t workers = 0;  // 0: one a processor
  uint32_t queue = 1024;
  uint64_t officer_idle = 600;  // seconds
  AuditOptions audit;
  base::LogTarget log;

  // socket returns the class of that name, or nullptr.
  const SocketSettings* socket(std::string_view name) const;
};

// fipsd_option_table is every key of fipsd.yaml; fipsd_schema the JSON Schema made from it.
std::span<const config::OptionRow> fipsd_option_table();
std::string fipsd_schema();

// read_fipsd_settings reads one text of fipsd.yaml; nullopt when there is any error.
std::optional<FipsdSettings> read_fipsd_settings(config::Sources& sources, uint32_t source,
                                                 config::Diagnostics& diagnostics);
// load_fipsd_settings does the same with a file; one that cannot be read is an error like others.
std::optional<FipsdSettings> load_fipsd_settings(const std::string& path, config::Sources& sources,
                                                 config::Diagnostics& diagnostics);
// dump_fipsd_settings writes the effective configuration as YAML that loads to itself.
std::string dump_fipsd_settings(const FipsdSettings& settings);

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// Settings: postern.yaml (and the rule files it names) read into one immutable Generation. Loading never changes
// anything of the running daemon; a bad file leaves diagnostics and no generation.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/log.h"
#include "engine/config/options.h"
#include "engine/config/source.h"
#include "engine/directory/directory.h"
#include "engine/inspect/engine.h"
#include "engine/match/regex.h"
#include "engine/message/envelope.h"
#include "engine/scan/client/scanner.h"
#include "engine/store/batch.h"
#include "engine/submit/smtp.h"
#include "engine/submit/webhook.h"
#include "milter/stages/masquerade.h"
#include "milter/stages/recipients.h"
#include "milter/stages/sign.h"
#include "rules/ruleset.h"

namespace postern::keystore {
class KeyLibrary;
}

namespace postern::milter {

// Listen is where the MTA reaches us. `socket` is "unix:PATH" or "inet:PORT@HOST".
struct Listen {
  std::string socket = "unix:/var/spool/postfix/postern/milter.sock";
  uint32_t mode = 0660;
  std::string group;  // empty: the process's group
};

// ClientMatch is one term of a flow's `when`; the set members must all hold, each list holds if any entry does.
struct ClientMatch {
  std::vector<rules::IpPattern> client;
  std::optional<bool> authenticated;
  std::vector<std::string> daemon_name;
};

// Flow is one mail-flow policy; the first whose `when` holds takes the message. `any_of` empty: takes every message.
struct Flow {
  std::string name;
  std::vector<ClientMatch> any_of;
  bool all_filters = true;
  std::vector<std::string> filters;      // names or rule file names, when not all
  std::vector<uint32_t> filter_indexes;  // indexes into RuleSet::filters(), in order, resolved at load
  stages::Acceptance accept;
  stages::Routing route;
  std::vector<uint32_t> masquerade;  // indexes into Settings::masquerade, in the order written
  std::vector<uint32_t> sign;        // indexes into Settings::dkim, in the order written
  std::vector<uint32_t> inspect;     // indexes into Settings::engines, in the order written
};

// Quarantine is what is said about a named quarantine; it takes effect with a store.
struct Quarantine {
  uint64_t retention = 0;  // seconds; 0: not given
  uint64_t size = 0;
  std::string default_action;
};

// Reinject is the MTA's listener for mail of our own, and how long it is tried. `server` empty: there is none.
struct Reinject {
  std::string server;  // as written
  submit::SmtpServer smtp;
  std::string from;                              // From of notices; empty: postmaster of this host
  std::string daemon_name = "postern-reinject";  // what the MTA calls that listener, {daemon_name}
  uint64_t retry_first = 30;                     // seconds
  uint64_t retry_longest = 3600;
  uint64_t give_up = 5 * 86400;
};

// AlertProfile is who hears of alerts.
struct AlertProfile {
  std::string name;
  std::vector<std::string> mail;
  submit::Webhook webhook;          // url empty: none
  std::vector<std::string> events;  // identifiers of log lines; empty: all that alert
  uint64_t first_wait = 5;          // seconds until the same alert is sent again
  uint64_t longest_wait = 3600;
};

class Scanning;

// ScanPool is the worker processes of content scanning.
struct ScanPool {
  uint32_t workers = 0;       // kept ready; 0: one for each processor
  uint32_t most_workers = 0;  // at a time; 0: four for each processor, and two
  uint64_t memory = 512ull << 20;
  std::string program;  // path of postern-scan; empty: where it is installed
  bool operator==(const ScanPool&) const = default;
};

struct Settings {
  std::string path;  // of postern.yaml
  std::string hostname;
  Listen listen;
  std::string control_socket = "/run/postern/control.sock";
  std::string control_group;
  std::string user;  // run as; empty: stay
  std::string group;
  std::string spool_directory = "/var/spool/postern";
  std::string mta = "postfix";            // or "sendmail"
  std::vector<std::string> rules;         // patterns, absolute
  std::vector<std::string> dictionaries;  // the same of dictionary files
  std::vector<Flow> flows;
  std::string keys_socket = "/run/fipsd/milter.sock";  // where fipsd listens
  uint64_t keys_timeout = 5;                           // seconds a message waits for its signatures
  std::vector<stages::SigningProfile> dkim;
  std::string state_directory = "/var/lib/postern";
  Reinject reinject;
  std::vector<std::string> templates;           // patterns, absolute
  std::map<std::string, std::string> archives;  // name → file
  std::vector<AlertProfile> alerts;
  std::string store;                    // "sqlite:/path", "postgresql:…"; empty: the MTA holds quarantined mail
  std::string store_key;                // name of fipsd's key by which contents are encrypted; empty: they are not
  uint64_t tracking_keep = 30 * 86400;  // seconds that messages can be found for in the store; 0: they are not tracked
  store::Policies policies;             // of all quarantines, complete; for the store
  std::vector<directory::ProfileSettings> ldap;
  std::vector<inspect::EngineSettings> engines;
  std::map<std::string, stages::Roles, std::less<>> ldap_roles;  // by PROFILE.QUERY
  std::vector<stages::MasqueradeProfile> masquerade;
  std::vector<stages::QueryUse> group_query;
  std::vector<std::string> quarantines;  // names, Policy always among them
  std::map<std::string, Quarantine> quarantine_options;
  scan::ScanSettings scan;
  ScanPool scan_pool;
  base::Limits limits;
  bool message_size_given = false;  // limits.message-size stands in the file, so it holds for every message
  match::RegexLimits regex;
  base::LogTarget log;
  std::array<rules::OnUnknown, rules::kUnknownReasons> on_unknown{};
};

// Generation is one loaded configuration: settings, rules and the number of the load. Immutable and shared.
struct Generation {
  uint64_t number = 0;
  Settings settings;
  std::shared_ptr<const rules::RuleSet> rules;
  std::vector<std::string> files;                         // every file read
  std::shared_ptr<crypto::KeyOps> keys;                   // nullptr where no flow signs
  std::unique_ptr<const stages::Signer> signer;           // likewise
  std::shared_ptr<const keystore::KeyLibrary> ldap_keys;  // nullptr where no LDAP profile has its key in fipsd
  std::shared_ptr<Scanning> scanning;                     // nullptr where no rule asks for it
  std::vector<std::shared_ptr<inspect::Engine>> engines;  // as in Settings::engines, once open_engines() was called
  stages::Profiles directories;                           // as in Settings::ldap, once open_directories() was called

  // use_keys makes the signer, for a generation not shared yet.
  void use_keys(std::shared_ptr<crypto::KeyOps> with);

  // open_scanning makes the scanner, for a generation not shared yet; nothing is started. `earlier`, which may be null,
  // is the generation before: its workers stay, where the settings say the same.
  void open_scanning(const Generation* earlier);

  // open_directories makes the directory profiles, for a generation not shared yet; nothing is connected. `earlier`,
  // which may be null, is the generation before: what is known about its servers stays known.
  void open_directories(const Generation* earlier, const directory::EventSink& sink);
  // open_engines does the same for external engines.
  void open_engines(const Generation* earlier, const inspect::EventSink& sink);
};
// signs tells whether any flow has a DKIM profile.
bool signs(const Settings& settings);

// option_table is every key of postern.yaml.
std::span<const config::OptionRow> option_table();

// settings_schema returns the JSON Schema of postern.yaml, made from the option table.
std::string settings_schema();

// read_settings reads one text of postern.yaml alone: no rule file is looked for, and a hostname that is not given
// stays empty. nullopt when there is any error.
std::optional<Settings> read_settings(config::Sources& sources, uint32_t source, config::Diagnostics& diagnostics);

// load_generation reads `path` and everything it names. Errors of all files go to `diagnostics` (constructed over
// `sources`); nullptr when there is any.
std::shared_ptr<Generation> load_generation(const std::string& path, config::Sources& sources,
                                            config::Diagnostics& diagnostics);

// dump_settings writes the effective configuration as YAML that load_generation reads to the same settings (rule files
// by absolute path).
std::string dump_settings(const Settings& settings);

// choose_flow returns the flow that takes a message from this client, or nullptr when no flow does (flows with a last
// catch-all never give that).
const Flow* choose_flow(const Settings& settings, const message::Connection& connection,
                        const message::Envelope& envelope);

}  // namespace postern::milter

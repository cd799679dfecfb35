// SPDX-License-Identifier: Apache-2.0
// The option table of postern.yaml, and the JSON Schema made from it.
#include <nlohmann/json.hpp>

#include "engine/config/option_schema.h"
#include "milter/settings.h"

namespace postern::milter {
namespace {

using config::OptionRow;
using config::OptionType;

constexpr std::string_view kOnUnknown = "skip|tempfail|quarantine|match|by-action";
constexpr std::string_view kCanonical = "relaxed|simple";
constexpr uint64_t kMegabyte = 1ull << 20;
constexpr uint64_t kGigabyte = 1ull << 30;

constexpr OptionRow kOptions[] = {
    {"hostname", OptionType::text, "", "", "Our name in headers and logs; the machine's full name where not given."},
    {"mta", OptionType::choice, "postfix", "postfix|sendmail", "The MTA that asks us."},
    {"listen.socket", OptionType::text, "unix:/var/spool/postfix/postern/milter.sock", "",
     "Where the MTA reaches us: unix:PATH or inet:PORT@HOST."},
    {"listen.mode", OptionType::text, "0660", "", "Mode of a Unix socket, octal."},
    {"listen.group", OptionType::text, "", "", "Group of a Unix socket: the MTA's."},
    {"control.socket", OptionType::text, "/run/postern/control.sock", "",
     "Unix socket for postern status and postern reload."},
    {"control.group", OptionType::text, "", "", "Group whose members may use the control socket."},
    {"user", OptionType::text, "", "", "User to become after start as root."},
    {"group", OptionType::text, "", "", "Group to become; the user's own where not given."},
    {"spool-directory", OptionType::text, "/var/spool/postern", "",
     "Folder for the unlinked files of large messages in flight."},
    {"rules", OptionType::list, "[\"rules.d/*.yaml\"]", "", "Rule files, as paths or patterns."},
    {"dictionaries", OptionType::list, "[\"dictionaries.d/*\"]", "",
     "Dictionary files, as paths or patterns; a dictionary is called as its file, without folder and extension."},
    {"flows", OptionType::list, "[{name: default}]", "",
     "Mail-flow policies; the first whose when holds takes the message."},
    {"flows[].name", OptionType::text, "", "", "Name of the flow."},
    {"flows[].when", OptionType::map, "", "", "Which messages the flow takes; without it, the rest."},
    {"flows[].when.client", OptionType::list, "", "", "Addresses, networks or ranges of SMTP clients."},
    {"flows[].when.authenticated", OptionType::boolean, "", "", "Whether the client used SMTP AUTH."},
    {"flows[].when.daemon-name", OptionType::list, "", "", "Names of the MTA's listeners."},
    {"flows[].when.any", OptionType::list, "", "", "Maps like when, of which one must hold."},
    {"flows[].filters", OptionType::list, "all", "", "all, none, or a list of filter names and rule file names."},
    {"flows[].sign", OptionType::list, "", "", "DKIM profiles that sign mail of the flow."},
    {"keys.socket", OptionType::text, "/run/fipsd/milter.sock", "",
     "Where fipsd, which has the private keys, listens."},
    {"keys.timeout", OptionType::duration, "5s", "", "Longest wait for the signatures of one message.", 1, 30},
    {"dkim", OptionType::map, "", "", "DKIM profiles by name."},
    {"dkim.*.domain", OptionType::text, "", "", "The domain that signs (d=)."},
    {"dkim.*.keys", OptionType::list, "", "", "One map for each signature: selector and key."},
    {"dkim.*.keys[].selector", OptionType::text, "", "", "Selector of the published key (s=)."},
    {"dkim.*.keys[].key", OptionType::text, "", "", "Name of the key in fipsd."},
    {"dkim.*.keys[].type", OptionType::choice, "", "rsa|ed25519", "Type of the key; fipsd is asked where not given."},
    {"dkim.*.header", OptionType::choice, "relaxed", kCanonical, "Canonical form of header fields."},
    {"dkim.*.body", OptionType::choice, "relaxed", kCanonical, "Canonical form of the body."},
    {"dkim.*.headers", OptionType::list, "", "", "Header fields to sign, wherever they are present."},
    {"dkim.*.oversign", OptionType::list, "", "", "Header fields signed once more than present."},
    {"dkim.*.body-length", OptionType::size, "", "", "How much of the body is signed (l=); all where not given."},
    {"dkim.*.expiry", OptionType::duration, "0s", "", "How long a signature is good (x=); 0s is for ever.", 0,
     3650ull * 86400},
    {"dkim.*.identity", OptionType::text, "", "", "The user or agent signed for (i=): [LOCAL]@DOMAIN."},
    {"dkim.*.users", OptionType::list, "", "",
     "Addresses, @domains and logins the profile signs for; all where not given."},
    {"dkim.*.align", OptionType::choice, "from", "from|sender|any", "Whose domain must be the profile's or below it."},
    {"dkim.*.when-unavailable", OptionType::choice, "defer", "defer|unsigned|reject",
     "What becomes of a message that cannot be signed."},
    {"dkim.*.eight-bit", OptionType::choice, "encode", "encode|keep",
     "Whether bodies that servers may change are encoded before they are signed."},
    {"store", OptionType::text, "", "",
     "Where quarantined mail is kept: sqlite:/path or postgresql:conninfo; in the MTA's own queue where not given."},
    {"state-directory", OptionType::text, "/var/lib/postern", "",
     "Folder for what this machine must remember: the secret by which it knows its own mail, archives."},
    {"templates", OptionType::list, "[\"templates.d/*.txt\"]", "", "Texts of notices, as paths or patterns."},
    {"reinject", OptionType::map, "", "", "The MTA's listener for mail of our own."},
    {"reinject.server", OptionType::text, "", "", "HOST:PORT of the listener."},
    {"reinject.tls", OptionType::choice, "none", "none|may|require", "Whether STARTTLS is used."},
    {"reinject.ca-file", OptionType::text, "", "", "Authorities for tls: require; the system's where not given."},
    {"reinject.timeout", OptionType::duration, "60s", "", "Longest time for one mail.", 1, 500},
    {"reinject.from", OptionType::text, "", "", "From field of notices; postmaster of this host where not given."},
    {"reinject.daemon-name", OptionType::text, "postern-reinject", "",
     "What the MTA calls the listener in its {daemon_name} macro."},
    {"reinject.retry-first", OptionType::duration, "30s", "", "Wait before the second attempt; it doubles.", 1, 86400},
    {"reinject.retry-longest", OptionType::duration, "1h", "", "Longest wait between attempts.", 1, 86400},
    {"reinject.give-up", OptionType::duration, "5d", "", "Age at which mail is kept as failed.", 1, 3650ull * 86400},
    {"archives", OptionType::map, "", "", "Mailbox files that the action archive appends to, by name."},
    {"archives.*.file", OptionType::text, "", "", "Path of the file; NAME.mbox in the state directory's archive."},
    {"alerts", OptionType::map, "", "", "Who hears of events that need an administrator, by name."},
    {"alerts.*.mail", OptionType::list, "", "", "Addresses that get a mail."},
    {"alerts.*.webhook", OptionType::text, "", "", "URL that gets a JSON object by POST."},
    {"alerts.*.ca-file", OptionType::text, "", "", "Authorities for an https URL; the system's where not given."},
    {"alerts.*.events", OptionType::list, "", "", "Identifiers of the log lines; all that alert where not given."},
    {"alerts.*.first-wait", OptionType::duration, "5s", "", "Wait before the same alert is sent again; it doubles.", 1,
     86400},
    {"alerts.*.longest-wait", OptionType::duration, "1h", "", "Longest wait between alerts about the same.", 1, 86400},
    {"quarantines", OptionType::map, "", "", "Named quarantines; Policy always exists."},
    {"quarantines.*.retention", OptionType::duration, "30d", "", "How long a message is kept.", 0, 36500ull * 86400},
    {"quarantines.*.size", OptionType::size, "10G", "", "How much the quarantine may hold."},
    {"quarantines.*.default-action", OptionType::choice, "delete", "release|delete",
     "What happens after the retention time."},
    {"limits.message-size", OptionType::size, "50M", "", "Largest message, header and body.", 1024, 1024 * kGigabyte},
    {"limits.memory", OptionType::size, "512M", "", "Memory of all messages in flight.", kMegabyte, 1024 * kGigabyte},
    {"limits.spool-memory", OptionType::size, "1M", "", "Part of a body kept in memory before a file takes over.", 0,
     kGigabyte},
    {"limits.header-size", OptionType::size, "256k", "", "Largest header, of the message and of each part.", 1024,
     64 * kMegabyte},
    {"limits.header-count", OptionType::integer, "2000", "", "Most header fields.", 10, 1'000'000},
    {"limits.recipients", OptionType::integer, "10000", "", "Most recipients of a message.", 1, 1'000'000},
    {"limits.mime-depth", OptionType::integer, "32", "", "Deepest nesting of MIME parts.", 1, 200},
    {"limits.mime-parts", OptionType::integer, "2000", "", "Most MIME parts.", 1, 1'000'000},
    {"limits.addresses", OptionType::integer, "10000", "", "Most addresses read out of one header field.", 1,
     1'000'000},
    {"limits.decoded-text", OptionType::size, "64M", "", "Most decoded text of one message.", 1024, 16 * kGigabyte},
    {"regex.match-limit", OptionType::integer, "200000", "", "Steps one pattern search may take.", 1000, 100'000'000},
    {"regex.depth-limit", OptionType::integer, "10000", "", "Depth of one pattern search.", 100, 10'000'000},
    {"regex.heap-limit", OptionType::size, "8M", "", "Memory of one pattern search.", 64u << 10, kGigabyte},
    {"regex.milliseconds", OptionType::integer, "20", "",
     "CPU time of one pattern search in a long text, besides 20 ns for each byte.", 1, 60'000},
    {"on-unknown.regex-limit", OptionType::choice, "by-action", kOnUnknown, "What happens when a pattern hit a limit."},
    {"on-unknown.unscannable", OptionType::choice, "by-action", kOnUnknown,
     "What happens when a part could not be read."},
    {"on-unknown.directory", OptionType::choice, "tempfail", kOnUnknown,
     "What happens when a directory did not answer."},
    {"on-unknown.dns", OptionType::choice, "skip", kOnUnknown, "What happens when DNS did not answer."},
    {"log.to", OptionType::text, "journal", "", "journal, syslog, stderr or file:PATH."},
    {"log.level", OptionType::choice, "info", "error|warning|info|debug", "Lowest level that is logged."},
};

}  // namespace

std::span<const config::OptionRow> option_table() { return kOptions; }

std::string settings_schema() {
  nlohmann::json root =
      config::option_schema(kOptions, "postern.yaml", "Configuration of the mail-policy gateway Postern.");
  nlohmann::json& flow = root["properties"]["flows"]["items"];
  flow["required"] = {"name"};
  nlohmann::json& filters = flow["properties"]["filters"];
  filters.erase("items");
  filters.erase("type");
  filters["oneOf"] = {{{"enum", {"all", "none"}}}, {{"type", "array"}, {"items", {{"type", "string"}}}}};
  nlohmann::json& profile = root["properties"]["dkim"]["additionalProperties"];
  profile["type"] = "object";
  profile["required"] = {"domain", "keys"};
  profile["properties"]["keys"]["minItems"] = 1;
  profile["properties"]["keys"]["items"]["required"] = {"selector", "key"};
  // `any` holds maps of the same keys as `when`, but not itself.
  nlohmann::json& when = flow["properties"]["when"];
  nlohmann::json term = when;
  term["properties"].erase("any");
  when["properties"]["any"]["type"] = "array";
  when["properties"]["any"]["items"] = std::move(term);
  return root.dump(2) + "\n";
}

}  // namespace postern::milter

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
    {"tracking.keep", OptionType::duration, "30d", "",
     "How long postern findevent finds a message in the store; 0s: messages are not tracked.", 0, 36500ull * 86400},
    {"store-encryption", OptionType::map, "", "", "Encrypts the messages in the store; as they are where not given."},
    {"store-encryption.key", OptionType::text, "", "",
     "Name of the RSA key in fipsd, with the use smime, under which the store's own key lies."},
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
    {"flows[].accept", OptionType::map, "", "", "Which recipients there are; all where not given."},
    {"flows[].accept.queries", OptionType::list, "", config::kOrText,
     "LDAP queries, PROFILE.QUERY, of which one has an entry."},
    {"flows[].accept.queries[].query", OptionType::text, "", "", "The query, PROFILE.QUERY."},
    {"flows[].accept.queries[].domains", OptionType::list, "", "", "Domains of the addresses it is asked for."},
    {"flows[].accept.when-unavailable", OptionType::choice, "", "defer|accept",
     "What becomes of a recipient that no directory can tell about; defer where not given."},
    {"flows[].route", OptionType::map, "", "", "Where mail for recipients goes instead."},
    {"flows[].route.table", OptionType::text, "", "", "File of addresses, as in masquerade."},
    {"flows[].route.queries", OptionType::list, "", config::kOrText,
     "LDAP queries, PROFILE.QUERY, asked in this order."},
    {"flows[].route.queries[].query", OptionType::text, "", "", "The query, PROFILE.QUERY."},
    {"flows[].route.queries[].domains", OptionType::list, "", "", "Domains of the addresses it is asked for."},
    {"flows[].masquerade", OptionType::list, "", "", "Masquerade profiles, asked in this order for each address."},
    {"ldap", OptionType::map, "", "", "LDAP profiles by name."},
    {"ldap.*.servers", OptionType::list, "", "", "Servers: ldap://HOST, ldaps://HOST or ldapi://PATH."},
    {"ldap.*.mode", OptionType::choice, "failover", "failover|load-balance",
     "Whether the first server that answers is asked, or all in turn."},
    {"ldap.*.base", OptionType::text, "", "", "Where searches begin."},
    {"ldap.*.starttls", OptionType::choice, "required", "required|off", "TLS on ldap:// servers."},
    {"ldap.*.trusted", OptionType::text, "", "", "PEM file of trusted certificates; the system's where not given."},
    {"ldap.*.certificate", OptionType::text, "", "",
     "PEM file of the certificate we show; that of the key where not given."},
    {"ldap.*.key", OptionType::text, "", "", "The certificate's key: a PEM file, or fipsd:NAME."},
    {"ldap.*.distrust", OptionType::list, "", "", "Keys and authorities that no server's certificate may come from."},
    {"ldap.*.bind-dn", OptionType::text, "", "", "Name to bind as; anonymous where not given."},
    {"ldap.*.secret-file", OptionType::text, "", "", "File that holds the password of bind-dn."},
    {"ldap.*.sasl", OptionType::choice, "none", "none|external", "external: we are who our certificate says."},
    {"ldap.*.connections", OptionType::integer, "8", "", "Most connections to each server.", 1, 200},
    {"ldap.*.connect-timeout", OptionType::duration, "3s", "",
     "Longest wait for name look-up, connection, TLS and bind together.", 1, 60},
    {"ldap.*.timeout", OptionType::duration, "5s", "", "Longest wait for one server's answer.", 1, 60},
    {"ldap.*.retry", OptionType::duration, "30s", "", "Longest time a server that failed is left alone.", 1, 3600},
    {"ldap.*.answer-size", OptionType::size, "1M", "", "Largest answer to one question.", 4096, 64 * kMegabyte},
    {"ldap.*.references", OptionType::choice, "refuse", "refuse|ignore",
     "ignore: what lies in another directory counts as not there."},
    {"ldap.*.cache-size", OptionType::integer, "10000", "", "Answers kept; 0 keeps none.", 0, 1'000'000},
    {"ldap.*.cache-time", OptionType::duration, "15m", "", "How long an entry is kept.", 0, 7ull * 86400},
    {"ldap.*.negative-cache-time", OptionType::duration, "1m", "", "How long it is kept that there is no entry.", 0,
     7ull * 86400},
    {"ldap.*.queries", OptionType::map, "", "", "The profile's questions by name."},
    {"ldap.*.queries.*.filter", OptionType::text, "", "", "LDAP filter with {a} {u} {d} {dn} {g} {f}."},
    {"ldap.*.queries.*.base", OptionType::text, "", "",
     "Where this search begins; the profile's base where not given."},
    {"ldap.*.queries.*.scope", OptionType::choice, "subtree", "base|one|subtree", "How far the search goes."},
    {"ldap.*.queries.*.address", OptionType::text, "", "", "Attribute with the new address."},
    {"ldap.*.queries.*.name", OptionType::text, "", "", "Attribute with the name shown beside the address."},
    {"ldap.*.queries.*.host", OptionType::text, "", "", "Attribute with the host that mail goes to."},
    {"ldap.*.queries.*.login", OptionType::text, "", "", "Attribute with the logins that may send from the address."},
    {"ldap.*.queries.*.dn-query", OptionType::text, "", "", "Query of the profile whose entry {dn} is."},
    {"group-query", OptionType::list, "", config::kOrText,
     "LDAP queries, PROFILE.QUERY, that find whoever is in group {g}."},
    {"group-query[].query", OptionType::text, "", "", "The query, PROFILE.QUERY."},
    {"group-query[].domains", OptionType::list, "", "", "Domains of the addresses it is asked for."},
    {"masquerade", OptionType::map, "", "", "Masquerade profiles by name."},
    {"masquerade.*.table", OptionType::text, "", "", "File of addresses, as Sendmail's genericstable."},
    {"masquerade.*.queries", OptionType::list, "", config::kOrText,
     "LDAP queries, PROFILE.QUERY, asked in this order."},
    {"masquerade.*.queries[].query", OptionType::text, "", "", "The query, PROFILE.QUERY."},
    {"masquerade.*.queries[].domains", OptionType::list, "", "", "Domains of the addresses it is asked for."},
    {"masquerade.*.envelope-sender", OptionType::boolean, "true", "", "Whether the envelope sender changes."},
    {"masquerade.*.headers", OptionType::list, "[From, To, Cc, Reply-To]", "", "Header fields that change."},
    {"masquerade.*.domains", OptionType::list, "", "", "Domains whose addresses change; all where not given."},
    {"masquerade.*.quarantine", OptionType::text, "", "",
     "Quarantine for mail with a field that had to be left alone; it goes on where not given."},
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
    {"log.rotate-size", OptionType::size, "", "", "Size at which a log file is moved aside; any where not given.", 4096,
     1024 * kGigabyte},
    {"log.rotate-time", OptionType::duration, "", "",
     "Period, by local time, after which a log file is moved aside; none where not given.", 60, 3650ull * 86400},
    {"log.keep", OptionType::integer, "10", "", "Log files kept besides the one that is written.", 1, 1000},
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

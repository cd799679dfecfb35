// SPDX-License-Identifier: Apache-2.0
// postern.yaml: defaults and every option driven by the option table, all mistakes of all files in one go, rule files,
// flows and how one is chosen, the dump that loads to itself, and the JSON Schema that is shipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "milter/settings.h"
#include "test/support/option_check.h"
#include "test/support/temporary_directory.h"

namespace postern::milter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testsupport::fits;
using testsupport::flat;
using testsupport::read_file;

struct Loaded {
  config::Sources sources;
  config::Diagnostics diagnostics{sources};
  std::shared_ptr<Generation> generation;
  std::string text;  // diagnostics as shown
};

std::unique_ptr<Loaded> load(const std::string& path) {
  auto loaded = std::make_unique<Loaded>();
  loaded->generation = load_generation(path, loaded->sources, loaded->diagnostics);
  loaded->text = loaded->diagnostics.render();
  return loaded;
}

class SettingsFile : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder_ / "rules.d"); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  std::unique_ptr<Loaded> load_text(const std::string& text) {
    write("postern.yaml", text);
    return load(folder_ / "postern.yaml");
  }
  const test::TemporaryDirectory own_;
  const std::filesystem::path folder_ = own_.path();
};

TEST_F(SettingsFile, DefaultsAreThoseOfTheTable) {
  const auto loaded = load_text("hostname: mx.example.org\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  EXPECT_EQ(loaded->text, "");
  const auto dumped = flat(dump_settings(loaded->generation->settings));
  for (const config::OptionRow& row : option_table()) {
    if (row.default_value.empty()) continue;
    const std::string path(row.path);
    // Nothing of these is there by default.
    constexpr std::string_view kAbsent[] = {"dkim.*.",   "alerts.*.", "quarantines.*.", "engines.*.",
                                            "reinject.", "ldap.*.",   "masquerade.*."};
    if (std::ranges::any_of(kAbsent, [&](std::string_view start) { return path.starts_with(start); })) continue;
    if (path == "rules") {
      EXPECT_EQ(dumped.at(path), (folder_ / "rules.d/*.yaml").string());
    } else if (path == "dictionaries") {
      EXPECT_EQ(dumped.at(path), (folder_ / "dictionaries.d/*").string());
    } else if (path == "templates") {
      EXPECT_EQ(dumped.at(path), (folder_ / "templates.d/*.txt").string());
    } else if (path == "flows") {
      EXPECT_EQ(dumped.at("flows[].name"), "default");
    } else if (path == "limits.message-size") {
      EXPECT_EQ(base::format_size(loaded->generation->settings.limits.message_size), row.default_value);
      EXPECT_FALSE(dumped.contains(path));  // given, it would hold for every message
    } else {
      ASSERT_TRUE(dumped.contains(path)) << path;
      EXPECT_EQ(dumped.at(path), row.default_value) << path;
    }
  }
  EXPECT_FALSE(loaded->generation->settings.message_size_given);
  EXPECT_THAT(loaded->generation->settings.quarantines, ElementsAre("Policy"));
}

TEST_F(SettingsFile, AnEmptyFileWorksToo) {
  for (const std::string text : {"", "# nothing\n", "---\n"}) {
    const auto loaded = load_text(text);
    ASSERT_TRUE(loaded->generation) << loaded->text;
    EXPECT_THAT(loaded->generation->settings.hostname, Not(IsEmpty()));
    ASSERT_EQ(loaded->generation->settings.flows.size(), 1u);
    EXPECT_TRUE(loaded->generation->rules->filters().empty());
    loaded->generation->settings.hostname = "mx.example.org";
    const std::string dump = dump_settings(loaded->generation->settings);
    EXPECT_EQ(dump, dump_settings(load_text("hostname: mx.example.org\n")->generation->settings));
  }
}

// A value for every row of the table that is not its default.
std::map<std::string, std::string> other_values(const std::string& folder) {
  return {
      {"hostname", "gw7.example.net"},
      {"mta", "sendmail"},
      {"listen.socket", "inet:8891@127.0.0.1"},
      {"listen.mode", "0600"},
      {"listen.group", "smmta"},
      {"control.socket", folder + "/control's \"socket\""},
      {"control.group", "adm"},
      {"user", "postern"},
      {"group", "mail"},
      {"spool-directory", folder + "/spool: #1"},
      {"rules", folder + "/other.d/*.yml"},
      {"dictionaries", folder + "/words.d/*"},
      {"flows", ""},
      {"flows[].name", "out bound,rest"},
      {"flows[].when", ""},
      {"flows[].when.client", ""},
      {"flows[].when.authenticated", ""},
      {"flows[].when.daemon-name", ""},
      {"flows[].when.any", ""},
      {"flows[].when.any[].client", "10.0.0.0/8,192.0.2.1,192.0.2.5-192.0.2.9,2001:db8::/32"},
      {"flows[].when.any[].authenticated", "true"},
      {"flows[].when.any[].daemon-name", "submission,smtps"},
      {"flows[].filters", "one,20.yml,none"},
      {"flows[].masquerade", "Legal"},
      {"flows[].sign", "Legal"},
      {"keys.socket", folder + "/fipsd.sock"},
      {"keys.timeout", "7s"},
      {"dkim", ""},
      {"dkim.*.domain", "xn--bcher-kva.example"},
      {"dkim.*.keys", ""},
      {"dkim.*.keys[].selector", "r2026,e2026"},
      {"dkim.*.keys[].key", "dkim-r,dkim-e"},
      {"dkim.*.keys[].type", "rsa"},
      {"dkim.*.header", "simple"},
      {"dkim.*.body", "simple"},
      {"dkim.*.headers", "From,Subject,X-Ticket"},
      {"dkim.*.oversign", "Subject"},
      {"dkim.*.body-length", "2k"},
      {"dkim.*.expiry", "7d"},
      {"dkim.*.identity", "list@mail.xn--bcher-kva.example"},
      {"dkim.*.users", "alice,@xn--bcher-kva.example,bob@b.example"},
      {"dkim.*.align", "sender"},
      {"dkim.*.when-unavailable", "reject"},
      {"dkim.*.eight-bit", "keep"},
      {"store", "sqlite:/srv/postern.db"},
      {"store-encryption", ""},
      {"store-encryption.key", "store-2026"},
      {"state-directory", folder + "/state"},
      {"templates", folder + "/texts.d/*.txt"},
      {"reinject", ""},
      {"reinject.server", "[::1]:10026"},
      {"reinject.tls", "require"},
      {"reinject.ca-file", folder + "/ca.pem"},
      {"reinject.timeout", "20s"},
      {"reinject.from", "Gate <gate@x.test>"},
      {"reinject.daemon-name", "own"},
      {"reinject.retry-first", "10s"},
      {"reinject.retry-longest", "5m"},
      {"reinject.give-up", "2d"},
      {"scan", ""},
      {"scan.workers", "3"},
      {"scan.max-workers", "7"},
      {"scan.memory", "1G"},
      {"scan.program", folder + "/other-scan"},
      {"scan.max-depth", "8"},
      {"scan.max-size", "30M"},
      {"scan.max-total", "90M"},
      {"scan.max-members", "500"},
      {"scan.max-ratio", "90"},
      {"scan.max-text", "3M"},
      {"scan.timeout", "30s"},
      {"scan.metadata", "false"},
      {"scan.skip", "gif,mp3"},
      {"scan.only", ""},  // excludes skip
      {"archives", ""},
      {"archives.*.file", "/srv/named.mbox"},
      {"alerts", ""},
      {"alerts.*.mail", "a@x.test"},
      {"alerts.*.webhook", "https://h.test/x"},
      {"alerts.*.ca-file", folder + "/ca.pem"},
      {"alerts.*.events", "submit-down"},
      {"alerts.*.first-wait", "1s"},
      {"alerts.*.longest-wait", "1m"},
      {"flows[].accept", ""},
      {"flows[].accept.queries", ""},
      {"flows[].accept.queries[].query", "Legal.Legal"},
      {"flows[].accept.queries[].domains", "*"},
      {"flows[].accept.when-unavailable", "accept"},
      {"flows[].route", ""},
      {"flows[].route.table", folder + "/generics" + "," + folder + "/generics"},
      {"flows[].route.queries", ""},
      {"flows[].route.queries[].query", "other.to"},
      {"flows[].route.queries[].domains", "r.example"},
      {"ldap", ""},
      {"ldap.*.servers", "ldap://localhost:1389,ldaps://ldap.example.org"},
      {"ldap.*.mode", "load-balance"},
      {"ldap.*.base", "dc=example,dc=org"},
      {"ldap.*.starttls", "off"},
      {"ldap.*.trusted", folder + "/ca.pem"},
      {"ldap.*.certificate", folder + "/own.pem"},
      {"ldap.*.key", folder + "/own.key"},
      {"ldap.*.distrust", "issuer:CN=Bad"},
      {"ldap.*.bind-dn", "cn=postern,dc=example,dc=org"},
      {"ldap.*.secret-file", "/run/credentials/ldap"},
      {"ldap.*.sasl", ""},  // excludes bind-dn
      {"ldap.*.connections", "3"},
      {"ldap.*.connect-timeout", "4s"},
      {"ldap.*.timeout", "6s"},
      {"ldap.*.retry", "50s"},
      {"ldap.*.answer-size", "64k"},
      {"ldap.*.references", "ignore"},
      {"ldap.*.cache-size", "7"},
      {"ldap.*.cache-time", "8s"},
      {"ldap.*.negative-cache-time", "9s"},
      {"ldap.*.queries", ""},
      {"ldap.*.queries.*.filter", "(&(mail={a})(seeAlso={dn})(cn=\"x\"))"},
      {"ldap.*.queries.*.base", "ou={d},dc=example"},
      {"ldap.*.queries.*.scope", "one"},
      {"ldap.*.queries.*.address", "mailPrimary"},
      {"ldap.*.queries.*.name", "cn"},
      {"ldap.*.queries.*.host", "mailHost"},
      {"ldap.*.queries.*.login", "uid"},
      {"ldap.*.queries.*.dn-query", "who"},
      {"engines", ""},
      {"engines.*.type", "icap"},
      {"engines.*.servers", "unix:/run/icap.sock,[::1]:1344"},
      {"engines.*.connect-timeout", "4s"},
      {"engines.*.timeout", "6s"},
      {"engines.*.retry", "50s"},
      {"engines.*.max-size", "3M"},
      {"engines.*.too-large", "skip"},
      {"engines.*.service", "virus_scan"},
      {"engines.*.method", "reqmod"},
      {"flows[].inspect", "other,Legal"},
      {"group-query", ""},
      {"group-query[].query", "Legal.Legal"},
      {"group-query[].domains", "g.example"},
      {"masquerade", ""},
      {"masquerade.*.table", folder + "/generics"},
      {"masquerade.*.queries", ""},
      {"masquerade.*.queries[].query", "Legal.Legal"},
      {"masquerade.*.queries[].domains", "in.example,.in.example"},
      {"masquerade.*.envelope-sender", "false"},
      {"masquerade.*.headers", "From,Reply-To"},
      {"masquerade.*.domains", ".example"},
      {"masquerade.*.quarantine", "Legal"},
      {"quarantines", ""},
      {"quarantines.*.retention", "45d"},
      {"quarantines.*.size", "3G"},
      {"quarantines.*.default-action", "release"},
      {"limits.message-size", "20M"},
      {"limits.memory", "1G"},
      {"limits.spool-memory", "64k"},
      {"limits.header-size", "100k"},
      {"limits.header-count", "500"},
      {"limits.recipients", "77"},
      {"limits.mime-depth", "9"},
      {"limits.mime-parts", "99"},
      {"limits.addresses", "98"},
      {"limits.decoded-text", "5M"},
      {"regex.match-limit", "5000"},
      {"regex.depth-limit", "600"},
      {"regex.heap-limit", "1M"},
      {"regex.milliseconds", "7"},
      {"on-unknown.regex-limit", "tempfail"},
      {"on-unknown.unscannable", "match"},
      {"on-unknown.directory", "skip"},
      {"on-unknown.engine", "skip"},
      {"on-unknown.dns", "quarantine"},
      {"log.to", "file:" + folder + "/postern.log"},
      {"log.level", "debug"},
      {"log.rotate-size", "5M"},
      {"log.rotate-time", "7d"},
      {"log.keep", "3"},
      {"tracking.keep", "45d"},
  };
}

TEST_F(SettingsFile, EveryOptionRoundTripsAtAnotherValue) {
  std::filesystem::create_directory(folder_ / "other.d");
  write("other.d/10.yml", "filters: [{name: one, if: 'true', then: [no-op]}]\n");
  write("other.d/20.yml", "filters: [{name: two, if: 'true', then: [no-op]}]\n");
  std::filesystem::create_directory(folder_ / "words.d");
  write("words.d/names.txt", "Falcon,3\n");
  const std::string text =
      "hostname: gw7.example.net\nmta: sendmail\nlisten: {socket: 'inet:8891@127.0.0.1', mode: '0600', group: smmta}\n"
      "control: {socket: 'control''s \"socket\"', group: adm}\nuser: postern\ngroup: mail\n"
      "spool-directory: 'spool: #1'\nrules: [other.d/*.yml]\ndictionaries: [words.d/*]\n"
      "flows:\n  - name: out bound\n    when:\n      any:\n"
      "        - client: [10.0.0.0/8, 192.0.2.1, 192.0.2.5-9, '2001:db8::/32']\n"
      "        - {authenticated: true, daemon-name: [submission, smtps]}\n    filters: [one, 20.yml]\n"
      "    masquerade: Legal\n"
      "    accept: {queries: [{query: Legal.Legal, domains: '*'}], when-unavailable: accept}\n"
      "    route: {table: generics, queries: [{query: other.to, domains: R.example}]}\n"
      "    sign: [Legal]\n    inspect: [other, Legal]\n"
      "  - {name: rest, filters: none, route: {table: generics}}\n"
      "ldap:\n  Legal:\n    servers: [ldap://localhost:1389, ldaps://ldap.example.org]\n    mode: load-balance\n"
      "    base: dc=example,dc=org\n    starttls: off\n    trusted: ca.pem\n    certificate: own.pem\n    key: "
      "own.key\n    distrust: 'issuer:CN=Bad'\n"
      "    bind-dn: cn=postern,dc=example,dc=org\n    secret-file: /run/credentials/ldap\n    connections: 3\n"
      "    connect-timeout: 4s\n    timeout: 6s\n    retry: 50s\n    answer-size: 64k\n    references: ignore\n"
      "    cache-size: 7\n    cache-time: 8s\n    negative-cache-time: 9s\n    queries:\n"
      "      who: {filter: '(uid={u})'}\n"
      "      Legal: {filter: '(&(mail={a})(seeAlso={dn})(cn=\"x\"))', base: 'ou={d},dc=example', scope: one, dn-query: "
      "who,\n"
      "        address: mailPrimary, name: cn, host: mailHost, login: uid}\n"
      "  other: {servers: ['ldapi:///run/ldapi', 'ldaps://ldap.example.org'], key: 'fipsd:ldap.client', sasl: "
      "external, queries: {to: {filter: '(a={a})', address: m}}}\n"
      "engines:\n  Legal: {type: icap, servers: ['unix:/run/icap.sock', '[::1]:1344'], connect-timeout: 4s, timeout: "
      "6s,\n"
      "    retry: 50s, max-size: 3M, too-large: skip, service: virus_scan, method: reqmod}\n"
      "  other: {type: spamd, servers: 'localhost:783'}\n"
      "group-query: [{query: Legal.Legal, domains: g.example}]\n"
      "masquerade:\n  Legal: {table: generics, queries: [{query: Legal.Legal, domains: [In.example, .in.example]}],\n"
      "    envelope-sender: false, headers: [from, REPLY-TO], domains: .example, quarantine: Legal}\n"
      "keys: {socket: fipsd.sock, timeout: 7s}\n"
      "dkim:\n  Legal: {domain: B\u00fccher.example, keys: [{selector: r2026, key: dkim-r, type: rsa}, {selector: "
      "e2026, key: "
      "dkim-e}],\n    header: simple, body: simple, headers: [From, Subject, X-Ticket], oversign: [Subject], "
      "body-length: "
      "2048,\n    expiry: 7d, identity: list@mail.B\u00fccher.example, users: [Alice, '@B\u00fccher.example', "
      "Bob@b.example],\n    align: sender, when-unavailable: reject, eight-bit: keep}\n"
      "scan: {workers: 3, max-workers: 7, memory: 1G, program: other-scan, max-depth: 8, max-size: 30M, max-total: "
      "90M,\n"
      "  max-members: 500, max-ratio: 90, max-text: 3M, timeout: 30s, metadata: false, skip: [mp3, gif]}\n"
      "store: sqlite:/srv/postern.db\nstore-encryption: {key: store-2026}\nstate-directory: state\ntemplates: "
      "[texts.d/*.txt]\n"
      "reinject: {server: '[::1]:10026', tls: require, ca-file: ca.pem, timeout: 20s, from: 'Gate <gate@x.test>',\n"
      "  daemon-name: own, retry-first: 10s, retry-longest: 5m, give-up: 2d}\n"
      "archives: {Legal: {file: /srv/named.mbox}}\n"
      "alerts: {Legal: {mail: [a@x.test], webhook: 'https://h.test/x', ca-file: ca.pem, events: [submit-down],\n"
      "  first-wait: 1s, longest-wait: 1m}}\n"
      "quarantines: {Legal: {retention: 45d, size: 3G, default-action: release}}\n"
      "limits: {message-size: 20M, memory: 1G, spool-memory: 64k, header-size: 100k, header-count: 500, recipients: "
      "77,\n"
      "  mime-depth: 9, mime-parts: 99, addresses: 98, decoded-text: 5M}\n"
      "regex: {match-limit: 5000, depth-limit: 600, heap-limit: 1M, milliseconds: 7}\n"
      "on-unknown: {regex-limit: tempfail, unscannable: match, directory: skip, dns: quarantine, engine: skip}\n"
      "log: {to: 'file:postern.log', level: debug, rotate-size: 5M, rotate-time: 7d, keep: 3}\ntracking: {keep: 45d}\n";
  write("generics", "@in.example @example.org\n");
  const auto first = load_text(text);
  ASSERT_TRUE(first->generation) << first->text;
  const std::string dump = dump_settings(first->generation->settings);
  const auto values = flat(dump);
  const auto wanted = other_values(folder_.string());
  for (const config::OptionRow& row : option_table()) {
    const std::string path(row.path);
    ASSERT_TRUE(wanted.contains(path)) << path << ": a new option needs a value in this test";
    const std::string& value = wanted.at(path);
    if (value.empty()) continue;
    EXPECT_NE(value, row.default_value) << path;
    std::string filled = path;
    for (size_t star = filled.find('*'); star != std::string::npos; star = filled.find('*')) {
      filled.replace(star, 1, "Legal");
    }
    ASSERT_TRUE(values.contains(filled)) << filled << "\n" << dump;
    EXPECT_EQ(values.at(filled), value) << filled;
  }
  for (const auto& [path, value] : wanted) {
    if (path.starts_with("flows[].when.any[].")) {
      ASSERT_TRUE(values.contains(path)) << dump;
      EXPECT_EQ(values.at(path), value);
    }
  }

  write("dumped.yaml", dump);
  const auto second = load(folder_ / "dumped.yaml");
  ASSERT_TRUE(second->generation) << second->text << dump;
  EXPECT_EQ(dump_settings(second->generation->settings), dump);
  const Settings& a = first->generation->settings;
  const Settings& b = second->generation->settings;
  EXPECT_EQ(a.message_size_given, b.message_size_given);
  EXPECT_EQ(a.quarantines, b.quarantines);
  EXPECT_EQ(a.regex, b.regex);
  EXPECT_EQ(a.on_unknown, b.on_unknown);
  ASSERT_EQ(a.flows.size(), b.flows.size());
  for (size_t i = 0; i < a.flows.size(); ++i) {
    EXPECT_EQ(a.flows[i].filter_indexes, b.flows[i].filter_indexes);
    EXPECT_EQ(a.flows[i].all_filters, b.flows[i].all_filters);
  }
  EXPECT_THAT(a.flows[0].filter_indexes, ElementsAre(0, 1));
  EXPECT_THAT(a.flows[1].filter_indexes, IsEmpty());
  EXPECT_EQ(first->generation->rules->filters().size(), second->generation->rules->filters().size());
}

TEST_F(SettingsFile, MistakesAreShownWithTheirPlace) {
  struct Case {
    std::string_view text;
    std::string_view place;  // "line:column"
    std::string_view says;
    std::string_view hint = "";
  };
  const Case cases[] = {
      {"hostnam: x\n", "1:1", "unknown key 'hostnam'", "did you mean 'hostname'?"},
      {"limits: {message-sice: 5M}\n", "1:10", "unknown key 'message-sice'", "did you mean 'message-size'?"},
      {"xyzzy: 1\n", "1:1", "unknown key 'xyzzy'", "known here: hostname"},
      {"hostname: a\nhostname: b\n", "2:1", "duplicate key 'hostname'"},
      {"hostname: [a]\n", "1:11", "takes a single value"},
      {"hostname: a b\n", "1:11", "is no host name"},
      {"hostname: \"a\\nb\"\n", "1:11", "control characters"},
      {"hostname: \" a\"\n", "1:11", "blanks at the start"},
      {"mta: postfx\n", "1:6", "'postfx' is not allowed", "did you mean 'postfix'?"},
      {"mta: exim\n", "1:6", "'exim' is not allowed", "one of: postfix sendmail"},
      {"listen: 5\n", "1:9", "takes a map"},
      {"listen: {socket: 8891}\n", "1:18", "is no socket", "unix:PATH"},
      {"listen: {socket: 'inet:70000@127.0.0.1'}\n", "1:18", "is no socket"},
      {"listen: {socket: 'inet:8891'}\n", "1:18", "is no socket"},
      {"listen: {socket: 'unix:'}\n", "1:18", "a path is missing"},
      {"listen: {mode: 0888}\n", "1:16", "no mode for a socket"},
      {"listen: {mode: '0'}\n", "1:16", "no mode for a socket"},
      {"listen: {mode: '01777'}\n", "1:16", "no mode for a socket"},
      {"group: mail\n", "1:1", "'group' needs 'user'"},
      {"limits: {message-size: big}\n", "1:24", "'big' is not a size"},
      {"limits: {message-size: 0}\n", "1:24", "out of range", "from 1k"},
      {"limits: {message-size: 99999G}\n", "1:24", "out of range"},
      {"limits: {message-size: -1}\n", "1:24", "is not a size"},
      {"limits: {message-size: 1.5M}\n", "1:24", "is not a size"},
      {"limits: {mime-depth: 1M}\n", "1:22", "is not a number"},
      {"limits: {mime-depth: 010}\n", "1:22", "begins with 0"},
      {"limits: {mime-depth: 1000000}\n", "1:22", "out of range", "to 200"},
      {"limits: {recipients: }\nx: 1\n", "2:1", "unknown key"},
      {"store: /srv/postern.db\n", "1:8", "must begin with sqlite: or postgresql:", "sqlite:/var/lib/postern"},
      {"store: 'sqlite:postern.db'\n", "1:8", "absolute path"},
      {"store-encryption: {key: a}\n", "1:1", "nothing to encrypt without 'store'", "sqlite:/var/lib/postern"},
      {"store: sqlite:/s.db\nstore-encryption: {}\n", "2:1", "needs 'key'", "RSA key in fipsd"},
      {"store: sqlite:/s.db\nstore-encryption: {key: 'a b'}\n", "2:25", "no name of a key"},
      {"store: sqlite:/s.db\nstore-encryption: {key: -a}\n", "2:25", "no name of a key"},
      {"store: sqlite:/s.db\nstore-encryption: {key: a, keys: b}\n", "2:28", "keys", "key"},
      {"store: sqlite:/s.db\nstore-encryption: yes\n", "2:19", "map"},
      {"quarantines: {P: {retention: 30}}\n", "1:30", "is not a time"},
      {"quarantines: {P: {retention: 30d, colour: red}}\n", "1:35", "unknown key 'colour'", "known here: retention"},
      {"quarantines: {P: 30d}\n", "1:18", "a quarantine is a map"},
      {"quarantines: [P]\n", "1:14", "takes a map"},
      {"keys: {timeout: 0s}\n", "1:17", "out of range", "from 1s to 30s"},
      {"dkim: {P: 5}\n", "1:11", "a DKIM profile is a map"},
      {"dkim: {P: }\n", "1:8", "a DKIM profile is a map"},
      {"dkim: {P: {keys: [{selector: s, key: k}]}}\n", "1:8", "the DKIM profile 'P' has no domain"},
      {"dkim: {P: {domain: a.example}}\n", "1:8", "the DKIM profile 'P' has no keys", "keys: [{selector"},
      {"dkim: {P: {domain: a.example, keys: []}}\n", "1:37", "has no keys"},
      {"dkim: {P: {domain: a.example, keys: [r]}}\n", "1:38", "a key is a map"},
      {"dkim: {P: {domain: a.example, keys: [{key: k}]}}\n", "1:38", "a key needs a selector"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s}]}}\n", "1:38", "a key needs 'key'"},
      {"dkim: {P: {domain: a.example, keys: [{selector: 's s', key: k}]}}\n", "1:49", "'s s' is no selector"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k, type: dsa}]}}\n", "1:66", "'dsa' is not allowed"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k, file: f}]}}\n", "1:60", "unknown key 'file'"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}, {selector: s, key: l}]}}\n", "1:72",
       "the selector 's' stands here twice"},
      {"dkim: {P: {domain: a_b..example, keys: [{selector: s, key: k}]}}\n", "1:20", "is no domain name"},
      {"dkim: {P: {domain: a.example, selector: s, keys: [{selector: s, key: k}]}}\n", "1:31",
       "unknown key 'selector'"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], headers: [Subject]}}\n", "1:71",
       "From must be signed"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], oversign: ['a b']}}\n", "1:73",
       "is no name of a header field"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], oversign: ['a;b']}}\n", "1:73",
       "is no name of a header field"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], oversign: [Received]}}\n", "1:73",
       "is changed on the way"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], oversign: [To, to]}}\n", "1:77",
       "'to' stands here twice"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], identity: '@b.example'}}\n", "1:72",
       "'b.example' is neither 'a.example' nor below it"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], identity: alice}}\n", "1:72", "is no identity"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], users: []}}\n", "1:69",
       "an empty list would sign for everyone"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], expiry: 5}}\n", "1:70", "is not a time"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}]}}\nflows: [{name: f, sign: [Q]}]\n", "2:26",
       "there is no DKIM profile called 'Q'", "did you mean 'P'?"},
      {"flows: [{name: f, sign: [Q]}]\n", "1:26", "there is no DKIM profile called 'Q'", "profiles stand under 'dkim'"},
      {"dkim: {P: {domain: a.example, keys: [{selector: s, key: k}]}}\nflows: [{name: f, sign: [P, P]}]\n", "2:29",
       "the DKIM profile 'P' stands here twice"},
      {"ldap: {p: {queries: {q: {filter: '(a={a})'}}}}\n", "1:8", "an LDAP profile needs 1 to 20 servers",
       "for example servers:"},
      {"ldap: {p: {servers: [], queries: {q: {filter: '(a={a})'}}}}\n", "1:21",
       "an LDAP profile needs 1 to 20 servers"},
      {"ldap: {p: {servers: [http://x], queries: {q: {filter: '(a={a})'}}}}\n", "1:22", "is no LDAP server"},
      {"ldap: {p: {servers: ldaps://x}}\n", "1:8", "an LDAP profile needs 1 to 200 queries"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={b})'}}}}\n", "1:54", "no LDAP filter: {a}, {u}"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {}}}}\n", "1:42", "a query needs 'filter'"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={dn})'}}}}\n", "1:45", "{dn} needs 'dn-query'"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={dn})', dn-query: q}}}}\n", "1:76",
       "is no query of this profile"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={a})', base: 'x{a}'}}}}\n", "1:71",
       "no distinguished name"},
      {"ldap: {p: {servers: ldaps://x, certificate: c, queries: {q: {filter: '(a={a})'}}}}\n", "1:32",
       "'certificate' and 'key' go together"},
      {"ldap: {p: {servers: ldaps://x, bind-dn: c, queries: {q: {filter: '(a={a})'}}}}\n", "1:32",
       "'bind-dn' and 'secret-file' go together"},
      {"ldap: {p: {servers: ldap://x, starttls: off, bind-dn: c, secret-file: s, queries: {q: {filter: '(a={a})'}}}}\n",
       "1:46", "would go to ldap://x in clear"},
      {"ldap: {p q: {servers: ldaps://x, queries: {q: {filter: '(a={a})'}}}}\n", "1:8", "a profile's name is letters"},
      {"masquerade: {m: {}}\n", "1:14", "has neither 'table' nor 'queries'"},
      {"masquerade: {m: {table: none}}\n", "1:25", "No such file"},
      {"masquerade: {m: {queries: a.b}}\n", "1:27", "there is no LDAP query 'a.b'", "PROFILE.QUERY"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={a})'}}}}\nmasquerade: {m: {queries: p.q}}\n", "2:27",
       "has neither 'address' nor 'name'"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={a})', address: m}}}}\nmasquerade: {m: {queries: "
       "p.Q}}\n",
       "2:27", "there is no LDAP query 'p.Q'", "did you mean 'p.q'?"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={g})', address: m}}}}\nmasquerade: {m: {queries: "
       "p.q}}\n",
       "2:27", "{g} is known only to a group query"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={a})', address: m}}}}\nmasquerade: {m: {queries: p.q, "
       "headers: [Subject]}}\n",
       "2:42", "'Subject' is no field that is masqueraded"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={a})', address: m}}}}\nmasquerade: {m: {queries: p.q, "
       "quarantine: Q}}\n",
       "2:44", "there is no quarantine 'Q'"},
      {"ldap: {p: {servers: ldaps://x, queries: {q: {filter: '(a={a})', address: m}}}}\nmasquerade: {m: {queries: p.q, "
       "domains: ['a b']}}\n",
       "2:42", "'a b' is no domain"},
      {"flows: [{name: f, masquerade: [m]}]\n", "1:32", "there is no masquerade profile 'm'"},
      {"on-unknown: {dns: maybe}\n", "1:19", "'maybe' is not allowed"},
      {"log: {to: printer}\n", "1:11", "no log target"},
      {"log: {to: 'file:'}\n", "1:11", "no log target"},
      {"log: {level: verbose}\n", "1:14", "is not allowed"},
      {"rules: {a: b}\n", "1:8", "takes a list"},
      {"rules: [missing.yaml]\n", "1:9", "there is no rule file"},
      {"rules: ['']\n", "1:9", "single value"},
      {"rules: [[a]]\n", "1:9", "single value"},
      {"flows: inbound\n", "1:8", "takes a list"},
      {"flows: []\n", "1:8", "takes a list"},
      {"flows: [inbound]\n", "1:9", "a flow is a map"},
      {"flows: [{when: {authenticated: true}}, {name: x}]\n", "1:9", "has no name"},
      {"flows: [{name: }]\n", "1:9", "has no name"},
      {"flows: [{name: ''}]\n", "1:16", "1 to 100 printable"},
      {"flows: [{name: a}, {name: a}]\n", "1:27", "two flows called 'a'"},
      {"flows: [{name: a, wen: {}}]\n", "1:19", "unknown key 'wen'", "did you mean 'when'?"},
      {"flows: [{name: a, when: {}}]\n", "1:25", "an empty condition"},
      {"flows: [{name: a, when: }]\n", "1:19", "an empty condition"},
      {"flows: [{name: a, when: {client: []}}]\n", "1:34", "an empty condition"},
      {"flows: [{name: a, when: {daemon-name: []}}]\n", "1:39", "an empty condition"},
      {"flows: [{name: a, when: {any: []}}]\n", "1:31", "takes a list of maps"},
      {"flows: [{name: a, when: {any: [{}]}}]\n", "1:32", "an empty condition"},
      {"flows: [{name: a, when: {any: [{any: [{authenticated: true}]}]}}]\n", "1:33", "stands once"},
      {"flows: [{name: a, when: {client: [10.0.0.0/8], any: [{client: [10.1.0.0/16]}]}}]\n", "1:48", "beside 'any'"},
      {"flows: [{name: a, when: {client: [10.0.0.999]}}]\n", "1:35", ""},
      {"flows: [{name: a, when: {client: [mail.example.org]}}]\n", "1:35", ""},
      {"flows: [{name: a, when: {authenticated: yes}}]\n", "1:41", "true or false"},
      {"flows: [{name: a, when: {authenticated: 'true'}}]\n", "1:41", "true or false"},
      {"flows: [{name: a, filters: some}]\n", "1:28", "all, none or a list"},
      {"flows: [{name: a, filters: [nosuch]}]\n", "1:29", "no filter or rule file called 'nosuch'"},
      {"- a\n", "1:1", "a map of keys"},
      {"just words\n", "1:1", "a map of keys"},
  };
  for (const Case& c : cases) {
    const auto loaded = load_text(std::string(c.text));
    EXPECT_FALSE(loaded->generation) << c.text;
    EXPECT_THAT(loaded->text, HasSubstr("/postern.yaml:" + std::string(c.place) + ": error: ")) << c.text;
    EXPECT_THAT(loaded->text, HasSubstr(std::string(c.says))) << c.text;
    EXPECT_THAT(loaded->text, HasSubstr(std::string(c.hint))) << c.text;
    EXPECT_EQ(loaded->diagnostics.error_count(), 1u) << c.text << loaded->text;
  }
}

TEST_F(SettingsFile, FiveMistakesAreFiveMessages) {
  const auto loaded = load_text(
      "hostnam: mx.example.org\n"
      "limits:\n"
      "  message-size: huge\n"
      "  mime-depth: 5000\n"
      "flows:\n"
      "\t- name: in\n");
  // A tab makes the file unreadable as YAML, so that is the only thing that can be said.
  EXPECT_EQ(loaded->diagnostics.error_count(), 1u) << loaded->text;
  const auto five = load_text(
      "hostnam: mx.example.org\n"
      "limits:\n"
      "  message-size: huge\n"
      "  mime-depth: 5000\n"
      "  mime-depth: 5\n"
      "flows:\n"
      "  - name: in\n"
      "    when: {authenticated: maybe}\n"
      "  - name: rest\n");
  EXPECT_FALSE(five->generation);
  const std::string file = (folder_ / "postern.yaml").string();
  EXPECT_EQ(five->text,
            file +
                ":1:1: error: unknown key 'hostnam'\n  hostnam: mx.example.org\n  ^~~~~~~\n"
                "  hint: did you mean 'hostname'?\n" +
                file +
                ":3:17: error: 'huge' is not a size such as 50M\n    message-size: huge\n                  ^~~~\n" +
                file +
                ":4:15: error: 5000 is out of range\n    mime-depth: 5000\n                ^~~~\n"
                "  hint: from 1 to 200\n" +
                file +
                ":5:3: error: duplicate key 'mime-depth'\n    mime-depth: 5\n    ^~~~~~~~~~\n"
                "  hint: the first one is in line 4\n" +
                file +
                ":8:27: error: this takes true or false\n      when: {authenticated: maybe}\n"
                "                            ^~~~~\n");
}

TEST_F(SettingsFile, MistakesOfAllFilesComeTogether) {
  write("rules.d/10.yaml", "filters: [{name: a, if: subjct == \"x\", then: [no-op]}]\n");
  write("rules.d/20.yaml", "filters: [{name: b\n");
  write("rules.d/30.yaml", "filters: [{name: c, if: 'true', then: [fly]}]\n");
  const auto loaded = load_text("limits: {memory: 1}\nflows: [{name: in}]\n");
  EXPECT_FALSE(loaded->generation);
  EXPECT_EQ(loaded->diagnostics.error_count(), 4u) << loaded->text;
  for (const std::string place : {"postern.yaml:1:18: error", "rules.d/10.yaml:1:25: error",
                                  "rules.d/20.yaml:1:11: error", "rules.d/30.yaml:1:40: error"}) {
    EXPECT_THAT(loaded->text, HasSubstr(place));
  }
}

TEST_F(SettingsFile, Dictionaries) {
  std::filesystem::create_directories(folder_ / "dictionaries.d/folder");
  write("dictionaries.d/names.txt", "%charset iso-8859-1\nM\xFCller,3\n*credit\n");
  write("dictionaries.d/codes.yaml", "entries: [{regex: 'AB-\\d{4}', weight: 2}]\n");
  write("rules.d/10.yaml",
        "filters: [{name: a, if: 'dictionary-match(\"names\") and dictionary-match(\"codes\")', then: [no-op]}]\n");
  const auto good = load_text("hostname: mx.example.org\n");
  ASSERT_TRUE(good->generation) << good->text;
  EXPECT_EQ(good->text, "");
  ASSERT_EQ(good->generation->rules->dictionaries().size(), 2u);
  for (const auto& dictionary : good->generation->rules->dictionaries()) EXPECT_FALSE(dictionary->entries().empty());
  // A reload must notice that one of these changed.
  EXPECT_EQ(std::ranges::count_if(good->generation->files,
                                  [](const std::string& file) { return file.find("dictionaries.d") != file.npos; }),
            2);

  write("dictionaries.d/notes.md", "nothing\n");
  EXPECT_THAT(load_text("")->text, HasSubstr("a dictionary's file ends in .txt, .yaml or .yml"));
  write("dictionaries.d/names.yaml", "entries: [a]\n");
  const auto twice = load_text("");
  EXPECT_FALSE(twice->generation);
  EXPECT_EQ(twice->diagnostics.error_count(), 1u) << twice->text;
  EXPECT_THAT(twice->text, HasSubstr("there are two dictionaries called 'names'"));
  std::filesystem::remove(folder_ / "dictionaries.d/names.yaml");
  write("dictionaries.d/codes.yaml", "entries: [{regex: 'AB-('}]\n");
  const auto wrong = load_text("");
  EXPECT_FALSE(wrong->generation);
  EXPECT_EQ(wrong->diagnostics.error_count(), 1u) << wrong->text;  // not also the rule that names it
  EXPECT_THAT(wrong->text, HasSubstr("codes.yaml:1:24: error"));
  EXPECT_THAT(load_text("dictionaries: [none.txt]\n")->text, HasSubstr("there is no dictionary file"));
}

TEST_F(SettingsFile, FilesThatCannotBeRead) {
  const auto missing = load(folder_ / "none.yaml");
  EXPECT_FALSE(missing->generation);
  EXPECT_THAT(missing->text, HasSubstr("none.yaml: error: cannot open"));
  EXPECT_FALSE(load(folder_.string())->generation);
}

TEST_F(SettingsFile, MailOfOurOwn) {
  const auto loaded = load_text(
      "store: sqlite:/var/lib/postern/postern.db\n"
      "reinject: {server: '[::1]:10026', tls: require, ca-file: ca.pem, timeout: 20s, from: 'Gate <gate@x.test>',\n"
      "  daemon-name: own, retry-first: 10s, retry-longest: 5m, give-up: 2d}\n"
      "archives: {plain: {}, named: {file: /srv/named.mbox}}\n"
      "state-directory: state\n"
      "alerts: {ops: {mail: [a@x.test], webhook: 'https://h.test/x', events: [submit-down], first-wait: 1s, "
      "longest-wait: 1m}}\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  const Settings& settings = loaded->generation->settings;
  EXPECT_EQ(settings.reinject.smtp.host, "::1");
  EXPECT_EQ(settings.reinject.smtp.port, 10026);
  EXPECT_EQ(settings.reinject.smtp.tls, submit::SmtpTls::require);
  EXPECT_EQ(settings.reinject.smtp.timeout, 20u);
  EXPECT_EQ(settings.reinject.daemon_name, "own");
  EXPECT_EQ(settings.reinject.retry_longest, 300u);
  EXPECT_EQ(settings.reinject.give_up, 2 * 86400u);
  EXPECT_TRUE(settings.archives.at("plain").ends_with("/state/archive/plain.mbox"));
  EXPECT_EQ(settings.archives.at("named"), "/srv/named.mbox");
  ASSERT_EQ(settings.alerts.size(), 1u);
  EXPECT_EQ(settings.alerts[0].events, std::vector<std::string>{"submit-down"});
  EXPECT_EQ(settings.alerts[0].longest_wait, 60u);
  const std::string dumped = dump_settings(settings);
  const auto again = load_text(dumped);
  ASSERT_TRUE(again->generation) << again->text << dumped;
  EXPECT_EQ(dump_settings(again->generation->settings), dumped);
}

TEST_F(SettingsFile, EnginesThatCannotBeMeantAreErrors) {
  const std::pair<const char*, const char*> cases[] = {
      {"engines: {a: {type: clamd}}", "an engine needs 1 to 20 servers"},
      {"engines: {a: {servers: 'h:1'}}", "an engine needs a type"},
      {"engines: {a: {type: sophos, servers: 'h:1'}}", "clamd"},
      {"engines: {a: {type: clamd, servers: 'h'}}", "'h' is no server: unix:PATH or HOST:PORT is expected"},
      {"engines: {a: {type: clamd, servers: ['h:1', 'h:1']}}", "this server stands here twice"},
      {"engines: {a: {type: clamd, servers: 'h:1', service: x}}", "'service' is for type: icap"},
      {"engines: {a: {type: icap, servers: 'h:1', service: 'a b'}}", "'a b' is no name of an ICAP service"},
      {"engines: {'a b': {type: clamd, servers: 'h:1'}}", "an engine's name is letters"},
      {"engines: {a: x}", "an engine is a map"},
      {"engines: {clam: {type: clamd, servers: 'h:1'}}\nflows: [{name: f, inspect: [clm]}]", "did you mean 'clam'?"},
      {"engines: {a: {type: clamd, servers: 'h:1'}}\nflows: [{name: f, inspect: [a, a]}]",
       "this engine stands here twice"},
      {"flows: [{name: f, inspect: x}]", "there is no engine called 'x'"}};
  for (const auto& [text, wanted] : cases) {
    const auto loaded = load_text(std::string(text) + "\n");
    EXPECT_FALSE(loaded->generation) << text;
    EXPECT_THAT(loaded->text, HasSubstr(wanted)) << text;
  }
  const auto unused = load_text("engines: {a: {type: clamd, servers: 'unix:clamd.sock'}}\n");
  ASSERT_TRUE(unused->generation);
  EXPECT_THAT(unused->text, HasSubstr("no flow asks this engine"));
  EXPECT_EQ(unused->generation->settings.engines[0].servers[0].endpoint.path, folder_ / "clamd.sock");
}

TEST_F(SettingsFile, StagesOfLaterVersionsAreNamed) {
  for (const std::string key : {"encryption", "smime"}) {
    const auto loaded = load_text(key + ": {a: 1}\n");
    EXPECT_FALSE(loaded->generation);
    EXPECT_EQ(loaded->diagnostics.error_count(), 1u) << loaded->text;
    EXPECT_THAT(loaded->text, HasSubstr("1:1: error: '" + key + "' is not available in this version of Postern"));
  }
  for (const std::string key : {"verify", "dlp", "encrypt"}) {
    const auto loaded = load_text("flows: [{name: a, " + key + ": [x]}]\n");
    EXPECT_FALSE(loaded->generation);
    EXPECT_EQ(loaded->diagnostics.error_count(), 1u) << loaded->text;
    EXPECT_THAT(loaded->text, HasSubstr("'" + key + "' is not available in this version of Postern"));
  }
  EXPECT_TRUE(load_text("scan: {}\n")->generation);
  EXPECT_TRUE(load_text("scan:\n")->generation);
}

TEST_F(SettingsFile, DkimProfilesThatMayNotBeMeantWarn) {
  const auto loaded = load_text(
      "dkim: {P: {domain: a.example, keys: [{selector: s, key: k}], body-length: 0},\n"
      "  Q: {domain: a.example, keys: [{selector: s, key: k}]}}\nflows: [{name: f, sign: P}]\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  EXPECT_EQ(loaded->diagnostics.all().size(), 2u) << loaded->text;
  EXPECT_THAT(loaded->text, HasSubstr("1:75: warning: with 'body-length' anyone can add text to a signed message"));
  EXPECT_THAT(loaded->text, HasSubstr("2:3: warning: no flow signs with this profile"));
  EXPECT_THAT(loaded->generation->settings.flows[0].sign, ElementsAre(0));
  const auto sendmail = load_text(
      "mta: sendmail\ndkim: {P: {domain: a.example, keys: [{selector: s, key: k}], header: simple}}\n"
      "flows: [{name: f, sign: P}]\n");
  EXPECT_EQ(sendmail->diagnostics.all().size(), 1u) << sendmail->text;
  EXPECT_THAT(sendmail->text, HasSubstr("2:70: warning: Sendmail folds long lists of addresses anew"));
}

TEST_F(SettingsFile, QuarantineOptionsWarn) {
  const auto loaded =
      load_text("quarantines: {Policy: {retention: 30d, size: 10G, default-action: release}, Legal: }\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  EXPECT_THAT(loaded->generation->settings.quarantines, ElementsAre("Policy", "Legal"));
  EXPECT_EQ(loaded->diagnostics.all().size(), 3u) << loaded->text;
  for (const std::string key : {"retention", "size", "default-action"}) {
    EXPECT_THAT(loaded->text,
                HasSubstr("warning: '" + key + "' has no effect without 'store': the MTA's hold queue has no such"));
  }
}

TEST_F(SettingsFile, QuarantinesHavePoliciesForTheStore) {
  const auto loaded = load_text(
      "store: sqlite:/srv/postern.db\n"
      "quarantines: {Policy: {retention: 3d, size: 1G, default-action: release}, Legal: }\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  EXPECT_EQ(loaded->text, "");
  const store::Policies& policies = loaded->generation->settings.policies;
  ASSERT_EQ(policies.size(), 2u);
  EXPECT_EQ(policies.at("Policy").retention, 3 * 86400);
  EXPECT_EQ(policies.at("Policy").size, 1u << 30);
  EXPECT_TRUE(policies.at("Policy").release_at_end);
  EXPECT_EQ(policies.at("Legal").retention, 30 * 86400);
  EXPECT_EQ(policies.at("Legal").size, uint64_t{10} << 30);
  EXPECT_FALSE(policies.at("Legal").release_at_end);
}

TEST_F(SettingsFile, KeyMaterialIsIgnored) {
  const auto loaded = load_text(
      "hostname: a.example\nprivate-key: |\n  -----BEGIN RSA PRIVATE KEY-----\n  MIIEowIBAAKCAQEAv1\n"
      "  -----END RSA PRIVATE KEY-----\nmta: postfix\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  EXPECT_EQ(loaded->diagnostics.all().size(), 1u) << loaded->text;
  EXPECT_THAT(loaded->text, HasSubstr("warning: a private key stands here; it is ignored"));
  EXPECT_THAT(dump_settings(loaded->generation->settings), Not(HasSubstr("MII")));
}

TEST_F(SettingsFile, KeyMaterialIsNotShown) {
  const auto loaded =
      load_text("key: {x: \"-----BEGIN RSA PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA\\n-----END RSA PRIVATE KEY-----\"}\n");
  EXPECT_FALSE(loaded->generation);
  EXPECT_THAT(loaded->text, HasSubstr("unknown key 'key'"));
  EXPECT_THAT(loaded->text, Not(HasSubstr("MII")));
}

TEST_F(SettingsFile, AFolderIsNoRuleFile) {
  const auto loaded = load_text("rules: [rules.d]\n");
  EXPECT_FALSE(loaded->generation) << "its files would be left out without a word";
  EXPECT_THAT(loaded->text, HasSubstr("rules.d is not a regular file"));
}

TEST_F(SettingsFile, RuleFilesInOrderOfTheirNames) {
  std::filesystem::create_directory(folder_ / "a[1]");
  std::filesystem::create_directory(folder_ / "a[1]" / "rules.d");
  std::filesystem::create_directory(folder_ / "a[1]" / "rules.d" / "folder.yaml");
  for (const std::string name : {"20", "10", "9"}) {
    write("a[1]/rules.d/" + name + ".yaml", "filters: [{name: f" + name + ", if: 'true', then: [no-op]}]\n");
  }
  write("a[1]/15.yaml", "filters: [{name: f15, if: 'true', then: [no-op]}]\n");
  write("a[1]/postern.yaml", "rules: [rules.d/*.yaml, 15.yaml, rules.d/10.yaml]\n");
  const auto loaded = load(folder_ / "a[1]" / "postern.yaml");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  std::vector<std::string> names;
  for (const auto& filter : loaded->generation->rules->filters()) names.push_back(filter.name);
  EXPECT_THAT(names, ElementsAre("f10", "f15", "f20", "f9"));
  EXPECT_EQ(loaded->generation->files.size(), 5u);
  // The dump's patterns find the same files from anywhere.
  write("dumped.yaml", dump_settings(loaded->generation->settings));
  const auto again = load(folder_ / "dumped.yaml");
  ASSERT_TRUE(again->generation) << again->text;
  EXPECT_EQ(again->generation->rules->filters().size(), 4u);
}

TEST_F(SettingsFile, PatternWithoutFilesWarnsOnlyWhenItIsWritten) {
  EXPECT_EQ(load_text("")->text, "");
  const auto loaded = load_text("rules: [rules.d/*.yaml]\n");
  EXPECT_TRUE(loaded->generation);
  EXPECT_THAT(loaded->text, HasSubstr("1:9: warning: no file matches "));
}

TEST_F(SettingsFile, FiltersOfAFlow) {
  write("rules.d/10-a.yaml",
        "filters:\n  - {name: one, if: 'true', then: [no-op]}\n  - {name: two, if: 'true', then: [no-op]}\n");
  write("rules.d/20-b.yaml", "filters:\n  - {name: three, flows: [out], if: 'true', then: [no-op]}\n");
  const auto loaded = load_text(
      "flows:\n  - {name: in, filters: [20-b.yaml, one, rules.d/10-a.yaml]}\n  - {name: out, filters: [two, two]}\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  EXPECT_THAT(loaded->generation->settings.flows[0].filter_indexes, ElementsAre(0, 1, 2));
  EXPECT_THAT(loaded->generation->settings.flows[1].filter_indexes, ElementsAre(1));
  EXPECT_THAT(loaded->text, HasSubstr("warning: no message reaches the flow 'out'"));
  const auto odd = load_text("flows:\n  - {name: in, filters: [three]}\n  - {name: out}\n");
  EXPECT_TRUE(odd->generation);
  EXPECT_THAT(odd->text, HasSubstr("it never runs here"));
  const auto near = load_text("flows: [{name: in, filters: [tow]}, {name: out}]\n");
  EXPECT_THAT(near->text, HasSubstr("hint: did you mean 'two'?"));
}

TEST_F(SettingsFile, FlowsWithoutACatchAllWarn) {
  const auto loaded = load_text("flows: [{name: a, when: {authenticated: true}}]\n");
  ASSERT_TRUE(loaded->generation);
  EXPECT_THAT(loaded->text, HasSubstr("warning: mail that none of the flows takes passes without any filter"));
}

TEST_F(SettingsFile, MemoryTooSmallForTheLargestMessageWarns) {
  for (const std::string limits : {"memory: 90M", "message-size: 300M", "memory: 100M, message-size: 51M"}) {
    const auto loaded = load_text("limits: {" + limits + "}\n");
    ASSERT_TRUE(loaded->generation) << loaded->text;
    EXPECT_THAT(loaded->text, HasSubstr("it would be deferred for ever")) << limits;
  }
  for (const std::string limits : {"memory: 100M", "message-size: 256M", "memory: 1M, message-size: 400k"}) {
    EXPECT_THAT(load_text("limits: {" + limits + "}\n")->text, Not(HasSubstr("deferred for ever"))) << limits;
  }
}

TEST_F(SettingsFile, ChoosesTheFirstFlowThatHolds) {
  const auto loaded = load_text(
      "flows:\n"
      "  - name: relay\n    when: {client: [192.0.2.0/28, 2001:db8::1], daemon-name: [relay]}\n"
      "  - name: outbound\n    when: {any: [{client: [127.0.0.0/8, '::1', 10.1.2.3-9]}, {authenticated: true}]}\n"
      "  - name: anonymous\n    when: {authenticated: false, daemon-name: [submission]}\n"
      "  - name: branch\n    when: {daemon-name: [branch], any: [{client: [198.51.100.0/24]}, {authenticated: true}]}\n"
      "  - name: inbound\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  struct Case {
    std::string_view ip;
    std::string_view daemon;
    std::string_view user;
    std::string_view flow;
  };
  constexpr Case kCases[] = {
      {"192.0.2.15", "relay", "", "relay"},
      {"192.0.2.16", "relay", "", "inbound"},
      {"192.0.2.15", "other", "", "inbound"},
      {"192.0.2.15", "", "", "inbound"},
      {"2001:db8::1", "relay", "", "relay"},
      {"2001:db8::2", "relay", "", "inbound"},
      {"127.0.0.1", "", "", "outbound"},
      {"::ffff:127.0.0.1", "", "", "outbound"},
      {"::1", "", "", "outbound"},
      {"10.1.2.9", "", "", "outbound"},
      {"10.1.2.10", "", "", "inbound"},
      {"203.0.113.9", "", "ann", "outbound"},
      {"203.0.113.9", "submission", "", "anonymous"},
      {"198.51.100.7", "branch", "", "branch"},
      {"198.51.100.7", "", "", "inbound"},
      {"not-an-ip", "", "", "inbound"},
      {"", "", "", "inbound"},
  };
  for (const Case& c : kCases) {
    message::Connection connection;
    message::Envelope envelope;
    if (!c.ip.empty()) connection.client_ip = c.ip;
    if (!c.daemon.empty()) connection.daemon_name = c.daemon;
    if (!c.user.empty()) envelope.auth_user = c.user;
    const Flow* flow = choose_flow(loaded->generation->settings, connection, envelope);
    ASSERT_NE(flow, nullptr);
    EXPECT_EQ(flow->name, c.flow) << c.ip << " " << c.daemon << " " << c.user;
  }
  Settings none = loaded->generation->settings;
  none.flows.pop_back();
  EXPECT_EQ(choose_flow(none, {}, {}), nullptr);
}

TEST_F(SettingsFile, RelativePathsAreRelativeToTheFile) {
  const auto loaded = load_text(
      "listen: {socket: 'unix:run/m.sock'}\ncontrol: {socket: c.sock}\nspool-directory: spool\nlog: {to: "
      "'file:l.log'}\n");
  ASSERT_TRUE(loaded->generation) << loaded->text;
  const Settings& settings = loaded->generation->settings;
  const std::string folder = folder_.string();
  EXPECT_EQ(settings.listen.socket, "unix:" + folder + "/run/m.sock");
  EXPECT_EQ(settings.control_socket, folder + "/c.sock");
  EXPECT_EQ(settings.spool_directory, folder + "/spool");
  EXPECT_EQ(settings.log.to, "file:" + folder + "/l.log");
  const auto far = load_text("listen: {socket: unix:" + std::string(120, 'x') +
                             "}\ncontrol: {socket: " + std::string(120, 'y') + "}\n");
  EXPECT_EQ(far->diagnostics.error_count(), 2u) << far->text;
  EXPECT_THAT(far->text, HasSubstr("107 bytes at most"));
}

TEST_F(SettingsFile, WorldWritableSocketWarns) {
  const auto loaded = load_text("listen: {mode: '0666'}\n");
  ASSERT_TRUE(loaded->generation);
  EXPECT_THAT(loaded->text, HasSubstr("warning: every user of this machine"));
}

TEST(SettingsTable, HasDocsAndIsFoundAgain) {
  std::set<std::string_view> paths;
  for (const config::OptionRow& row : option_table()) {
    EXPECT_TRUE(paths.insert(row.path).second) << row.path;
    EXPECT_TRUE(row.doc.ends_with('.')) << row.path;
    EXPECT_EQ(config::find_option(option_table(), row.path), &row);
    const bool words = !row.choices.empty() && row.choices != config::kOrText;
    EXPECT_EQ(row.type == config::OptionType::choice, words) << row.path;
    EXPECT_LE(row.minimum, row.maximum);
  }
}

TEST(SettingsSchema, IsWhatIsShipped) {
  const std::string schema = settings_schema();
  EXPECT_TRUE(schema == read_file(POSTERN_SOURCE_DIR "/conf/postern.schema.json"))
      << "conf/postern.schema.json differs from the option table: write it again by `postern schema postern`";
  const auto json = nlohmann::json::parse(schema);
  EXPECT_EQ(json["$schema"], "https://json-schema.org/draft/2020-12/schema");
  for (const config::OptionRow& row : option_table()) {
    const nlohmann::json* at = &json;
    for (std::string_view segment : base::split(row.path, '.')) {
      const bool list = segment.ends_with("[]");
      if (list) segment.remove_suffix(2);
      at = segment == "*" ? &at->at("additionalProperties") : &at->at("properties").at(std::string(segment));
      if (list) at = &at->at("items");
    }
    EXPECT_THAT(at->at("description").get<std::string>(), HasSubstr(std::string(row.doc))) << row.path;
  }
}

TEST(Samples, LoadWithoutAWordAndFitTheSchema) {
  const auto schema = nlohmann::json::parse(settings_schema());
  size_t samples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(POSTERN_SOURCE_DIR "/conf")) {
    if (!entry.is_directory()) continue;
    ++samples;
    const auto loaded = load(entry.path() / "postern.yaml");
    ASSERT_TRUE(loaded->generation) << loaded->text;
    EXPECT_EQ(loaded->text, "");
    const bool filters = !loaded->generation->settings.rules.empty();
    EXPECT_GE(loaded->generation->rules->filters().size(), filters ? 4u : 0u) << entry.path();
    config::Sources sources;
    config::Diagnostics diagnostics(sources);
    const auto node = config::parse_yaml(sources, *sources.add_file(entry.path() / "postern.yaml"), diagnostics);
    ASSERT_TRUE(node);
    EXPECT_TRUE(fits(schema, *node)) << entry.path();
  }
  EXPECT_EQ(samples, 3u);
}

}  // namespace
}  // namespace postern::milter

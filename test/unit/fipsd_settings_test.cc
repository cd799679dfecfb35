// SPDX-License-Identifier: Apache-2.0
// fipsd.yaml: defaults and every option driven by the option table, all mistakes in one go with their carets, the dump
// that loads to itself, the sample and the JSON Schema that are shipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "keystore/protocol/protocol.h"
#include "keystore/settings.h"
#include "test/support/option_check.h"

namespace postern::keystore {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testsupport::fits;
using testsupport::flat;
using testsupport::read_file;

struct Loaded {
  config::Sources sources;
  config::Diagnostics diagnostics{sources};
  std::optional<FipsdSettings> settings;
  std::string text;
};

std::unique_ptr<Loaded> read(const std::string& text, const std::string& path = "/etc/fipsd/fipsd.yaml") {
  auto loaded = std::make_unique<Loaded>();
  const uint32_t source = loaded->sources.add_text(path, text);
  loaded->settings = read_fipsd_settings(loaded->sources, source, loaded->diagnostics);
  loaded->text = loaded->diagnostics.render();
  return loaded;
}

TEST(FipsdSettings, AnEmptyFileMakesAWorkingDaemon) {
  for (const std::string text : {"", "# nothing\n", "---\n", "sockets:\nrights:\ntoken:\naudit:\nlog:\n",
                                 "sockets: {milter: , officer: {}}\n"}) {
    const auto loaded = read(text);
    ASSERT_TRUE(loaded->settings) << text << loaded->text;
    EXPECT_EQ(loaded->text, "");
    const FipsdSettings& settings = *loaded->settings;
    EXPECT_EQ(settings.state_directory, "/var/lib/fipsd");
    EXPECT_EQ(settings.token.module, "/usr/lib/softhsm/libsofthsm2.so");
    EXPECT_EQ(settings.token.softhsm_directory, "/var/lib/fipsd/tokens");
    EXPECT_EQ(settings.token.scratch, "/var/lib/fipsd");
    EXPECT_EQ(settings.audit.directory, "/var/lib/fipsd/audit");
    EXPECT_EQ(settings.fips, FipsPolicy::permissive);
    ASSERT_EQ(settings.sockets.size(), 3u);
    EXPECT_THAT(settings.socket("milter")->paths, ElementsAre("/run/fipsd/milter.sock"));
    EXPECT_EQ(settings.socket("milter")->group, "postern");
    EXPECT_THAT(settings.socket("postfix")->paths,
                ElementsAre("/run/fipsd/postfix.sock", "/var/spool/postfix/run/fipsd/postfix.sock"));
    EXPECT_EQ(settings.socket("postfix")->group, "postfix");
    EXPECT_EQ(settings.socket("postfix")->mode, 0660u);
    EXPECT_THAT(settings.socket("officer")->paths, ElementsAre("/run/fipsd/officer.sock"));
    EXPECT_EQ(settings.socket("officer")->mode, 0600u);
    EXPECT_EQ(settings.socket("nobody"), nullptr);
    ASSERT_EQ(settings.rights.size(), 3u);
    EXPECT_EQ(uses_text(settings.rights[0].uses), "dkim,smime,tls-client,ldap");
    EXPECT_EQ(settings.rights[0].operations, 3);
    EXPECT_EQ(uses_text(settings.rights[1].uses), "smime");
    EXPECT_EQ(settings.rights[1].operations, 4);
    EXPECT_EQ(uses_text(settings.rights[2].uses), "tls-server,tls-client");
    EXPECT_EQ(settings.rights[2].operations, 3);
    EXPECT_EQ(settings.log.to, "journal");
  }
}

TEST(FipsdSettings, DefaultsAreThoseOfTheTable) {
  const auto dumped = flat(dump_fipsd_settings(*read("sockets: {x: {paths: [/x]}}\nrights: []\n")->settings));
  for (const config::OptionRow& row : fipsd_option_table()) {
    const std::string path(row.path);
    if (row.default_value.empty() || path == "sockets" || path.starts_with("rights")) continue;
    std::string name = path;
    if (name.starts_with("sockets.*")) name.replace(8, 1, "x");
    EXPECT_EQ(dumped.at(name), row.default_value) << path;
  }
}

constexpr std::string_view kEverything = R"yaml(
state-directory: 'state: #1'
user: fipsd
group: keys
credential: secret
token: {module: modules/x.so, label: "two \"words\"", serial: 0123abcd, softhsm-directory: hsm}
fips: strict
certificate-number: "#4711 (overall level 3)"
sockets:
  milter: {paths: [a.sock, /b.sock], mode: "0600", group: mail, users: [root, postern], rate: 500, connections: 7}
  postfix: {paths: []}
  web-1: {paths: /w.sock}
rights:
  - {socket: web-1, keys: ["w*", "s?"], uses: [smime, tls-server], allow: [decrypt, sign]}
  - {socket: milter, allow: describe}
workers: 3
queue: 9
officer-idle: 90s
audit: {directory: records, segment: 1M, reserve: 100k, keep: 5}
log: {to: 'file:fipsd.log', level: debug}
)yaml";

TEST(FipsdSettings, EveryOptionRoundTripsAtAnotherValue) {
  const auto first = read(std::string(kEverything));
  ASSERT_TRUE(first->settings) << first->text;
  EXPECT_EQ(first->text, "");
  const std::string dump = dump_fipsd_settings(*first->settings);
  const auto again = read(dump, "/somewhere/else.yaml");
  ASSERT_TRUE(again->settings) << again->text << dump;
  EXPECT_EQ(dump_fipsd_settings(*again->settings), dump);
  const std::map<std::string, std::string> wanted = {
      {"state-directory", "/etc/fipsd/state: #1"},
      {"user", "fipsd"},
      {"group", "keys"},
      {"credential", "/etc/fipsd/secret"},
      {"token.module", "/etc/fipsd/modules/x.so"},
      {"token.label", "two \"words\""},
      {"token.serial", "0123abcd"},
      {"token.softhsm-directory", "/etc/fipsd/hsm"},
      {"fips", "strict"},
      {"certificate-number", "#4711 (overall level 3)"},
      {"sockets.milter.paths", "/etc/fipsd/a.sock,/b.sock"},
      {"sockets.milter.mode", "0600"},
      {"sockets.milter.group", "mail"},
      {"sockets.milter.users", "root,postern"},
      {"sockets.milter.rate", "500"},
      {"sockets.milter.connections", "7"},
      {"sockets.web-1.paths", "/w.sock"},
      {"rights[].socket", "web-1,milter"},
      {"rights[].keys", "w*,s?,*"},
      {"rights[].uses", "smime,tls-server,dkim,smime,tls-server,tls-client,ldap"},
      {"rights[].allow", "sign,decrypt,describe"},
      {"workers", "3"},
      {"queue", "9"},
      {"officer-idle", "90s"},
      {"audit.directory", "/etc/fipsd/records"},
      {"audit.segment", "1M"},
      {"audit.reserve", "100k"},
      {"audit.keep", "5"},
      {"log.to", "file:/etc/fipsd/fipsd.log"},
      {"log.level", "debug"},
  };
  const auto values = flat(dump);
  for (const auto& [path, value] : wanted) EXPECT_EQ(values.contains(path) ? values.at(path) : "-", value) << path;
  EXPECT_FALSE(values.contains("sockets.postfix.paths"));
  EXPECT_THAT(again->settings->socket("postfix")->paths, IsEmpty());
  // No row of the table is left out above.
  for (const config::OptionRow& row : fipsd_option_table()) {
    std::string path(row.path);
    if (path == "sockets" || path == "rights") continue;
    if (path.starts_with("sockets.*")) path.replace(8, 1, "milter");
    EXPECT_TRUE(wanted.contains(path)) << path;
  }
}

TEST(FipsdSettings, OtherModulesFindTheirOwnTokens) {
  EXPECT_EQ(read("token: {module: /opt/hsm/libhsm.so}\n")->settings->token.softhsm_directory, "");
  EXPECT_EQ(read("token: {softhsm-directory: ''}\n")->settings->token.softhsm_directory, "");
  EXPECT_EQ(read("state-directory: /s\n")->settings->token.softhsm_directory, "/s/tokens");
  EXPECT_EQ(read("state-directory: /s\n")->settings->audit.directory, "/s/audit");
  const auto dumped = read(dump_fipsd_settings(*read("token: {softhsm-directory: ''}\n")->settings));
  EXPECT_EQ(dumped->settings->token.softhsm_directory, "");
}

TEST(FipsdSettings, EveryMistakeIsShownInOneGo) {
  const auto loaded = read(R"(state-directory: ""
stat-directory: /x
group: keys
fips: stricter
certificate-number: [a]
token: {label: "", serial: 01234567890123456, modul: x}
sockets:
  Milter: {paths: [/a]}
  web: {mode: "0660"}
  officer: {paths: []}
  postfix: {mode: "0460", rate: 0, connections: none, users: [" x"], path: /x}
  milter: nothing
rights:
  - {socket: milter}
  - {socket: milte, allow: [sing]}
  - {socket: milter, keys: [a/b], uses: [], allow: [describe]}
  - {keys: [], allow: []}
  - sign
workers: 0
queue: 010
officer-idle: 10
audit: {segment: 64k, reserve: 33k, keep: 1}
log: {to: nowhere, level: loud}
workers: 2
)");
  EXPECT_FALSE(loaded->settings);
  EXPECT_EQ(loaded->text, R"text(/etc/fipsd/fipsd.yaml:1:18: error: a path is missing after 'state-directory'
  state-directory: ""
                   ^~
/etc/fipsd/fipsd.yaml:2:1: error: unknown key 'stat-directory'
  stat-directory: /x
  ^~~~~~~~~~~~~~
  hint: did you mean 'state-directory'?
/etc/fipsd/fipsd.yaml:3:1: error: 'group' needs 'user'
  group: keys
  ^~~~~
  hint: say whom fipsd becomes after start
/etc/fipsd/fipsd.yaml:4:7: error: 'stricter' is not allowed here
  fips: stricter
        ^~~~~~~~
  hint: did you mean 'strict'?
/etc/fipsd/fipsd.yaml:5:21: error: 'certificate-number' takes a single value
  certificate-number: [a]
                      ^
/etc/fipsd/fipsd.yaml:6:16: error: a token has a label
  token: {label: "", serial: 01234567890123456, modul: x}
                 ^~
/etc/fipsd/fipsd.yaml:6:28: error: 'serial' has at most 16 printable characters
  token: {label: "", serial: 01234567890123456, modul: x}
                             ^~~~~~~~~~~~~~~~~
/etc/fipsd/fipsd.yaml:6:47: error: unknown key 'modul'
  token: {label: "", serial: 01234567890123456, modul: x}
                                                ^~~~~
  hint: did you mean 'module'?
/etc/fipsd/fipsd.yaml:8:3: error: the name of a socket class is 1 to 32 small letters, digits, '-' and '_'
    Milter: {paths: [/a]}
    ^~~~~~
  hint: it begins with a letter
/etc/fipsd/fipsd.yaml:9:3: error: the socket class 'web' has no 'paths'
    web: {mode: "0660"}
    ^~~
/etc/fipsd/fipsd.yaml:10:3: error: without an officer socket nobody could manage keys
    officer: {paths: []}
    ^~~~~~~
/etc/fipsd/fipsd.yaml:11:19: error: '0460' is no mode for a socket
    postfix: {mode: "0460", rate: 0, connections: none, users: [" x"], path: /x}
                    ^~~~~~
  hint: octal digits, for example "0660"
/etc/fipsd/fipsd.yaml:11:33: error: 0 is out of range
    postfix: {mode: "0460", rate: 0, connections: none, users: [" x"], path: /x}
                                  ^
  hint: from 1 to 10000000, or unlimited
/etc/fipsd/fipsd.yaml:11:49: error: 'none' is not a number
    postfix: {mode: "0460", rate: 0, connections: none, users: [" x"], path: /x}
                                                  ^~~~
/etc/fipsd/fipsd.yaml:11:63: error: this is no user's name
    postfix: {mode: "0460", rate: 0, connections: none, users: [" x"], path: /x}
                                                                ^~~~
/etc/fipsd/fipsd.yaml:11:70: error: unknown key 'path'
    postfix: {mode: "0460", rate: 0, connections: none, users: [" x"], path: /x}
                                                                       ^~~~
  hint: did you mean 'paths'?
/etc/fipsd/fipsd.yaml:12:11: error: a socket class is a map of keys, for example {paths: [/run/fipsd/NAME.sock]}
    milter: nothing
            ^~~~~~~
/etc/fipsd/fipsd.yaml:14:5: error: this right does not say what it allows
    - {socket: milter}
      ^
  hint: allow: [describe, sign]
/etc/fipsd/fipsd.yaml:15:14: error: there is no socket class called 'milte'
    - {socket: milte, allow: [sing]}
               ^~~~~
  hint: did you mean 'milter'?
/etc/fipsd/fipsd.yaml:15:29: error: 'sing' is not allowed here
    - {socket: milte, allow: [sing]}
                              ^~~~
  hint: did you mean 'sign'?
/etc/fipsd/fipsd.yaml:16:29: error: this cannot be a key's name or a pattern of names
    - {socket: milter, keys: [a/b], uses: [], allow: [describe]}
                              ^~~
  hint: letters, digits, '.', '_', '-', and * or ?
/etc/fipsd/fipsd.yaml:16:41: error: this list must not be empty
    - {socket: milter, keys: [a/b], uses: [], allow: [describe]}
                                          ^
/etc/fipsd/fipsd.yaml:17:5: error: this right does not say for which 'socket'
    - {keys: [], allow: []}
      ^
/etc/fipsd/fipsd.yaml:17:12: error: a right for no key allows nothing
    - {keys: [], allow: []}
             ^
  hint: remove the right
/etc/fipsd/fipsd.yaml:17:23: error: this list must not be empty
    - {keys: [], allow: []}
                        ^
/etc/fipsd/fipsd.yaml:18:5: error: a right is a map with 'socket' and 'allow'
    - sign
      ^~~~
/etc/fipsd/fipsd.yaml:19:10: error: 0 is out of range
  workers: 0
           ^
  hint: from 1 to 256, or auto
/etc/fipsd/fipsd.yaml:20:8: error: a number that begins with 0 is octal to some and decimal to others
  queue: 010
         ^~~
  hint: write it without the 0
/etc/fipsd/fipsd.yaml:21:15: error: '10' is not a time such as 30s or 5d
  officer-idle: 10
                ^~
/etc/fipsd/fipsd.yaml:22:32: error: the reserve may take half of a segment at most
  audit: {segment: 64k, reserve: 33k, keep: 1}
                                 ^~~
/etc/fipsd/fipsd.yaml:22:43: error: 1 is out of range
  audit: {segment: 64k, reserve: 33k, keep: 1}
                                            ^
  hint: from 2 to 1000000, or all
/etc/fipsd/fipsd.yaml:23:11: error: 'nowhere' is no log target
  log: {to: nowhere, level: loud}
            ^~~~~~~
  hint: journal, syslog, stderr or file:PATH
/etc/fipsd/fipsd.yaml:23:27: error: 'loud' is not allowed here
  log: {to: nowhere, level: loud}
                            ^~~~
  hint: one of: error warning info debug
/etc/fipsd/fipsd.yaml:24:1: error: duplicate key 'workers'
  workers: 2
  ^~~~~~~
  hint: the first one is in line 19
)text");
}

TEST(FipsdSettings, SocketsAreToldApart) {
  EXPECT_THAT(read("sockets: {web: {paths: [/run/fipsd/milter.sock]}}\n")->text,
              HasSubstr("two sockets have the path /run/fipsd/milter.sock"));
  EXPECT_THAT(read("sockets: {officer: {paths: [/a, /a]}}\n")->text, HasSubstr("two sockets have the path /a"));
  EXPECT_THAT(read("sockets: {officer: {paths: [/" + std::string(107, 'x') + "]}}\n")->text, HasSubstr("107 bytes"));
  const auto open = read("sockets: {milter: {mode: '0666'}}\n");
  EXPECT_TRUE(open->settings);
  EXPECT_THAT(open->text, HasSubstr("every user of this machine may speak to a socket of mode 0666"));
}

TEST(FipsdSettings, DecryptionForUsesThatNeverDecryptIsPointedOut) {
  const auto loaded = read("rights: [{socket: milter, uses: [dkim], allow: [decrypt]}]\n");
  EXPECT_TRUE(loaded->settings);
  EXPECT_THAT(loaded->text, HasSubstr("warning: only smime keys decrypt"));
}

TEST(FipsdSettings, KeyMaterialIsLeftOut) {
  const auto loaded = read(
      "certificate-number: |\n  -----BEGIN PRIVATE KEY-----\n  MC4CAQAwBQYDK2VwBCIEIA\n  -----END PRIVATE KEY-----\n"
      "fips: strict\n");
  ASSERT_TRUE(loaded->settings) << loaded->text;
  EXPECT_THAT(loaded->text, HasSubstr("warning"));
  EXPECT_THAT(loaded->text, testing::Not(HasSubstr("MC4CAQ")));
  EXPECT_EQ(loaded->settings->certificate_number, "");
  EXPECT_EQ(loaded->settings->fips, FipsPolicy::strict);
}

TEST(FipsdSettings, AFileThatCannotBeReadIsAnErrorLikeOthers) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  EXPECT_FALSE(load_fipsd_settings("/nowhere/fipsd.yaml", sources, diagnostics));
  EXPECT_THAT(diagnostics.render(), HasSubstr("/nowhere/fipsd.yaml"));
}

TEST(FipsdTable, IsSound) {
  std::set<std::string_view> paths;
  for (const config::OptionRow& row : fipsd_option_table()) {
    EXPECT_TRUE(paths.insert(row.path).second) << row.path;
    EXPECT_TRUE(row.doc.ends_with('.')) << row.path;
    EXPECT_EQ(config::find_option(fipsd_option_table(), row.path), &row);
    EXPECT_LE(row.minimum, row.maximum);
  }
}

TEST(FipsdSchema, IsWhatIsShipped) {
  EXPECT_TRUE(fipsd_schema() == read_file(POSTERN_SOURCE_DIR "/conf/fipsd.schema.json"))
      << "conf/fipsd.schema.json differs from the option table: write it again by `fipsconfig schema`";
}

bool fits_schema(const std::string& text) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  const auto node = config::parse_yaml(sources, sources.add_text("x", text), diagnostics);
  return node && (node->kind == config::NodeKind::null || fits(nlohmann::json::parse(fipsd_schema()), *node));
}

TEST(FipsdSample, LoadsWithoutAWordAndItsCommentsAreTheDefaults) {
  const std::string sample = read_file(POSTERN_SOURCE_DIR "/conf/fipsd.yaml");
  ASSERT_FALSE(sample.empty());
  const auto plain = read(sample);
  ASSERT_TRUE(plain->settings) << plain->text;
  EXPECT_EQ(plain->text, "");
  std::string active;
  for (const std::string_view line : base::split(sample, '\n')) {
    const bool option = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    const bool below = line.starts_with("#  ");
    if (option || below) active += std::string(line.substr(1)) + "\n";
  }
  const auto full = read(active);
  ASSERT_TRUE(full->settings) << full->text << active;
  EXPECT_EQ(full->text, "");
  EXPECT_EQ(dump_fipsd_settings(*full->settings), dump_fipsd_settings(*read("")->settings));
  EXPECT_TRUE(fits_schema(sample));
  EXPECT_TRUE(fits_schema(active));
  EXPECT_TRUE(fits_schema(dump_fipsd_settings(*read("")->settings)));
  EXPECT_TRUE(fits_schema(std::string(kEverything)));
  EXPECT_FALSE(fits_schema("workers: some\n"));
  EXPECT_FALSE(fits_schema("rights: [{socket: milter, allow: [everything]}]\n"));
}

}  // namespace
}  // namespace postern::keystore

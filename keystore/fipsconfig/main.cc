// SPDX-License-Identifier: Apache-2.0
// fipsconfig: the officer's and operator's command. This file reads the command line and nothing else; each command's
// work is in its own file.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>

#include "engine/base/privilege.h"
#include "keystore/fipsconfig/commands.h"

namespace postern::keystore::fipsconfig {
namespace {

constexpr auto kNameHelp = "name of the key or certificate";

// Commands adds subcommands; each callback leaves its exit status.
class Commands {
 public:
  Commands(CLI::App& app, int& status) : app_(app), status_(status) {}

  CLI::App* group(const std::string& name, const std::string& help) {
    group_ = app_.add_subcommand(name, help);
    group_->require_subcommand(1);
    return group_;
  }
  CLI::App* top(const std::string& name, const std::string& help, std::function<int()> work) {
    return add(app_, name, help, std::move(work));
  }
  CLI::App* add(const std::string& name, const std::string& help, std::function<int()> work) {
    return add(*group_, name, help, std::move(work));
  }

 private:
  CLI::App* add(CLI::App& parent, const std::string& name, const std::string& help, std::function<int()> work) {
    CLI::App* command = parent.add_subcommand(name, help);
    command->callback([this, work = std::move(work)] { status_ = work(); });
    return command;
  }
  CLI::App& app_;
  int& status_;
  CLI::App* group_ = nullptr;
};

void add_json(CLI::App* command, bool& json) { command->add_flag("--json", json, "machine-readable output"); }

struct Options {
  Common common;
  CheckOptions check;
  SelfTestOptions selftest;
  DnsOptions dns;
  NewKeyOptions key;
  SubjectOptions subject;
  AuditQuery audit;
  std::string name;
  std::string file;
  std::string entry;
  bool json = false;
  bool yes = false;
};

void add_common(CLI::App& app, Options& o) {
  app.add_option("-c,--config", o.common.config, "fipsd's configuration file")
      ->capture_default_str()
      ->each([&o](const std::string&) { o.common.config_given = true; });
  app.add_option("--socket", o.common.socket, "fipsd's officer socket (default: as the configuration says)");
  app.add_option("--password-fd", o.common.password_fd,
                 "read the officer password, and after it further secrets, from this descriptor, one a line")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--backup-password-fd", o.common.backup_password_fd, "read a backup's password from this descriptor")
      ->check(CLI::Range(0, 1 << 20));
  app.add_flag("--last-attempt", o.common.last_attempt, "log in also when a wrong password would destroy all keys");
}

void add_whole(Commands& commands, Options& o) {
  CLI::App* command = commands.top("check", "load the configuration and print all errors",
                                   [&o] { return run_check(o.common, o.check); });
  command->add_flag("--dump", o.check.dump, "print the effective configuration, which loads to itself");
  add_json(command, o.check.json);
  commands.top("schema", "print a JSON Schema of fipsd.yaml for editors", [] { return run_schema(); });
  command = commands.top("status", "state, token, policy, keys without backup, what expires, what is not approved",
                         [&o] { return run_status(o.common, o.json); });
  add_json(command, o.json);
  commands.top("init", "make fipsd ready: erase the token and set the officer password",
               [&o] { return run_init(o.common); });
  commands.top("passwd", "change the officer password", [&o] { return run_passwd(o.common); });
  command = commands.top("backup", "write all keys that may leave the token to an encrypted file",
                         [&o] { return run_backup(o.common, o.file); });
  command->add_option("file", o.file, "the backup file to write")->required();
  command = commands.top("restore", "bring the keys of a backup back, all or none",
                         [&o] { return run_restore(o.common, o.file); });
  command->add_option("file", o.file, "the backup file")->required();
  command = commands.top("zeroise", "destroy all keys and certificates", [&o] { return run_zeroise(o.common, o.yes); });
  command->add_flag("--yes", o.yes, "do not ask");
  command = commands.top("selftest", "run the self-tests", [&o] { return run_selftest(o.common, o.selftest); });
  command->add_flag("--clear-error", o.selftest.clear_error, "leave the state error when all pass");
  add_json(command, o.selftest.json);
}

void add_new_key(CLI::App* command, Options& o) {
  command->add_option("name", o.key.name, kNameHelp)->required();
  command->add_option("--use", o.key.use, "what the key is for: a list of dkim, smime, tls-server, tls-client, ldap")
      ->required();
  command->add_flag("--no-backup", o.key.no_backup, "the key never leaves the token, not even into a backup");
  add_json(command, o.key.json);
}

void add_keys(Commands& commands, Options& o) {
  commands.group("key", "keys");
  CLI::App* command = commands.add("list", "all keys", [&o] { return run_key_list(o.common, o.json); });
  add_json(command, o.json);
  command = commands.add("show", "everything about one key or certificate",
                         [&o] { return run_key_show(o.common, o.name, o.json); });
  command->add_option("name", o.name, kNameHelp)->required();
  add_json(command, o.json);
  command = commands.add("reference", "a PEM file that stands for a key where OpenSSL wants one, as in Postfix",
                         [&o] { return run_key_reference(o.common, o.name); });
  command->add_option("name", o.name, kNameHelp)->required();
  command = commands.add("dnstxt", "the DNS record that publishes a DKIM key",
                         [&o] { return run_key_dnstxt(o.common, o.dns); });
  command->add_option("name", o.dns.name, kNameHelp)->required();
  command->add_option("--selector", o.dns.selector, "selector, for a whole line of a zone file");
  command->add_option("--domain", o.dns.domain, "domain, for a whole line of a zone file");
  add_json(command, o.dns.json);
  command = commands.add("generate", "make a key in the token", [&o] { return run_key_generate(o.common, o.key); });
  add_new_key(command, o);
  command->add_option("--type", o.key.type, "rsa, p256, p384 or ed25519")->capture_default_str();
  command->add_option("--bits", o.key.bits, "length of an RSA key (default 2048)");
  command = commands.add("import", "bring a key from a PEM or PKCS#12 file into the token",
                         [&o] { return run_key_import(o.common, o.key); });
  add_new_key(command, o);
  command->add_option("file", o.key.file, "the key file")->required();
  command =
      commands.add("destroy", "destroy a key for ever", [&o] { return run_key_destroy(o.common, o.name, o.yes); });
  command->add_option("name", o.name, kNameHelp)->required();
  command->add_flag("--yes", o.yes, "do not ask");
}

void add_subject(CLI::App* command, Options& o) {
  command->add_option("name", o.subject.name, "name of the key")->required();
  command->add_option("--subject", o.subject.subject, "distinguished name, as in CN=mx.example.org,O=Example")
      ->required();
  command->add_option("--names", o.subject.names, "host names and addresses, separated by commas");
  command->add_option("-o,--out", o.subject.out, "write to this file");
}

void add_certificates(Commands& commands, Options& o) {
  commands.group("cert", "certificates");
  CLI::App* command =
      commands.add("list", "all certificates and when they expire", [&o] { return run_cert_list(o.common, o.json); });
  add_json(command, o.json);
  command = commands.add("export", "the certificate chain kept under a name, as PEM",
                         [&o] { return run_cert_export(o.common, o.name, o.json); });
  command->add_option("name", o.name, kNameHelp)->required();
  add_json(command, o.json);
  command =
      commands.add("csr", "a certificate signing request, as PEM", [&o] { return run_cert_csr(o.common, o.subject); });
  add_subject(command, o);
  command = commands.add("self-sign", "a certificate for tests, signed by the key itself and kept with it",
                         [&o] { return run_cert_self_sign(o.common, o.subject); });
  add_subject(command, o);
  command->add_option("--days", o.subject.days, "how long it is valid")->capture_default_str();
  command = commands.add("import", "keep a certificate chain, with the key of that name where there is one",
                         [&o] { return run_cert_import(o.common, o.name, o.file); });
  command->add_option("name", o.name, kNameHelp)->required();
  command->add_option("file", o.file, "PEM chain, leaf first, or one certificate in DER")->required();
  command = commands.add("drop", "forget the certificate of a name", [&o] { return run_cert_drop(o.common, o.name); });
  command->add_option("name", o.name, kNameHelp)->required();

  commands.group("distrust", "keys and authorities that are never trusted");
  constexpr auto kEntryHelp = "spki:HEX, issuer:NAME or serial:HEX:ISSUER";
  command = commands.add("add", "trust this no more", [&o] { return run_distrust_change(o.common, o.entry, true); });
  command->add_option("entry", o.entry, kEntryHelp)->required();
  command =
      commands.add("remove", "take it off the list", [&o] { return run_distrust_change(o.common, o.entry, false); });
  command->add_option("entry", o.entry, kEntryHelp)->required();
  command = commands.add("list", "the whole list", [&o] { return run_distrust_list(o.common, o.json); });
  add_json(command, o.json);
}

void add_audit(Commands& commands, Options& o) {
  commands.group("audit", "the audit log");
  CLI::App* command = commands.add("show", "records by number", [&o] { return run_audit_show(o.common, o.audit); });
  command->add_option("--from", o.audit.from, "first record (default: the oldest)");
  command->add_option("--to", o.audit.to, "last record (default: the newest)");
  add_json(command, o.audit.json);
  command = commands.add("tail", "the newest records", [&o] { return run_audit_tail(o.common, o.audit); });
  command->add_option("-n", o.audit.count, "how many")->capture_default_str();
  command->add_flag("-f,--follow", o.audit.follow, "go on with new ones as they come");
  add_json(command, o.audit.json);
  command = commands.add("verify", "check that no record was changed, removed or put in",
                         [&o] { return run_audit_verify(o.common, o.audit); });
  command->add_option("--file", o.audit.files, "check these files instead, oldest first");
  add_json(command, o.audit.json);
}

int run(int argc, char** argv) {
  CLI::App app("fipsconfig, the front end to Postern's key helper fipsd", "fipsconfig");
  app.set_version_flag("--version", std::string("fipsconfig ") + POSTERN_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("fipsconfig COMMAND --help explains each command; fipsconfig(8), fipsd(8) and fipsd.yaml(5) the rest.");
  int status = kDone;
  Options options;
  Commands commands(app, status);
  add_common(app, options);
  add_whole(commands, options);
  add_keys(commands, options);
  add_certificates(commands, options);
  add_audit(commands, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (std::fflush(stdout) != 0) return kTemporary;
  return status;
}

}  // namespace
}  // namespace postern::keystore::fipsconfig

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  // Passwords pass through here: no core file, and nobody of the same user looks on.
  if (const auto hardened = postern::base::harden_process(); !hardened) {
    std::fprintf(stderr, "fipsconfig: %s\n", hardened.error().text().c_str());
    return 70;
  }
  try {
    return postern::keystore::fipsconfig::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fipsconfig: %s\n", error.what());
    return 70;
  }
}

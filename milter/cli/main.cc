// SPDX-License-Identifier: Apache-2.0
// postern: the mail administrator's command. This file reads the command line and nothing else; each subcommand's work
// is in its own file. No subcommand starts another program.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>

#include "milter/cli/commands.h"
#include "milter/version.h"

namespace postern::cli {

namespace {
void add_config(CLI::App* command, std::string& config) {
  command->add_option("-c,--config", config, "the daemon's configuration file")->capture_default_str();
}

void add_json(CLI::App* command, bool& json) { command->add_flag("--json", json, "machine-readable output"); }

// add_quarantine adds the subcommand with subcommands of its own; the one that was asked for is in options.command.
void add_quarantine(CLI::App& app, QuarantineOptions& options, int& status) {
  CLI::App* group = app.add_subcommand("quarantine", "messages in quarantine: list, look at, release, delete, forward");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* text) {
    CLI::App* command = group->add_subcommand(name, text);
    add_config(command, options.config);
    command->callback([&options, &status, name] {
      options.command = name;
      status = run_quarantine(options);
    });
    return command;
  };
  const auto add_ids = [&](CLI::App* command, bool several) {
    auto* ids = command->add_option("id", options.ids, "number of the message, as in the list")->required();
    if (!several) ids->expected(1);
  };
  CLI::App* command = add("list", "messages in quarantine, oldest first");
  command->add_option("--quarantine", options.quarantine, "only of this quarantine");
  command->add_option("--from", options.from, "only with this text in the sender or the From field");
  command->add_option("--to", options.to, "only with this text in a recipient");
  command->add_option("--subject", options.subject, "only with this text in the Subject");
  command->add_option("--message-id", options.message_id, "only with this text in the Message-ID");
  command->add_option("--mid", options.mid, "only of this MID");
  command->add_option("--filter", options.filter, "only put there by this filter");
  command->add_option("--older-than", options.older_than, "only kept longer than this, as 7d");
  command->add_option("--newer-than", options.newer_than, "only kept for less than this");
  command->add_flag("--all", options.all, "also what was released or deleted in the last 30 days");
  command->add_option("--after", options.after, "only with a higher number than this");
  command->add_option("--limit", options.limit, "at most so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  add_json(command, options.json);
  command = add("show", "all that is known of one message");
  add_ids(command, false);
  add_json(command, options.json);
  command = add("view", "the message itself, as it would be delivered");
  add_ids(command, false);
  command->add_option("--out", options.out, "write it to this new file");
  command = add("release", "let messages go; what no quarantine holds any more is delivered");
  add_ids(command, true);
  command->add_option("--quarantine", options.quarantine, "only from this quarantine (default: from all)");
  add_ids(add("delete", "delete messages from all quarantines; they are not delivered"), true);
  command = add("forward", "send a copy of a message to somebody; it stays in quarantine");
  add_ids(command, false);
  command->add_option("--to", options.recipients, "recipient, repeatable")->required()->allow_extra_args(false);
  command->add_option("--from", options.sender, "envelope sender")->capture_default_str();
  add_ids(add("hold", "keep messages from expiring"), true);
  add_ids(add("unhold", "let messages expire again"), true);
  add_json(add("stats", "how much each quarantine holds"), options.json);
}

void add_findevent(CLI::App& app, FindEventOptions& options, int& status) {
  CLI::App* command = app.add_subcommand("findevent", "what became of messages: every line of the log about them");
  add_config(command, options.config);
  command->add_option("--from", options.from, "of this sender or From: an address, or text anywhere in it");
  command->add_option("--to", options.to, "to this recipient: an address, or text anywhere in it");
  command->add_option("--subject", options.subject, "with this text in the Subject");
  command->add_option("--message-id", options.message_id, "with this Message-ID");
  command->add_option("--mid", options.mid, "with this MID");
  command->add_option("--queue-id", options.queue_id, "with this queue id of the MTA");
  command->add_option("--filter", options.filter, "that this filter matched, or could not judge");
  command->add_option("--verdict", options.verdict, "that ended so")
      ->check(CLI::IsMember({"accept", "reject", "tempfail", "discard", "quarantine", "aborted", "generated",
                             "submitted", "archived", "failed"}));
  command->add_option("--since", options.since, "begun after this: 2026-01-31, '2026-01-31 12:00', or an age, as 2h");
  command->add_option("--until", options.until, "begun before this");
  command->add_flag("-i", options.fold, "upper and lower case are the same");
  command->add_option("--limit", options.limit, "at most so many messages, the newest")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  command->add_flag("--follow", options.follow, "go on with what comes, until interrupted");
  command->add_option("--log", options.logs, "look in this log file, - for standard input, repeatable")
      ->allow_extra_args(false);
  add_json(command, options.json);
  command->callback([&options, &status] { status = run_findevent(options); });
}

int run(int argc, char** argv) {
  CLI::App app("Postern, a mail-policy gateway for Postfix and Sendmail", "postern");
  app.set_version_flag("--version", std::string("postern ") + std::string(milter::kVersion));
  app.require_subcommand(1);
  app.footer("postern COMMAND --help explains each command; postern(1) and postern.yaml(5) explain the rest.");

  int status = kDone;

  CheckOptions check;
  CLI::App* command = app.add_subcommand("check", "load the configuration and every rule file, and print all errors");
  add_config(command, check.config);
  command->add_flag("--dump", check.dump, "print the effective configuration, which loads to itself");
  add_json(command, check.json);
  command->callback([&] { status = run_check(check); });

  ScanOptions scan;
  command = app.add_subcommand("scan", "what content scanning finds in files and messages, one row a thing");
  command->add_option("-c,--config", scan.config, "take the limits from this configuration");
  add_json(command, scan.json);
  command->add_flag("--text", scan.text, "print the text that is found, as UTF-8");
  command->add_option("file", scan.files, "files, - for standard input")->required();
  command->callback([&] { status = run_scan(scan); });

  TraceOptions trace;
  command = app.add_subcommand("trace", "run one message through every stage; sends nothing and stores nothing");
  add_config(command, trace.config);
  auto* from =
      command->add_option("--from", trace.from, "envelope sender; <> for the null sender (default: the From field)");
  command->add_option("--rcpt", trace.recipients, "envelope recipient, repeatable (default: To and Cc)")
      ->allow_extra_args(false);
  command->add_option("--client-ip", trace.client_ip, "address of the SMTP client");
  command->add_option("--client-name", trace.client_name, "host name of the SMTP client");
  command->add_option("--helo", trace.helo, "name given with HELO");
  command->add_option("--auth", trace.auth, "SMTP AUTH user");
  command->add_option("--daemon-name", trace.daemon_name, "{daemon_name} of the MTA's listener");
  add_json(command, trace.json);
  command->add_option("--out", trace.out, "write the resulting message to this file");
  command->add_option("message", trace.message, "file with the message, - for standard input")->capture_default_str();
  command->callback([&, from] {
    trace.from_given = from->count() > 0;
    status = run_trace(trace);
  });

  ControlOptions ask;
  command =
      app.add_subcommand("status", "what the running daemon does: generation, last reload, sessions, memory, counters");
  add_config(command, ask.config);
  command->add_option("--socket", ask.socket, "the daemon's control socket");
  add_json(command, ask.json);
  command->callback([&] { status = run_status(ask); });

  ControlOptions order;
  command = app.add_subcommand("reload", "load the configuration again; a bad one changes nothing");
  add_config(command, order.config);
  command->add_option("--socket", order.socket, "the daemon's control socket");
  add_json(command, order.json);
  command->callback([&] { status = run_reload(order); });

  OutboxOptions outbox;
  command =
      app.add_subcommand("outbox", "mail of our own that waits to be submitted or was refused: list, retry, drop");
  command->require_subcommand(1);
  for (const auto& [name, what] :
       {std::pair{"list", "what is in the outbox"}, std::pair{"retry", "try mail again now, also what failed"},
        std::pair{"drop", "throw mail away for good"}}) {
    CLI::App* action = command->add_subcommand(name, what);
    add_config(action, outbox.control.config);
    action->add_option("--socket", outbox.control.socket, "the daemon's control socket");
    add_json(action, outbox.control.json);
    if (std::string_view(name) != "list") {
      action->add_flag("--failed", outbox.failed, "all mail that failed");
      action->add_option("id", outbox.ids, "number of a mail, as list shows it");
    }
    action->callback([&, name = std::string(name)] {
      outbox.action = name;
      status = run_outbox(outbox);
    });
  }

  DoctorOptions doctor;
  command = app.add_subcommand("doctor", "look at the MTA's configuration and this one, and say what is unsafe");
  add_config(command, doctor.config);
  command->add_option("--mta", doctor.mta, "postfix or sendmail (default: as the configuration says)")
      ->check(CLI::IsMember({"postfix", "sendmail"}));
  command->add_option("--postfix-config", doctor.postfix_config, "folder of main.cf and master.cf")
      ->capture_default_str();
  command->add_option("--dns", doctor.dns,
                      "DNS server to ask for DKIM records, ADDRESS[:PORT] (default: as /etc/resolv.conf says)");
  command->add_option("--sendmail-cf", doctor.sendmail_cf, "Sendmail's configuration file")->capture_default_str();
  add_json(command, doctor.json);
  command->callback([&] { status = run_doctor(doctor); });

  QuarantineOptions quarantine;
  add_quarantine(app, quarantine, status);
  LdapTestOptions question;
  ControlOptions directories;
  CLI::App* ldap = app.add_subcommand("ldap", "ask a directory one question, or see how the directories do");
  ldap->require_subcommand(1);
  command = ldap->add_subcommand("test", "ask PROFILE.QUERY about an address; exit status 1: there is no entry");
  add_config(command, question.config);
  command->add_option("query", question.query, "PROFILE.QUERY")->required();
  command->add_option("address", question.address, "the address, {a}")->required();
  command->add_option("--group", question.group, "the group, {g}");
  command->add_option("--sender", question.sender, "the envelope sender, {f}");
  add_json(command, question.json);
  command->callback([&] { status = run_ldap_test(question); });
  command = ldap->add_subcommand("status", "servers and counters of the running daemon; exit status 1: an outage");
  add_config(command, directories.config);
  command->add_option("--socket", directories.socket, "the daemon's control socket");
  add_json(command, directories.json);
  command->callback([&] { status = run_ldap_status(directories); });

  EnginesOptions engines;
  command = app.add_subcommand("engines", "external engines of the running daemon; exit status 1: one is away");
  add_config(command, engines.control.config);
  command->add_option("--socket", engines.control.socket, "the daemon's control socket");
  const CLI::Option* probe =
      command->add_option("--probe", engines.name, "try the servers of this engine, or of all, first")->expected(0, 1);
  add_json(command, engines.control.json);
  command->callback([&] {
    engines.probe = probe->count() != 0;
    status = run_engines(engines);
  });

  FindEventOptions findevent;
  add_findevent(app, findevent, status);

  SchemaOptions schema;
  command = app.add_subcommand("schema", "print a JSON Schema for editors");
  command->add_option("which", schema.which, "postern (postern.yaml) or rules (rules.d/*.yaml)")
      ->check(CLI::IsMember({"postern", "rules"}))
      ->capture_default_str();
  command->callback([&] { status = run_schema(schema); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kDone : kUsage;
  }
  if (std::fflush(stdout) != 0) return kTemporary;
  return status;
}
}  // namespace

}  // namespace postern::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return postern::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "postern: %s\n", error.what());
    return 70;
  }
}

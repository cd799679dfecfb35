// SPDX-License-Identifier: Apache-2.0
// Commands of `postern`: one struct of options and one function each, so that the command-line parser (main.cc) and the
// work (one file a command) stay apart. Functions write data to standard output and diagnostics to standard error and
// return the process's exit status.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/exit_status.h"

namespace postern::cli {

using enum base::ExitStatus;

inline constexpr std::string_view kDefaultConfig = "/etc/postern/postern.yaml";

struct CheckOptions {
  std::string config{kDefaultConfig};
  bool dump = false;
  bool json = false;
};
int run_check(const CheckOptions& options);

struct TraceOptions {
  std::string config{kDefaultConfig};
  std::string from;
  bool from_given = false;
  std::vector<std::string> recipients;
  std::string client_ip;
  std::string client_name;
  std::string helo;
  std::string auth;
  std::string daemon_name;
  bool json = false;
  std::string out;
  std::string message = "-";
};
int run_trace(const TraceOptions& options);

struct ScanOptions {
  std::string config;  // empty: the limits that a configuration has when it says nothing
  bool json = false;
  bool text = false;
  std::vector<std::string> files;
};
int run_scan(const ScanOptions& options);

struct ControlOptions {
  std::string config{kDefaultConfig};
  std::string socket;  // empty: as the configuration says
  bool json = false;
};
// control_socket_of is the socket to ask: named on the command line, else the configuration's.
std::string control_socket_of(const ControlOptions& options);
int run_status(const ControlOptions& options);
int run_reload(const ControlOptions& options);

struct OutboxOptions {
  ControlOptions control;
  std::string action = "list";  // list, retry or drop
  std::vector<int64_t> ids;
  bool failed = false;  // all that failed
};
int run_outbox(const OutboxOptions& options);

struct EnginesOptions {
  ControlOptions control;
  bool probe = false;
  std::string name;  // of the engine to try; empty: all
};
int run_engines(const EnginesOptions& options);

struct LdapTestOptions {
  std::string config{kDefaultConfig};
  std::string query;  // PROFILE.QUERY
  std::string address;
  std::string group;
  std::string sender;
  bool json = false;
};
int run_ldap_test(const LdapTestOptions& options);
int run_ldap_status(const ControlOptions& options);

struct DoctorOptions {
  std::string config{kDefaultConfig};
  std::string mta;  // postfix, sendmail or empty: as the configuration says
  std::string postfix_config = "/etc/postfix";
  std::string sendmail_cf = "/etc/mail/sendmail.cf";
  std::string dns;  // server for look-ups; empty: as /etc/resolv.conf says
  bool json = false;
};
int run_doctor(const DoctorOptions& options);

struct QuarantineOptions {
  std::string command;  // list, show, view, release, delete, forward, hold, unhold or stats
  std::string config{kDefaultConfig};
  std::vector<int64_t> ids;
  std::string quarantine;
  std::string filter;
  std::string from;
  std::string to;
  std::string subject;
  std::string message_id;
  uint64_t mid = 0;
  std::string older_than;
  std::string newer_than;
  bool all = false;
  int64_t after = 0;
  size_t limit = 1000;
  std::string out;
  std::vector<std::string> recipients;
  std::string sender = "<>";
  bool json = false;
};
int run_quarantine(const QuarantineOptions& options);

struct FindEventOptions {
  std::string config{kDefaultConfig};
  std::string from;
  std::string to;
  std::string subject;
  std::string message_id;
  std::string mid;
  std::string queue_id;
  std::string filter;
  std::string verdict;
  std::string since;
  std::string until;
  bool fold = false;
  size_t limit = 100;
  bool follow = false;
  bool json = false;
  std::vector<std::string> logs;  // files to look in instead of the store
};
int run_findevent(const FindEventOptions& options);

struct SchemaOptions {
  std::string which = "postern";  // postern or rules
};
int run_schema(const SchemaOptions& options);

// The subcommands by name, for --help and for the test that compares code, man page and tests.
std::span<const std::string_view> subcommands();

}  // namespace postern::cli

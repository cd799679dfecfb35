// SPDX-License-Identifier: Apache-2.0
// Commands of `fipsconfig`: one struct of options and one function each, so that the command-line parser (main.cc) and
// the work stay apart. Functions write data to standard output and diagnostics to standard error and return the
// process's exit status. No command starts another program or touches the token.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/exit_status.h"

namespace postern::keystore::fipsconfig {

using enum base::ExitStatus;

inline constexpr std::string_view kDefaultConfig = "/etc/fipsd/fipsd.yaml";

// Common is what every command takes: where fipsd is, and where secrets come from.
struct Common {
  std::string config{kDefaultConfig};
  bool config_given = false;
  std::string socket;  // empty: the officer socket of the configuration
  int password_fd = -1;
  int backup_password_fd = -1;
  bool last_attempt = false;
};

struct CheckOptions {
  bool dump = false;
  bool json = false;
};
int run_check(const Common& common, const CheckOptions& options);
int run_schema();

int run_status(const Common& common, bool json);
int run_init(const Common& common);
int run_passwd(const Common& common);
int run_zeroise(const Common& common, bool yes);

struct SelfTestOptions {
  bool clear_error = false;
  bool json = false;
};
int run_selftest(const Common& common, const SelfTestOptions& options);

int run_backup(const Common& common, const std::string& file);
int run_restore(const Common& common, const std::string& file);

int run_key_list(const Common& common, bool json);
int run_key_show(const Common& common, const std::string& name, bool json);
int run_key_reference(const Common& common, const std::string& name);
struct DnsOptions {
  std::string name;
  std::string selector;
  std::string domain;
  bool json = false;
};
int run_key_dnstxt(const Common& common, const DnsOptions& options);
struct NewKeyOptions {
  std::string name;
  std::string type = "rsa";
  uint32_t bits = 0;
  std::string use;
  bool no_backup = false;
  std::string file;  // import
  bool json = false;
};
int run_key_generate(const Common& common, const NewKeyOptions& options);
int run_key_import(const Common& common, const NewKeyOptions& options);
int run_key_destroy(const Common& common, const std::string& name, bool yes);

int run_cert_list(const Common& common, bool json);
int run_cert_export(const Common& common, const std::string& name, bool json);
struct SubjectOptions {
  std::string name;
  std::string subject;
  std::string names;
  uint32_t days = 90;
  std::string out;
};
int run_cert_csr(const Common& common, const SubjectOptions& options);
int run_cert_self_sign(const Common& common, const SubjectOptions& options);
int run_cert_import(const Common& common, const std::string& name, const std::string& file);
int run_cert_drop(const Common& common, const std::string& name);

int run_distrust_list(const Common& common, bool json);
int run_distrust_change(const Common& common, const std::string& entry, bool add);

struct AuditQuery {
  uint64_t from = 0;  // 0: the oldest
  uint64_t to = UINT64_MAX;
  uint64_t count = 10;
  bool follow = false;
  bool json = false;
  std::vector<std::string> files;
};
int run_audit_show(const Common& common, const AuditQuery& options);
int run_audit_tail(const Common& common, const AuditQuery& options);
int run_audit_verify(const Common& common, const AuditQuery& options);

// The subcommands, "key generate" with both words, for the test that compares code, man page and tests.
std::span<const std::string_view> subcommands();

}  // namespace postern::keystore::fipsconfig

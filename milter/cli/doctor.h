// SPDX-License-Identifier: Apache-2.0
// What `postern doctor` can find, and the two readers of MTA configuration. They read the MTA's own files and run
// nothing.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "milter/settings.h"

namespace postern::cli {

enum class Concern { error, warning, info };

// CheckRow is one thing doctor looks for; `fix` says what to do.
struct CheckRow {
  std::string_view id;
  Concern concern;
  std::string_view fix;
};
std::span<const CheckRow> check_table();

struct Finding {
  const CheckRow* row;
  std::string text;
};

// Findings collects what was found; add() looks the id up in the table.
class Findings {
 public:
  void add(std::string_view id, std::string text);
  const std::vector<Finding>& all() const { return list_; }
  bool has_errors() const;

 private:
  std::vector<Finding> list_;
};

// Both readers add to `findings` what is unsafe about the MTA for a daemon with `generation`. An unreadable
// configuration is an Error.
base::Result<void> examine_postfix(const std::string& folder, const milter::Generation& generation, Findings& findings);
base::Result<void> examine_sendmail(const std::string& file, const milter::Generation& generation, Findings& findings);

// examine_dkim compares the keys of profiles in use with what DNS says of them. `dns` is the server to ask, empty: as
// resolv.conf says.
base::Result<void> examine_dkim(const milter::Generation& generation, const std::string& dns, Findings& findings);

// parse_main_cf reads Postfix's main.cf syntax: the value of each parameter as written, later lines over earlier ones.
std::map<std::string, std::string> parse_main_cf(std::string_view text);

// MasterService is one line of master.cf with its -o overrides.
struct MasterService {
  std::string name;
  std::string type;
  bool chroot = false;
  std::string command;
  std::map<std::string, std::string> overrides;
};
std::vector<MasterService> parse_master_cf(std::string_view text);

// MilterEntry is one element of smtpd_milters with its per-milter settings.
struct MilterEntry {
  std::string address;
  std::map<std::string, std::string> settings;
};
std::vector<MilterEntry> parse_milter_list(std::string_view value);

// seconds_of reads a Postfix or Sendmail time ("300s", "5m", "10"), nullopt when it is none.
std::optional<uint64_t> seconds_of(std::string_view text);

// The daemon's own deadlines, which the MTA's must exceed.
inline constexpr uint64_t kCommandSeconds = 8;
inline constexpr uint64_t kContentSeconds = 240;

// read_small_file reads a configuration file of at most 4 MiB.
base::Result<std::string> read_small_file(const std::string& path);

// examine_socket looks at the daemon's own socket: exists, rights, loopback.
void examine_socket(const milter::Settings& settings, const std::string& mta_user, Findings& findings);

}  // namespace postern::cli

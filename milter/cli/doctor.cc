// SPDX-License-Identifier: Apache-2.0
// postern doctor: what in the MTA's configuration and ours is unsafe together. A milter cannot protect mail from an MTA
// that was told to go on without it, so this is where that is found.
#include "milter/cli/doctor.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/base/handle.h"
#include "engine/base/text.h"
#include "milter/cli/commands.h"
#include "milter/cli/load.h"

namespace postern::cli {

namespace {

constexpr std::array kChecks = {
    CheckRow{"milter-not-configured", Concern::error,
             "add posternd's socket to smtpd_milters (Postfix) or INPUT_MAIL_FILTER (Sendmail); contrib/postfix and "
             "contrib/sendmail show the lines"},
    CheckRow{"service-without-milter", Concern::warning,
             "add the socket to that service's smtpd_milters, unless its mail is meant to pass unfiltered"},
    CheckRow{"default-action-unsafe", Concern::error,
             "set milter_default_action=tempfail (Postfix) or F=T (Sendmail): with anything weaker a lost connection "
             "delivers unfiltered or half-edited mail, or loses it"},
    CheckRow{"default-action-bounces", Concern::warning,
             "use tempfail (F=T): with reject a restart of posternd bounces mail for good"},
    CheckRow{"protocol-old", Concern::error, "set milter_protocol=6 or remove the line"},
    CheckRow{
        "timeout-short", Concern::error,
        "raise the MTA's milter time-out above posternd's own, or the MTA gives up first and the client sends again"},
    CheckRow{"socket-outside-chroot", Concern::error,
             "smtpd is chrooted: put the socket below the queue directory and name it relative to that, e.g. "
             "unix:postern/milter.sock"},
    CheckRow{"socket-missing", Concern::warning, "start posternd; until then the MTA defers all mail"},
    CheckRow{"socket-rights", Concern::error,
             "set listen.group to the MTA's group and listen.mode to 0660, and let that group enter the folder"},
    CheckRow{"socket-exposed", Concern::error,
             "bind to 127.0.0.1 or use a Unix socket: whoever reaches the port can speak to the filter"},
    CheckRow{"socket-tcp", Concern::info,
             "a Unix socket is faster: over TCP each edited message waits about 40 ms for delayed acknowledgements"},
    CheckRow{"bare-newline", Concern::warning,
             "set smtpd_forbid_bare_newline=normalize (or yes): otherwise a sender can smuggle a second message past "
             "every filter"},
    CheckRow{
        "message-size", Concern::info,
        "let the MTA's size limit be at most limits.message-size, so that large mail is refused before it is sent"},
    CheckRow{"header-size", Concern::info, "the MTA cuts header fields at its limit before posternd sees them"},
    CheckRow{
        "headers-rewritten", Concern::info,
        "set local_header_rewrite_clients to nothing where clients write well-formed addresses: Postfix takes apart "
        "broken ones before masquerade could mend them"},
    CheckRow{"local-mail-unfiltered", Concern::info,
             "set non_smtpd_milters as well if mail from the sendmail command is to be filtered"},
    CheckRow{
        "milters-disabled", Concern::warning,
        "remove no_milters from receive_override_options, unless the service receives mail that was filtered before"},
    CheckRow{"milter-after", Concern::info, "later milters see posternd's edits; what signs or seals must come last"},
    CheckRow{"routes-unused", Concern::error,
             "rules use alt-mailhost or alt-src-host: set milter_header_checks as contrib/postfix shows, or those "
             "rules have no effect"},
    CheckRow{
        "reinject-missing", Concern::error,
        "add the listener for mail of our own to master.cf as contrib/postfix shows; until then notices and copies "
        "wait in the outbox"},
    CheckRow{"reinject-unmarked", Concern::error,
             "let that service use posternd's socket: it takes out the mark, which is a secret's work, and without it "
             "bcc-scan and alt-mailhost have no effect"},
    CheckRow{"reinject-daemon-name", Concern::warning,
             "set milter_macro_daemon_name of that service to reinject.daemon-name: else filters of early phases, such "
             "as rcpt, are asked about our own mail too"},
    CheckRow{"reinject-exposed", Concern::error,
             "let that service listen on 127.0.0.1 alone: whoever reaches it can send mail to anywhere"},
    CheckRow{"fipsd-unreachable", Concern::warning,
             "start fipsd, and let posternd's user write to its socket (keys.socket); until then mail that should be "
             "signed waits"},
    CheckRow{"dkim-key-missing", Concern::error,
             "make the key (fipsconfig key generate) or write its right name; mail of the profile waits until then"},
    CheckRow{"dkim-key-unusable", Concern::error,
             "fipsconfig status says what is wrong; mail of the profile waits until then"},
    CheckRow{"dkim-key-type", Concern::error, "DKIM knows rsa and ed25519 only"},
    CheckRow{"dkim-key-weak", Concern::warning,
             "make a key of 2048 bits: verifiers take less for weak, and under 1024 for no signature"},
    CheckRow{"dkim-record-missing", Concern::error, "publish what fipsconfig key dnstxt prints"},
    CheckRow{"dkim-record-different", Concern::error,
             "publish what fipsconfig key dnstxt prints: no verifier takes signatures of this key"},
    CheckRow{"dkim-record-revoked", Concern::error, "use a key whose record is not revoked, under another selector"},
    CheckRow{"dkim-record-unusable", Concern::error,
             "publish the record as fipsconfig key dnstxt prints it, and no other"},
    CheckRow{"dkim-record-testing", Concern::warning,
             "take t=y out of the record: it tells verifiers to treat signed mail as if it were not"},
    CheckRow{"dkim-record-unknown", Concern::warning,
             "DNS gave no answer, so nothing is known of the record; look again later or name a server with --dns"},
    CheckRow{"mta-mismatch", Concern::warning, "set mta: in postern.yaml to the MTA that runs"},
};

std::string_view concern_name(Concern concern) {
  switch (concern) {
    case Concern::error:
      return "error";
    case Concern::warning:
      return "warning";
    case Concern::info:
      return "info";
  }
  return "info";
}

// Whether `user` may use an object of this owner, group and mode for writing (or searching, for folders).
bool may_use(const struct stat& info, const std::string& user, mode_t owner_bit, mode_t group_bit, mode_t other_bit) {
  const struct passwd* entry = getpwnam(user.c_str());
  if (entry == nullptr) return true;  // not a user of this machine: nothing can be said
  if (entry->pw_uid == 0) return true;
  if (info.st_uid == entry->pw_uid) return (info.st_mode & owner_bit) != 0;
  std::array<gid_t, 256> groups{};
  int count = groups.size();
  if (getgrouplist(user.c_str(), entry->pw_gid, groups.data(), &count) < 0) count = static_cast<int>(groups.size());
  for (int i = 0; i < count; ++i) {
    if (groups[static_cast<size_t>(i)] == info.st_gid) return (info.st_mode & group_bit) != 0;
  }
  return (info.st_mode & other_bit) != 0;
}

}  // namespace

std::span<const CheckRow> check_table() { return kChecks; }

void Findings::add(std::string_view id, std::string text) {
  for (const CheckRow& row : kChecks) {
    if (row.id != id) continue;
    list_.push_back({&row, std::move(text)});
    return;
  }
}

bool Findings::has_errors() const {
  for (const Finding& finding : list_) {
    if (finding.row->concern == Concern::error) return true;
  }
  return false;
}

std::optional<uint64_t> seconds_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  uint64_t factor = 1;
  if (unit == "m") {
    factor = 60;
  } else if (unit == "h") {
    factor = 3600;
  } else if (unit == "d") {
    factor = 86400;
  } else if (!unit.empty() && unit != "s") {
    return std::nullopt;
  }
  if (number > UINT64_MAX / factor) return std::nullopt;
  return number * factor;
}

base::Result<std::string> read_small_file(const std::string& path) {
  constexpr size_t kMost = 4u << 20;
  base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(base::system_error(path, errno));
  std::string out;
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(base::system_error(path, errno));
    if (got == 0) return out;
    out.append(buffer, static_cast<size_t>(got));
    if (out.size() > kMost) return base::fail(base::Cause::limit, path + ": larger than 4 MiB");
  }
}

void examine_socket(const milter::Settings& settings, const std::string& mta_user, Findings& findings) {
  const std::string& socket = settings.listen.socket;
  if (socket.starts_with("inet")) {
    const size_t at = socket.find('@');
    const std::string host = at == std::string::npos ? std::string("0.0.0.0") : socket.substr(at + 1);
    const bool loopback = host.starts_with("127.") || host == "localhost" || host == "::1" || host == "[::1]";
    if (!loopback) findings.add("socket-exposed", "listen.socket is " + socket);
    findings.add("socket-tcp", "listen.socket is " + socket);
    return;
  }
  const std::string path = socket.substr(socket.find(':') + 1);
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    findings.add("socket-missing", path + " does not exist");
    return;
  }
  if (!may_use(info, mta_user, S_IWUSR, S_IWGRP, S_IWOTH)) {
    findings.add("socket-rights", "user " + mta_user + " may not write to " + path);
  }
  const std::string folder = path.substr(0, path.rfind('/'));
  if (::stat(folder.c_str(), &info) == 0 && !may_use(info, mta_user, S_IXUSR, S_IXGRP, S_IXOTH)) {
    findings.add("socket-rights", "user " + mta_user + " may not enter " + folder);
  }
}

int run_doctor(const DoctorOptions& options) {
  const std::unique_ptr<Loaded> loaded = load(options.config, false);
  if (loaded->generation == nullptr) return kBadConfig;
  const milter::Generation& generation = *loaded->generation;
  const std::string mta = options.mta.empty() ? generation.settings.mta : options.mta;

  Findings findings;
  if (mta != generation.settings.mta) {
    findings.add("mta-mismatch", "postern.yaml says mta: " + generation.settings.mta + ", looking at " + mta);
  }
  base::Result<void> done = mta == "sendmail" ? examine_sendmail(options.sendmail_cf, generation, findings)
                                              : examine_postfix(options.postfix_config, generation, findings);
  if (done) done = examine_dkim(generation, options.dns, findings);
  if (!done) {
    std::fprintf(stderr, "postern doctor: %s\n", done.error().text().c_str());
    return done.error().cause() == base::Cause::denied ? kDenied : kUnavailable;
  }
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Finding& finding : findings.all()) {
      list.push_back({{"id", finding.row->id},
                      {"severity", concern_name(finding.row->concern)},
                      {"text", finding.text},
                      {"fix", finding.row->fix}});
    }
    const nlohmann::json answer = {{"mta", mta}, {"ok", !findings.has_errors()}, {"findings", std::move(list)}};
    std::puts(answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    for (const Finding& finding : findings.all()) {
      std::printf("%-8s %s [%s]\n         %s\n", std::string(concern_name(finding.row->concern)).c_str(),
                  base::escape_for_log(finding.text).c_str(), std::string(finding.row->id).c_str(),
                  std::string(finding.row->fix).c_str());
    }
    std::printf("%s: %s\n", mta.c_str(),
                findings.has_errors() ? "mail is not safe with this configuration" : "no unsafe setting found");
  }
  return findings.has_errors() ? kNo : kDone;
}

}  // namespace postern::cli

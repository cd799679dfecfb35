// SPDX-License-Identifier: Apache-2.0
// Giving up rights with setresuid and friends, and checking that they are gone.
#include "engine/base/privilege.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace postern::base {

Result<unsigned> group_id(const std::string& name) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (!name.empty() && error == std::errc() && end == name.data() + name.size()) return number;
  std::array<char, 65536> buffer;
  group entry{};
  group* found = nullptr;
  const int status = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    if (status != 0 && status != ENOENT) return std::unexpected(system_error("group " + name, status));
    return fail(Cause::misconfigured, "there is no group '" + name + "'");
  }
  return static_cast<unsigned>(found->gr_gid);
}

Result<void> drop_privileges(const std::string& user, const std::string& group) {
  if (user.empty() && group.empty()) return {};
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 65536> buffer;
  if (!user.empty()) {
    const int status = getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr) {
      if (status != 0 && status != ENOENT) return std::unexpected(system_error("user " + user, status));
      return fail(Cause::misconfigured, "there is no user '" + user + "'");
    }
  }
  const uid_t uid = found != nullptr ? entry.pw_uid : ::getuid();
  gid_t gid = found != nullptr ? entry.pw_gid : ::getgid();
  if (!group.empty()) {
    const Result<unsigned> wanted = group_id(group);
    if (!wanted) return std::unexpected(wanted.error());
    gid = *wanted;
  }
  if (::geteuid() != 0) {
    if (uid == ::geteuid() && gid == ::getegid()) return {};
    return fail(Cause::denied,
                "only root can become another user or group (" + user + (group.empty() ? "" : ":" + group) + ")");
  }
  if (found != nullptr ? ::initgroups(user.c_str(), gid) != 0 : ::setgroups(0, nullptr) != 0) {
    return std::unexpected(system_error("setting groups", errno));
  }
  if (::setresgid(gid, gid, gid) != 0) return std::unexpected(system_error("becoming group " + group, errno));
  if (::setresuid(uid, uid, uid) != 0) return std::unexpected(system_error("becoming user " + user, errno));
  if (uid != 0 && (::setuid(0) == 0 || ::seteuid(0) == 0))
    return fail(Cause::internal, "root's rights came back after giving them up");
  return {};
}

Result<void> harden_process() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return std::unexpected(system_error("no_new_privs", errno));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return std::unexpected(system_error("not dumpable", errno));
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return std::unexpected(system_error("core limit", errno));
  ::umask(0077);
  return {};
}

}  // namespace postern::base

// SPDX-License-Identifier: Apache-2.0
// Giving up rights: users and groups by name or number, the drop itself with a check that it cannot be undone, and what
// a process forbids itself. credentials(7), prctl(2).
#include "engine/base/privilege.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <vector>

namespace postern::base {
namespace {

constexpr size_t kMaxEntry = 1u << 20;

std::optional<unsigned> as_number(const std::string& name) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  // (uid_t)-1 means "leave it" to the system calls.
  if (error != std::errc() || end != name.data() + name.size() || number == UINT32_MAX) return std::nullopt;
  return number;
}

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

Result<User> find_user(const std::string& name) {
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  const std::optional<unsigned> number = as_number(name);
  int error = 0;
  while ((error = number ? ::getpwuid_r(*number, &entry, buffer.data(), buffer.size(), &found)
                         : ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < kMaxEntry) {
    buffer.resize(buffer.size() * 2);
  }
  if (found == nullptr && error != 0 && error != ENOENT && error != ESRCH) {
    return std::unexpected(system_error("user '" + name + "'", error));
  }
  if (found == nullptr) return fail(Cause::misconfigured, "there is no user '" + name + "'");
  return User{found->pw_name, found->pw_uid, found->pw_gid};
}

}  // namespace

Result<unsigned> user_id(const std::string& name) {
  if (const std::optional<unsigned> number = as_number(name)) return *number;
  Result<User> user = find_user(name);
  if (!user) return std::unexpected(std::move(user.error()));
  return user->uid;
}

Result<unsigned> group_id(const std::string& name) {
  if (const std::optional<unsigned> number = as_number(name)) return *number;
  std::vector<char> buffer(4096);
  group entry{};
  group* found = nullptr;
  int error = 0;
  while ((error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < kMaxEntry) {
    buffer.resize(buffer.size() * 2);
  }
  if (found == nullptr && error != 0 && error != ENOENT && error != ESRCH) {
    return std::unexpected(system_error("group '" + name + "'", error));
  }
  if (found == nullptr) return fail(Cause::misconfigured, "there is no group '" + name + "'");
  return static_cast<unsigned>(found->gr_gid);
}

Result<void> drop_privileges(const std::string& user, const std::string& group) {
  if (user.empty()) {
    if (!group.empty()) return fail(Cause::misconfigured, "a group to run as needs a user to run as");
    return {};
  }
  const Result<User> who = find_user(user);
  if (!who) return std::unexpected(who.error());
  gid_t gid = who->gid;
  if (!group.empty()) {
    const Result<unsigned> named = group_id(group);
    if (!named) return std::unexpected(named.error());
    gid = *named;
  }
  if (::geteuid() != 0) {
    if (::geteuid() == who->uid && ::getuid() == who->uid && (group.empty() || ::getegid() == gid)) return {};
    return fail(Cause::denied, "only root can become user '" + user + "'");
  }
  if (::initgroups(who->name.c_str(), gid) != 0) return std::unexpected(system_error("initgroups", errno));
  if (::setresgid(gid, gid, gid) != 0) return std::unexpected(system_error("setresgid", errno));
  if (::setresuid(who->uid, who->uid, who->uid) != 0) return std::unexpected(system_error("setresuid", errno));

  uid_t real_uid = 0, effective_uid = 0, saved_uid = 0;
  gid_t real_gid = 0, effective_gid = 0, saved_gid = 0;
  const bool known = ::getresuid(&real_uid, &effective_uid, &saved_uid) == 0 &&
                     ::getresgid(&real_gid, &effective_gid, &saved_gid) == 0;
  const bool changed = known && real_uid == who->uid && effective_uid == who->uid && saved_uid == who->uid &&
                       real_gid == gid && effective_gid == gid && saved_gid == gid;
  const bool comes_back = who->uid != 0 && (::setuid(0) == 0 || ::seteuid(0) == 0);
  if (!changed || comes_back) return fail(Cause::internal, "root's rights could not be given up for good");
  return {};
}

Result<void> harden_process() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return std::unexpected(system_error("no_new_privs", errno));
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return std::unexpected(system_error("RLIMIT_CORE", errno));
  // Also keeps processes of the same user from attaching with ptrace or reading /proc/PID/mem.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return std::unexpected(system_error("PR_SET_DUMPABLE", errno));
  ::umask(0077);
  return {};
}

}  // namespace postern::base

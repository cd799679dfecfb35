// SPDX-License-Identifier: Apache-2.0
// Giving up rights, each try in a child process. As root the whole drop is tested, as another user what is left.
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "engine/base/privilege.h"

namespace postern::base {
namespace {

// Runs `body` in a child and returns its exit status.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

std::string own_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : std::to_string(::geteuid());
}

TEST(Privilege, NoUserMeansNoChange) {
  EXPECT_TRUE(drop_privileges("", ""));
  EXPECT_EQ(drop_privileges("", "nogroup").error().cause(), Cause::misconfigured);
}

TEST(Privilege, UnknownNames) {
  EXPECT_EQ(drop_privileges("no-such-user-here", "").error().cause(), Cause::misconfigured);
  EXPECT_EQ(group_id("no-such-group-here").error().cause(), Cause::misconfigured);
  EXPECT_EQ(group_id("0"), 0u);
  EXPECT_EQ(group_id("12345"), 12345u);
  EXPECT_EQ(group_id("root"), 0u);
  EXPECT_FALSE(group_id("4294967295"));
  EXPECT_FALSE(group_id("-1"));
  EXPECT_FALSE(group_id(""));
}

TEST(Privilege, OwnUserIsFine) {
  EXPECT_EQ(in_child([] { return drop_privileges(own_name(), "") ? 0 : 1; }), 0);
}

TEST(Privilege, DropsForGood) {
  const bool root = ::geteuid() == 0;
  const int status = in_child([root] {
    const auto dropped = drop_privileges("nobody", "");
    if (!root) return own_name() == "nobody" || (!dropped && dropped.error().cause() == Cause::denied) ? 0 : 1;
    if (!dropped) return 2;
    const passwd* nobody = ::getpwnam("nobody");
    if (::getuid() != nobody->pw_uid || ::geteuid() != nobody->pw_uid || ::getegid() != nobody->pw_gid) return 3;
    if (::setuid(0) == 0 || ::seteuid(0) == 0 || ::setgid(0) == 0) return 4;
    gid_t groups[64];
    const int count = ::getgroups(64, groups);
    for (int i = 0; i < count; ++i) {
      if (groups[i] == 0) return 5;
    }
    return ::access("/etc/shadow", R_OK) == 0 ? 6 : 0;
  });
  EXPECT_EQ(status, 0);
}

TEST(Privilege, GroupCanBeChosen) {
  if (::geteuid() == 0) {
    EXPECT_EQ(in_child([] {
                if (!drop_privileges("nobody", "daemon")) return 1;
                return ::getegid() == *group_id("daemon") ? 0 : 2;
              }),
              0);
  } else {
    EXPECT_FALSE(drop_privileges(own_name(), "root"));
  }
}

TEST(Privilege, HardensTheProcess) {
  EXPECT_EQ(in_child([] {
              if (!harden_process()) return 1;
              if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 2;
              if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 3;
              rlimit core{};
              if (::getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0) return 4;
              return ::umask(0) == 0077 ? 0 : 5;
            }),
            0);
}

}  // namespace
}  // namespace postern::base

// SPDX-License-Identifier: Apache-2.0
// Privilege: giving up rights at start. Called once from the main thread before any other thread runs.
#pragma once
#include <string>

#include "engine/base/error.h"

namespace postern::base {

// drop_privileges changes to `user` (and its groups, with `group` as primary when not empty) for good and checks that
// they cannot come back; without root it succeeds only when `user` is empty or is the caller.
Result<void> drop_privileges(const std::string& user, const std::string& group);

// harden_process sets no_new_privs, forbids core dumps and ptrace by equals, and umask 0077.
Result<void> harden_process();

// user_id returns the numeric id of user `name`, which may be a number.
Result<unsigned> user_id(const std::string& name);
// group_id returns the numeric id of group `name`, which may be a number.
Result<unsigned> group_id(const std::string& name);

}  // namespace postern::base

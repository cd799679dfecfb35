// SPDX-License-Identifier: Apache-2.0
// Unix sockets of a daemon: claiming a path so that no second instance takes it, and cleaning up after one that died.
// Called from the main thread at start.
#pragma once
#include <string>

#include "engine/base/error.h"
#include "engine/base/handle.h"

namespace postern::milter {

// claim_path locks "PATH.lock" for as long as the returned descriptor is open and removes a socket at `path` that
// nobody listens on. Cause::denied when another process has it; other files at `path` are never removed.
base::Result<base::UniqueFd> claim_path(const std::string& path);

// listen_unix binds and listens on `path` with exactly `mode`; the group is changed when `group` is not empty. Changes
// the process's umask while it runs.
base::Result<base::UniqueFd> listen_unix(const std::string& path, unsigned mode, const std::string& group);

// set_socket_group gives the socket at `path` to `group`; nothing when empty.
base::Result<void> set_socket_group(const std::string& path, const std::string& group);

// connect_unix connects to `path`.
base::Result<base::UniqueFd> connect_unix(const std::string& path);

}  // namespace postern::milter

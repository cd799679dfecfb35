// SPDX-License-Identifier: Apache-2.0
// Unix sockets made safely: a lock beside the socket tells a second instance from a stale file; mode and group are set
// before anyone can connect.
#include "milter/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/privilege.h"

namespace postern::milter {
namespace {

constexpr int kBacklog = 64;

base::Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return base::fail(base::Cause::misconfigured,
                      "socket path '" + path + "' is empty or too long (107 bytes at most)");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

base::Result<base::UniqueFd> connect_unix(const std::string& path) {
  auto address = address_of(path);
  if (!address) return std::unexpected(std::move(address.error()));
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return std::unexpected(base::system_error("socket", errno));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return std::unexpected(base::system_error("connecting to " + path, errno));
  }
  return socket;
}

base::Result<base::UniqueFd> claim_path(const std::string& path) {
  auto address = address_of(path);
  if (!address) return std::unexpected(std::move(address.error()));
  const std::string lock_path = path + ".lock";
  base::UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) {
    const int error = errno;
    std::string what = "lock file " + lock_path;
    if (error == ENOENT) what += ": the folder " + folder_of(path) + " must exist";
    if (error == EACCES)
      what += ": the folder " + folder_of(path) + " must be writable for this user (mode 0750 or 0770)";
    return std::unexpected(base::system_error(what, error));
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return base::fail(base::Cause::denied, "another posternd uses " + path);
    return std::unexpected(base::system_error("locking " + lock_path, errno));
  }
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return lock;
    return std::unexpected(base::system_error(path, errno));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return base::fail(base::Cause::denied, path + " is there and is not a socket; it is left alone");
  }
  if (connect_unix(path)) return base::fail(base::Cause::denied, "another program listens on " + path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return std::unexpected(base::system_error("removing the stale socket " + path, errno));
  }
  return lock;
}

base::Result<void> set_socket_group(const std::string& path, const std::string& group) {
  if (group.empty()) return {};
  auto gid = base::group_id(group);
  if (!gid) return std::unexpected(std::move(gid.error()));
  // The path may lie in a folder that the service's own user can write: a link put there must not be followed.
  if (::fchownat(AT_FDCWD, path.c_str(), static_cast<uid_t>(-1), *gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return std::unexpected(base::system_error("giving " + path + " to group " + group, errno));
  }
  return {};
}

base::Result<base::UniqueFd> listen_unix(const std::string& path, unsigned mode, const std::string& group) {
  auto address = address_of(path);
  if (!address) return std::unexpected(std::move(address.error()));
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return std::unexpected(base::system_error("socket", errno));
  const mode_t before = ::umask(~mode & 0777);
  const int bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  const int error = errno;
  ::umask(before);
  if (bound != 0) return std::unexpected(base::system_error("binding " + path, error));
  if (auto grouped = set_socket_group(path, group); !grouped) return std::unexpected(std::move(grouped.error()));
  if (::listen(socket.get(), kBacklog) != 0) return std::unexpected(base::system_error("listening on " + path, errno));
  return socket;
}

}  // namespace postern::milter

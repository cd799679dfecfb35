// SPDX-License-Identifier: Apache-2.0
// Making and checking listening sockets (unix(7), sd_listen_fds(3)).
#include "keystore/listener.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace postern::keystore {

namespace {

using base::Cause;

constexpr int kBacklog = 512;

base::Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path[0] != '/' || path.size() >= sizeof address.sun_path) {
    return base::fail(Cause::misconfigured, "socket \"" + path + "\": not an absolute path of at most " +
                                                std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

base::Result<void> make_way(const std::string& path, const sockaddr_un& address) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return std::unexpected(base::system_error("socket " + path, errno));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return base::fail(Cause::misconfigured, "socket " + path + ": something else than a socket is there");
  }
  const base::UniqueFd probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return std::unexpected(base::system_error("socket " + path, errno));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno != ECONNREFUSED) {
    return base::fail(Cause::unavailable, "socket " + path + ": another process uses it");
  }
  if (::unlink(path.c_str()) != 0) return std::unexpected(base::system_error("socket " + path, errno));
  return {};
}

base::Result<gid_t> group_id(const std::string& name) {
  std::vector<char> buffer(16384);
  group entry{};
  group* found = nullptr;
  const int error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (error != 0) return std::unexpected(base::system_error("group " + name, error));
  if (found == nullptr) return base::fail(Cause::misconfigured, "group " + name + ": there is none");
  return entry.gr_gid;
}

base::Result<Listener> make(const SocketOptions& options, uint32_t socket_class, const std::string& path) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  if (auto free = make_way(path, *address); !free) return std::unexpected(free.error());
  const auto failed = [&] { return std::unexpected(base::system_error("socket " + path, errno)); };
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // The mode of the socket itself becomes that of its file: nobody else's before it is set as configured.
  if (!fd || ::fchmod(fd.get(), 0600) != 0) return failed();
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) return failed();
  Listener listener(std::move(fd), socket_class, path);
  if (!options.group.empty()) {
    const auto group = group_id(options.group);
    if (!group) return std::unexpected(base::Error(group.error()).in("socket " + path));
    if (::lchown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) return failed();
  }
  if (::chmod(path.c_str(), options.mode & 0777) != 0) return failed();
  if (::listen(listener.fd(), kBacklog) != 0) return failed();
  return listener;
}

base::Result<void> check_passed(int fd, const std::string& class_name) {
  int type = 0;
  int listens = 0;
  int domain = 0;
  const auto option = [&](int name, int& value) {
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0;
  };
  if (!option(SO_TYPE, type) || !option(SO_ACCEPTCONN, listens) || !option(SO_DOMAIN, domain) || domain != AF_UNIX ||
      type != SOCK_SEQPACKET || listens == 0) {
    return base::fail(Cause::misconfigured,
                      "the socket handed over for " + class_name + " is no listening SOCK_SEQPACKET Unix socket");
  }
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
    return std::unexpected(base::system_error("the socket handed over for " + class_name, errno));
  }
  return {};
}

std::string path_of(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  const size_t length = std::min<size_t>(size, sizeof address) - offsetof(sockaddr_un, sun_path);
  return {address.sun_path, ::strnlen(address.sun_path, length)};
}

}  // namespace

Listener::~Listener() {
  if (fd_ && !made_.empty()) ::unlink(made_.c_str());
}

base::Result<std::vector<Listener>> open_listeners(std::vector<SocketOptions>& sockets) {
  std::vector<Listener> listeners;
  for (uint32_t i = 0; i < sockets.size(); ++i) {
    SocketOptions& options = sockets[i];
    std::vector<std::string> bound;
    for (base::UniqueFd& fd : options.passed) {
      if (auto good = check_passed(fd.get(), options.class_name); !good) return std::unexpected(good.error());
      bound.push_back(path_of(fd.get()));
      listeners.emplace_back(std::move(fd), i, std::string());
    }
    options.passed.clear();
    for (const std::string& path : options.paths) {
      if (std::ranges::find(bound, path) != bound.end()) continue;
      auto listener = make(options, i, path);
      if (!listener) return std::unexpected(listener.error());
      listeners.push_back(std::move(*listener));
    }
  }
  if (listeners.empty()) return base::fail(Cause::misconfigured, "no socket to listen on");
  return listeners;
}

}  // namespace postern::keystore

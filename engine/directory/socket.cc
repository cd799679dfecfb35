// SPDX-License-Identifier: Apache-2.0
// getaddrinfo() knows no deadline, so it runs on a thread of its own, which is left behind when it takes too long; how
// many may be left is bounded.
#include "engine/directory/socket.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "engine/crypto/tls.h"

namespace postern::directory {
namespace {

using base::Cause;
using base::fail;
using base::UniqueFd;
using Addresses = base::Handle<addrinfo, freeaddrinfo>;

constexpr int kMaxLookups = 8;
std::atomic<int> lookups{0};

struct Lookup {
  std::string host;
  std::string port;
  std::mutex mutex;
  std::condition_variable done_changed;
  bool done = false;
  int error = 0;
  Addresses addresses;
};

int resolve_now(const std::string& host, const std::string& port, int flags, Addresses& out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  out.reset(found);
  return error;
}

base::Result<Addresses> resolve(const ServerUrl& server, Deadline deadline) {
  Addresses addresses;
  const std::string port = std::to_string(server.port);
  if (resolve_now(server.host, port, AI_NUMERICHOST, addresses) == 0) return addresses;
  if (lookups.fetch_add(1) >= kMaxLookups) {
    lookups.fetch_sub(1);
    return fail(Cause::unavailable, "too many name look-ups are waiting");
  }
  auto lookup = std::make_shared<Lookup>();
  lookup->host = server.host;
  lookup->port = port;
  const auto ask = [lookup] {
    Addresses found;
    const int error = resolve_now(lookup->host, lookup->port, AI_ADDRCONFIG, found);
    const std::lock_guard<std::mutex> guard(lookup->mutex);
    lookup->error = error;
    lookup->addresses = std::move(found);
    lookup->done = true;
    lookup->done_changed.notify_all();
    lookups.fetch_sub(1);
  };
  try {
    std::thread(ask).detach();
  } catch (const std::system_error&) {
    lookups.fetch_sub(1);
    return fail(Cause::unavailable, "no thread for the name look-up of " + server.host);
  }
  std::unique_lock<std::mutex> lock(lookup->mutex);
  if (!lookup->done_changed.wait_until(lock, deadline, [&] { return lookup->done; })) {
    return fail(Cause::unavailable, "name look-up of " + server.host + ": no answer in time");
  }
  if (lookup->error != 0) {
    return fail(Cause::unavailable, "name look-up of " + server.host + ": " + ::gai_strerror(lookup->error));
  }
  return std::move(lookup->addresses);
}

base::Result<UniqueFd> connect_address(const sockaddr* address, socklen_t size, int family, Deadline deadline) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(Cause::unavailable, std::string("socket: ") + std::strerror(errno));
  if (::connect(fd.get(), address, size) != 0) {
    if (errno != EINPROGRESS) return fail(Cause::unavailable, std::string("connect: ") + std::strerror(errno));
    if (!crypto::wait_for(fd.get(), true, deadline)) return fail(Cause::unavailable, "connect: no answer in time");
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return fail(Cause::unavailable, std::string("connect: ") + std::strerror(error));
  }
  return fd;
}

}  // namespace

base::Result<UniqueFd> connect_socket(const ServerUrl& server, Deadline deadline) {
  if (server.kind == ServerUrl::Kind::ldapi) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (server.host.size() >= sizeof address.sun_path)
      return fail(Cause::misconfigured, "the socket's path is too long");
    std::memcpy(address.sun_path, server.host.data(), server.host.size());
    return connect_address(reinterpret_cast<const sockaddr*>(&address), sizeof address, AF_UNIX, deadline);
  }
  auto addresses = resolve(server, deadline);
  if (!addresses) return std::unexpected(std::move(addresses.error()));
  base::Result<UniqueFd> last = fail(Cause::unavailable, "no address");
  for (const addrinfo* at = addresses->get(); at != nullptr; at = at->ai_next) {
    // An address that swallows what is sent to it must leave time for the next one.
    const auto left = deadline - Clock::now();
    last = connect_address(at->ai_addr, at->ai_addrlen, at->ai_family,
                           at->ai_next == nullptr ? deadline : Clock::now() + left / 2);
    if (!last) continue;
    const int on = 1;
    ::setsockopt(last->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(last->get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    return last;
  }
  return last;
}

}  // namespace postern::directory

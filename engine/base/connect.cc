// SPDX-License-Identifier: Apache-2.0
// getaddrinfo() knows no deadline, so it runs on a thread of its own, which is left behind when it takes too long; how
// many may be left is bounded.
#include "engine/base/connect.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "engine/base/io.h"

namespace postern::base {
namespace {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
using Addresses = Handle<addrinfo, freeaddrinfo>;

constexpr int kMaxLookups = 8;
constexpr int kQueuePause = 20;  // milliseconds
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

Result<Addresses> resolve(const Endpoint& server, Deadline deadline) {
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

Result<UniqueFd> connect_address(const sockaddr* address, socklen_t size, int family, Deadline deadline) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(Cause::unavailable, std::string("socket: ") + std::strerror(errno));
  while (::connect(fd.get(), address, size) != 0) {
    // A Unix socket whose queue is full has no way to say when there is room.
    if (errno == EAGAIN && family == AF_UNIX && Clock::now() < deadline) {
      ::poll(nullptr, 0, kQueuePause);
      continue;
    }
    if (errno != EINPROGRESS) return fail(Cause::unavailable, std::string("connect: ") + std::strerror(errno));
    if (!wait_for(fd.get(), true, deadline)) return fail(Cause::unavailable, "connect: no answer in time");
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return fail(Cause::unavailable, std::string("connect: ") + std::strerror(error));
    break;
  }
  return fd;
}

}  // namespace

Result<Endpoint> read_endpoint(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("unix:")) {
    endpoint.path = text.substr(5);
    if (!endpoint.path.starts_with('/')) return fail(Cause::malformed, "a path is expected after 'unix:'");
    if (endpoint.path.size() >= sizeof(sockaddr_un::sun_path)) return fail(Cause::malformed, "the path is too long");
    return endpoint;
  }
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t end = text.find("]:");
    if (end == std::string_view::npos) return fail(Cause::malformed, "']:PORT' is missing");
    endpoint.host = text.substr(1, end - 1);
    port = text.substr(end + 2);
  } else {
    const size_t colon = text.find(':');
    endpoint.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc() || end != port.data() + port.size() || endpoint.port == 0) {
    return fail(Cause::malformed, "unix:PATH or HOST:PORT is expected");
  }
  const bool good =
      !endpoint.host.empty() && endpoint.host.size() <= 253 && std::ranges::all_of(endpoint.host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_' || c == ':';
      });
  if (!good) return fail(Cause::malformed, "no host name or address");
  return endpoint;
}

Result<UniqueFd> connect_to(const Endpoint& server, Deadline deadline) {
  if (!server.path.empty()) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (server.path.size() >= sizeof address.sun_path)
      return fail(Cause::misconfigured, "the socket's path is too long");
    std::memcpy(address.sun_path, server.path.data(), server.path.size());
    return connect_address(reinterpret_cast<const sockaddr*>(&address), sizeof address, AF_UNIX, deadline);
  }
  auto addresses = resolve(server, deadline);
  if (!addresses) return std::unexpected(std::move(addresses.error()));
  Result<UniqueFd> last = fail(Cause::unavailable, "no address");
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

}  // namespace postern::base

// SPDX-License-Identifier: Apache-2.0
// getaddrinfo() knows no deadline, so it runs on a thread of its own, which is left behind when it takes too long. How
// many such threads there are is bounded, and one name is asked for once however many wait for it: a burst of mail, or
// an answer that is late, must not look like a server that is down.
#include "engine/base/connect.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/base/io.h"

namespace postern::base {
namespace {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
using Addresses = Handle<addrinfo, freeaddrinfo>;

constexpr int kQueuePause = 20;  // milliseconds

// Lookup is one question for the addresses of a name, shared by all who have it at that time. All but the names is
// under the mutex of Lookups until `done`; what follows never changes.
struct Lookup {
  std::string host;
  std::string port;
  bool done = false;
  int error = 0;
  Addresses addresses;
};

// Lookups are the questions under way, at most kMost. It is never destroyed: threads that getaddrinfo() holds outlive
// everything else.
class Lookups {
 public:
  // resolve returns a look-up that is done and has addresses. Where all places are taken it waits for one.
  Result<std::shared_ptr<const Lookup>> resolve(const std::string& host, const std::string& port, Deadline deadline);

 private:
  static constexpr size_t kMost = 8;

  // With mutex_ held.
  std::shared_ptr<Lookup> under_way(const std::string& host, const std::string& port) const;
  bool start(const std::shared_ptr<Lookup>& lookup);
  void end(const std::shared_ptr<Lookup>& lookup);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Lookup>> running_;
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

std::shared_ptr<Lookup> Lookups::under_way(const std::string& host, const std::string& port) const {
  const auto at = std::ranges::find_if(
      running_, [&](const std::shared_ptr<Lookup>& other) { return other->host == host && other->port == port; });
  return at == running_.end() ? nullptr : *at;
}

bool Lookups::start(const std::shared_ptr<Lookup>& lookup) {
  running_.push_back(lookup);
  try {
    std::thread([this, lookup] {
      Addresses found;
      const int error = resolve_now(lookup->host, lookup->port, AI_ADDRCONFIG, found);
      const std::lock_guard guard(mutex_);
      lookup->error = error;
      lookup->addresses = std::move(found);
      lookup->done = true;
      end(lookup);
    }).detach();
  } catch (const std::exception&) {
    end(lookup);
    return false;
  }
  return true;
}

void Lookups::end(const std::shared_ptr<Lookup>& lookup) {
  std::erase(running_, lookup);
  changed_.notify_all();
}

Result<std::shared_ptr<const Lookup>> Lookups::resolve(const std::string& host, const std::string& port,
                                                       Deadline deadline) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<Lookup> lookup;
  const auto placed = [&] {
    lookup = under_way(host, port);
    return lookup != nullptr || running_.size() < kMost;
  };
  if (!changed_.wait_until(lock, deadline, placed)) {
    return fail(Cause::unavailable, "name look-up of " + host + ": too many others wait for an answer");
  }
  if (lookup == nullptr) {
    lookup = std::make_shared<Lookup>();
    lookup->host = host;
    lookup->port = port;
    if (!start(lookup)) return fail(Cause::unavailable, "no thread for the name look-up of " + host);
  }
  if (!changed_.wait_until(lock, deadline, [&] { return lookup->done; })) {
    return fail(Cause::unavailable, "name look-up of " + host + ": no answer in time");
  }
  if (lookup->error != 0) {
    return fail(Cause::unavailable, "name look-up of " + host + ": " + ::gai_strerror(lookup->error));
  }
  return lookup;
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
  const std::string port = std::to_string(server.port);
  Addresses literal;
  std::shared_ptr<const Lookup> named;
  if (resolve_now(server.host, port, AI_NUMERICHOST, literal) != 0) {
    static Lookups& lookups = *new Lookups;
    auto found = lookups.resolve(server.host, port, deadline);
    if (!found) return std::unexpected(std::move(found.error()));
    named = std::move(*found);
  }
  Result<UniqueFd> last = fail(Cause::unavailable, "no address");
  for (const addrinfo* at = named ? named->addresses.get() : literal.get(); at != nullptr; at = at->ai_next) {
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

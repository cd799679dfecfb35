// SPDX-License-Identifier: Apache-2.0
// The system calls of one connection (unix(7), SOCK_SEQPACKET: one send is one frame, kept whole).
#include "keystore/client/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace postern::keystore {

namespace {

using base::Cause;
using std::chrono::steady_clock;

constexpr auto kLongest = std::chrono::hours(1);

// left is the time to `deadline`, between nothing and an hour, so that no far deadline overflows a timeval.
std::chrono::nanoseconds left(crypto::Deadline deadline) {
  const auto now = steady_clock::now();
  if (deadline <= now) return std::chrono::nanoseconds(0);
  if (deadline - now > kLongest) return kLongest;
  return deadline - now;
}

}  // namespace

uint32_t milliseconds_left(crypto::Deadline deadline) {
  const auto rest = left(deadline);
  if (rest.count() == 0) return 0;
  return std::max<uint32_t>(1,
                            static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(rest).count()));
}

base::Result<int> new_socket() {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(base::system_error("socket", errno));
  return fd;
}

base::Result<void> connect_socket(int fd, const std::string& path, crypto::Deadline deadline, bool& timed_out) {
  timed_out = false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return base::fail(Cause::misconfigured, "fipsd's socket \"" + path + "\": no path of a socket can be this");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  for (;;) {
    // Tried once at least: the time that a caller lost before says nothing about fipsd.
    const auto rest = left(deadline);
    // Where the backlog is full, connect() waits as long as a send may.
    const auto microseconds = std::max<int64_t>(1, rest.count() / 1000);
    const timeval limit{microseconds / 1000000, microseconds % 1000000};
    if (::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
      return std::unexpected(base::system_error("setsockopt", errno));
    }
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return {};
    if (errno == EINTR || errno == EAGAIN) {
      if (rest.count() == 0) break;
      continue;
    }
    base::Error error = base::system_error(path, errno);
    const Cause cause = error.cause() == Cause::denied                           ? Cause::denied
                        : errno == ENOENT || error.cause() == Cause::unavailable ? Cause::unavailable
                                                                                 : Cause::misconfigured;
    return base::fail(cause, "fipsd is not there: " + error.text());
  }
  timed_out = true;
  return base::fail(Cause::unavailable, "fipsd takes no connection at " + path);
}

Wire send_now(int fd, std::string_view frame) {
  for (;;) {
    if (::send(fd, frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return Wire::done;
    if (errno == EINTR) continue;
    return errno == EAGAIN ? Wire::again : Wire::lost;
  }
}

Wire receive_now(int fd, std::span<char> buffer, size_t& size) {
  bool reset = false;
  for (;;) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got > 0) {
      size = static_cast<size_t>(got);
      return Wire::done;
    }
    if (got == 0) return Wire::lost;
    if (errno == EINTR) continue;
    // A reset is told once, before what arrived ahead of it.
    if (errno == ECONNRESET && !reset) {
      reset = true;
      continue;
    }
    return errno == EAGAIN && !reset ? Wire::again : Wire::lost;
  }
}

bool wait_for(int fd, short events, crypto::Deadline deadline) {
  pollfd one{fd, events, 0};
  for (;;) {
    const auto rest = left(deadline);
    if (rest.count() == 0) return false;
    const timespec limit{rest.count() / 1000000000, rest.count() % 1000000000};
    const int ready = ::ppoll(&one, 1, &limit, nullptr);
    if (ready > 0) return true;
  }
}

void wipe_bytes(std::span<char> bytes) { ::explicit_bzero(bytes.data(), bytes.size()); }

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// A server that refuses a message in the middle of it answers and closes: what it said is lost if its answer is looked
// for only after everything was sent, so both directions are watched.
#include "engine/inspect/stream.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/io.h"

namespace postern::inspect {
namespace {

using base::Cause;
using base::fail;

constexpr size_t kMostVectors = 64;
constexpr size_t kReadBytes = 16u << 10;

int milliseconds_to(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

}  // namespace

base::Result<Stream> Stream::connect(const base::Endpoint& endpoint, Deadline connected, Deadline deadline) {
  auto fd = base::connect_to(endpoint, std::min(connected, deadline));
  if (!fd) return std::unexpected(std::move(fd.error()));
  return Stream(std::move(*fd), deadline);
}

base::Result<bool> Stream::send(std::span<const std::string_view> pieces) {
  size_t at = 0;
  size_t offset = 0;  // in pieces[at]
  for (;;) {
    while (at < pieces.size() && offset == pieces[at].size()) {
      ++at;
      offset = 0;
    }
    if (at == pieces.size()) return true;
    if (Clock::now() >= deadline_) return fail(Cause::unavailable, "the message was not taken in time");
    pollfd entry{fd_.get(), POLLIN | POLLOUT, 0};
    const int ready = ::poll(&entry, 1, milliseconds_to(deadline_));
    if (ready < 0 && errno != EINTR) return fail(Cause::unavailable, std::string("poll: ") + std::strerror(errno));
    if (ready <= 0) continue;
    if ((entry.revents & (POLLIN | POLLHUP | POLLERR)) != 0) return false;
    iovec vectors[kMostVectors];
    size_t count = 0;
    for (size_t i = at; i < pieces.size() && count < kMostVectors; ++i) {
      const std::string_view piece = i == at ? pieces[i].substr(offset) : pieces[i];
      vectors[count++] = {const_cast<char*>(piece.data()), piece.size()};
    }
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      if (errno == EPIPE || errno == ECONNRESET) return false;
      return fail(Cause::unavailable, std::string("send: ") + std::strerror(errno));
    }
    for (auto left = static_cast<size_t>(sent); left > 0;) {
      const size_t step = std::min(left, pieces[at].size() - offset);
      offset += step;
      left -= step;
      if (offset == pieces[at].size()) {
        ++at;
        offset = 0;
      }
    }
  }
}

base::Result<bool> Stream::read(std::string& to) {
  for (;;) {
    if (!base::wait_for(fd_.get(), false, deadline_)) return fail(Cause::unavailable, "no answer in time");
    const size_t before = to.size();
    to.resize(before + kReadBytes);
    const ssize_t got = ::recv(fd_.get(), to.data() + before, kReadBytes, MSG_DONTWAIT);
    const int error = errno;
    to.resize(before + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got >= 0) return got > 0;
    if (error == EAGAIN || error == EINTR) continue;
    return fail(Cause::unavailable, std::string("read: ") + std::strerror(error));
  }
}

base::Result<std::string> Stream::read_until(char end, size_t most) {
  std::string out;
  for (;;) {
    auto more = read(out);
    if (!more) return std::unexpected(std::move(more.error()));
    if (const size_t at = out.find(end); at != std::string::npos) {
      out.resize(at);
      *more = false;
    }
    if (out.size() > most) return fail(Cause::limit, "the answer is too long");
    if (!*more && out.empty()) return fail(Cause::unavailable, "the connection was closed without an answer");
    if (!*more) return out;
  }
}

}  // namespace postern::inspect

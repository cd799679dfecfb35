// SPDX-License-Identifier: Apache-2.0
// Fixture for the tests of fipsd's client and server: a directory for sockets, a bare peer that speaks frames by hand,
// a server whose handler does what the request's body says, and a fake fipsd that follows a script.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/handle.h"
#include "keystore/protocol/protocol.h"
#include "keystore/server.h"
#include "test/support/temporary_directory.h"

namespace postern::keystore {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

// Only against hangs.
constexpr auto kPatience = 60s;

// eventually looks at `holds`, which has no signal of its own, again and again until it is true or patience ends.
template <class F>
bool eventually(F holds) {
  const auto end = steady_clock::now() + kPatience;
  while (!holds()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class Directory : public test::TemporaryDirectory {
 public:
  std::string socket(const std::string& name = "sock") const { return *this / name; }
};

inline sockaddr_un socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

inline base::UniqueFd listen_at(const std::string& path, int backlog = 64) {
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = socket_address(path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), backlog) != 0) {
    fd.reset();
  }
  return fd;
}

// Peer is one end of a connection, driven by hand.
class Bare {
 public:
  explicit Bare(base::UniqueFd fd) : fd_(std::move(fd)) {}
  explicit Bare(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) { connect(path); }
  void connect(const std::string& path) {
    const sockaddr_un address = socket_address(path);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd_.reset();
  }
  bool connected() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

  bool send_frame(std::string_view frame) {
    return ::send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(frame.size());
  }
  bool ask(Verb verb, uint32_t id, std::string_view body = {}, uint32_t deadline_ms = 60000) {
    return send_frame(encode_request({verb, id, deadline_ms}, body));
  }
  // take waits for one frame; nullopt at the end of the connection.
  std::optional<std::string> take() {
    std::string frame(kMaxFrame + 1, '\0');
    for (int i = 0; i < 2; ++i) {  // a reset is told before what came ahead of it
      pollfd one{fd_.get(), POLLIN, 0};
      if (::poll(&one, 1, std::chrono::milliseconds(kPatience).count()) <= 0) {
        ADD_FAILURE() << "nothing came";
        return std::nullopt;
      }
      const ssize_t got = ::recv(fd_.get(), frame.data(), frame.size(), 0);
      if (got > 0) {
        frame.resize(static_cast<size_t>(got));
        return frame;
      }
      if (got == 0) return std::nullopt;
    }
    return std::nullopt;
  }
  std::optional<Reply> reply() {
    const auto frame = take();
    if (!frame) return std::nullopt;
    auto reply = decode_reply(*frame);
    EXPECT_TRUE(reply.has_value());
    if (!reply) return std::nullopt;
    return *reply;
  }
  std::optional<Status> status() {
    const auto got = reply();
    if (!got) return std::nullopt;
    return got->status;
  }

 private:
  base::UniqueFd fd_;
};

// Toy does what bodies say: "hold" waits until release(), "throw" throws, "huge" answers more than a frame can hold,
// "big" answers 60,000 bytes, anything else comes back as it is. It notes what it was called for.
class Toy : public Handler {
 public:
  Reply handle(const Peer& peer, const Request& request, uint32_t worker, steady_clock::time_point) override {
    const bool officer = worker == kOfficerLane;
    if (officer && officers_.fetch_add(1) != 0) overlapped = true;
    const std::string body(request.body);
    note((officer ? "officer " : "worker ") + std::to_string(peer.connection) + " " + body);
    calls.fetch_add(1);
    if (body == "hold") {
      std::unique_lock lock(mutex_);
      ++holding_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return released_; });
      --holding_;
    }
    if (officer) officers_.fetch_sub(1);
    if (body == "throw") throw std::runtime_error("toy");
    if (body == "huge") return {0, Status::ok, std::string(kMaxFrame, 'h')};
    if (body == "big") return {0, Status::ok, std::string(60000, 'b')};
    if (body == "denied") return {0, Status::denied, "toy says no"};
    return {999, Status::ok, body};
  }
  void closed(const Peer& peer) override { note("closed " + std::to_string(peer.connection)); }
  void idle() override { idles.fetch_add(1); }
  void refused(const Peer&, std::string_view why) override { note("refused " + std::string(why)); }

  bool wait_holding(uint32_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return holding_ >= count; });
  }
  void release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  std::vector<std::string> notes() {
    const std::lock_guard lock(mutex_);
    return notes_;
  }
  bool noted(const std::string& what) {
    const std::lock_guard lock(mutex_);
    return std::find(notes_.begin(), notes_.end(), what) != notes_.end();
  }

  std::atomic<uint32_t> calls{0};
  std::atomic<uint32_t> idles{0};
  std::atomic<bool> overlapped{false};

 private:
  void note(std::string what) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(what));
  }
  std::atomic<int> officers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> notes_;
  uint32_t holding_ = 0;
  bool released_ = false;
};

// Fake is a fipsd that follows a script: it is called for each connection on a thread of its own.
class Fake {
 public:
  using Script = std::function<void(Bare& peer, int number)>;
  Fake(const std::string& path, Script script) : listener_(listen_at(path)), script_(std::move(script)), path_(path) {
    EXPECT_TRUE(listener_);
    thread_ = std::thread([this] { accept_loop(); });
  }
  ~Fake() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    listener_.reset();
    ::unlink(path_.c_str());
    {
      const std::lock_guard lock(mutex_);
      for (const auto& peer : peers_) ::shutdown(peer->fd(), SHUT_RDWR);
    }
    for (std::thread& one : scripts_) one.join();
  }
  int connections() const { return connections_.load(); }

 private:
  void accept_loop() {
    for (;;) {
      base::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      const std::lock_guard lock(mutex_);
      peers_.push_back(std::make_unique<Bare>(std::move(fd)));
      scripts_.emplace_back([this, peer = peers_.back().get(), number = connections_.fetch_add(1)] {
        script_(*peer, number);
        ::shutdown(peer->fd(), SHUT_RDWR);
      });
    }
  }
  base::UniqueFd listener_;
  Script script_;
  const std::string path_;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Bare>> peers_;
  std::vector<std::thread> scripts_;
  std::thread thread_;
};

}  // namespace postern::keystore

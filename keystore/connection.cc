// SPDX-License-Identifier: Apache-2.0
// Writing to one peer without waiting for it.
#include "keystore/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace postern::keystore {

namespace {
constexpr size_t kMaxWaiting = 1u << 20;  // bytes kept for a peer that does not read
}  // namespace

void wipe_frame(std::string& frame) {
  ::explicit_bzero(frame.data(), frame.size());
  frame.clear();
}

Connection::~Connection() {
  for (std::string& frame : waiting_) wipe_frame(frame);
}

void Connection::send(std::string frame) {
  const std::lock_guard lock(mutex_);
  if (finishing_ || ended_) {
    wipe_frame(frame);
    return;
  }
  put(std::move(frame));
}

void Connection::finish(std::string frame) {
  gone_.store(true, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  if (finishing_ || ended_) return;
  finishing_ = true;
  put(std::move(frame));
  if (waiting_.empty()) end();
}

void Connection::shut() {
  const std::lock_guard lock(mutex_);
  end();
}

void Connection::flush() {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  if (drain() && finishing_) {
    end();
  } else {
    listen();
  }
}

bool Connection::watch() {
  epoll_event event{};
  event.events = EPOLLIN | (once_ ? EPOLLONESHOT : 0u);
  event.data.u64 = peer_.connection;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_.get(), &event) == 0;
}

void Connection::unwatch() { ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd_.get(), nullptr); }

void Connection::arm() {
  if (!once_) return;
  const std::lock_guard lock(mutex_);
  listen();
}

void Connection::put(std::string frame) {
  const bool first = waiting_.empty();
  waiting_bytes_ += frame.size();
  waiting_.push_back(std::move(frame));
  if (!first) {
    if (waiting_bytes_ > kMaxWaiting) end();
    return;
  }
  if (ended_ || drain()) return;
  waiting_since_.store(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count(),
      std::memory_order_relaxed);
  if (!ended_) listen();
}

// drain sends what waits; true when all of it is gone.
bool Connection::drain() {
  while (!waiting_.empty()) {
    std::string& frame = waiting_.front();
    if (::send(fd_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) end();
      return false;
    }
    waiting_bytes_ -= frame.size();
    wipe_frame(frame);
    waiting_.pop_front();
  }
  waiting_since_.store(0, std::memory_order_relaxed);
  return true;
}

// listen sets what is waited for: requests, or room for what waits to be sent. A hang-up is always told.
void Connection::listen() {
  epoll_event event{};
  event.events = (waiting_.empty() ? EPOLLIN : EPOLLOUT) | (once_ ? EPOLLONESHOT : 0u);
  event.data.u64 = peer_.connection;
  // Fails only when unwatch() came first.
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_.get(), &event);
}

void Connection::end() {
  gone_.store(true, std::memory_order_release);
  if (ended_) return;
  ended_ = true;
  // The peer still gets what was sent; the reader thread sees the hang-up and lets the connection go.
  ::shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace postern::keystore

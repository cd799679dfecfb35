// SPDX-License-Identifier: Apache-2.0
// Connections are taken from the end, so that those used least grow old and are closed.
#include "engine/directory/server.h"

#include <algorithm>
#include <utility>

namespace postern::directory {
namespace {
constexpr std::chrono::milliseconds kFirstPause{500};
}

bool Server::enter(Clock::time_point now) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (up_) return true;
  if (trying_ || now < due_) return false;
  trying_ = true;
  return true;
}

bool Server::failed(const std::string& reason, Clock::time_point now) {
  std::vector<std::unique_ptr<Connection>> closed;
  const std::lock_guard<std::mutex> guard(mutex_);
  ++failures_;
  trying_ = false;
  tried_ = true;
  reason_ = reason;
  const bool was_up = std::exchange(up_, false);
  // Several callers may notice one failure; the pause grows once for it.
  if (was_up || now >= due_) {
    pause_ = was_up ? kFirstPause : pause_ * 2;
    pause_ = std::min(pause_, settings_.retry);
    due_ = now + pause_;
  }
  closed.swap(idle_);
  return was_up;
}

bool Server::succeeded() {
  const std::lock_guard<std::mutex> guard(mutex_);
  trying_ = false;
  tried_ = true;
  reason_.clear();
  return !std::exchange(up_, true);
}

Server::Lease::~Lease() {
  if (server_ == nullptr) return;
  const bool usable = connection != nullptr && connection->usable();
  server_->give(usable ? std::move(connection) : nullptr);
}

Server::Visit::~Visit() {
  if (!over_) server_.leave();
}

void Server::leave() {
  const std::lock_guard<std::mutex> guard(mutex_);
  trying_ = false;
}

base::Result<std::unique_ptr<Connection>> Server::take(const Opener& open, Deadline deadline, bool& reused) {
  std::vector<std::unique_ptr<Connection>> closed;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto room = [&] { return in_use_ < settings_.connections; };
    if (!freed_.wait_until(lock, deadline, room)) return std::unique_ptr<Connection>();
    ++in_use_;
    while (!idle_.empty()) {
      std::unique_ptr<Connection> last = std::move(idle_.back());
      idle_.pop_back();
      if (last->usable() && Clock::now() - last->last_used() < settings_.idle) {
        reused = true;
        return last;
      }
      closed.push_back(std::move(last));
    }
  }
  closed.clear();
  reused = false;
  Lease place(*this);
  auto opened = open();
  if (opened) place.keep();
  return opened;
}

void Server::give(std::unique_ptr<Connection> connection) {
  std::vector<std::unique_ptr<Connection>> closed;
  const std::lock_guard<std::mutex> guard(mutex_);
  --in_use_;
  freed_.notify_one();
  if (connection == nullptr) return;
  idle_.push_back(std::move(connection));
  const auto old = [&](const std::unique_ptr<Connection>& entry) {
    return Clock::now() - entry->last_used() >= settings_.idle;
  };
  while (!idle_.empty() && old(idle_.front())) {
    closed.push_back(std::move(idle_.front()));
    idle_.erase(idle_.begin());
  }
}

void Server::forget() {
  std::vector<std::unique_ptr<Connection>> closed;
  const std::lock_guard<std::mutex> guard(mutex_);
  closed.swap(idle_);
}

Clock::time_point Server::due() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (!tried_) return Clock::time_point::min();
  return up_ ? Clock::time_point::max() : due_;
}

bool Server::up() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return up_;
}

bool Server::tried() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return tried_;
}

void Server::inherit(const Server& earlier) {
  const std::scoped_lock guard(mutex_, earlier.mutex_);
  up_ = earlier.up_;
  tried_ = earlier.tried_;
  reason_ = earlier.reason_;
  // Loading again is how an administrator says that something was mended.
  pause_ = kFirstPause;
  due_ = {};
}

ServerStatus Server::status() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return {url_.text, up_, tried_, reason_, in_use_ + static_cast<uint32_t>(idle_.size()), questions_, failures_};
}

void Server::count(uint64_t questions) {
  const std::lock_guard<std::mutex> guard(mutex_);
  questions_ += questions;
}

}  // namespace postern::directory

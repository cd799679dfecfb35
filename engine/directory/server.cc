// SPDX-License-Identifier: Apache-2.0
// Connections are taken from the end, so that those used least grow old and are closed.
#include "engine/directory/server.h"

#include <utility>

namespace postern::directory {

bool Server::failed(const std::string& reason, Clock::time_point now) {
  const bool was_up = health_.failed(reason, now);
  forget();
  return was_up;
}

Server::Lease::~Lease() {
  if (server_ == nullptr) return;
  const bool usable = connection != nullptr && connection->usable();
  server_->give(usable ? std::move(connection) : nullptr);
}

Server::Visit::~Visit() {
  if (!over_) server_.leave();
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

ServerStatus Server::status() const {
  const base::Health::Status health = health_.status();
  const std::lock_guard<std::mutex> guard(mutex_);
  return {url_.text,  health.up,      health.tried, health.reason, in_use_ + static_cast<uint32_t>(idle_.size()),
          questions_, health.failures};
}

void Server::count(uint64_t questions) {
  const std::lock_guard<std::mutex> guard(mutex_);
  questions_ += questions;
}

}  // namespace postern::directory

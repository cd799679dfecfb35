// SPDX-License-Identifier: Apache-2.0
// The pauses: half a second after the first failure, then twice as long each time.
#include "engine/base/health.h"

#include <algorithm>
#include <random>
#include <utility>

namespace postern::base {
namespace {

constexpr std::chrono::milliseconds kFirstPause{500};

std::chrono::milliseconds lengthened(std::chrono::milliseconds pause) {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return pause + std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(0, pause.count() / 5)(generator));
}

}  // namespace

bool Health::enter(Clock::time_point now) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (up_) return true;
  if (trying_ || now < due_) return false;
  trying_ = true;
  return true;
}

bool Health::failed(const std::string& reason, Clock::time_point now) {
  const std::lock_guard<std::mutex> guard(mutex_);
  ++failures_;
  trying_ = false;
  tried_ = true;
  reason_ = reason;
  const bool was_up = std::exchange(up_, false);
  // Several callers may notice one failure; the pause grows once for it.
  if (was_up || now >= due_) {
    pause_ = std::min(was_up ? kFirstPause : pause_ * 2, longest_);
    due_ = now + (jitter_ ? lengthened(pause_) : pause_);
  }
  return was_up;
}

bool Health::succeeded() {
  const std::lock_guard<std::mutex> guard(mutex_);
  trying_ = false;
  tried_ = true;
  reason_.clear();
  return !std::exchange(up_, true);
}

void Health::leave() {
  const std::lock_guard<std::mutex> guard(mutex_);
  trying_ = false;
}

Health::Clock::time_point Health::due() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (!tried_) return Clock::time_point::min();
  return up_ ? Clock::time_point::max() : due_;
}

void Health::inherit(const Health& earlier) {
  const std::scoped_lock guard(mutex_, earlier.mutex_);
  up_ = earlier.up_;
  tried_ = earlier.tried_;
  reason_ = earlier.reason_;
  pause_ = kFirstPause;
  due_ = {};
}

Health::Status Health::status() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return {up_, tried_, reason_, failures_};
}

bool Health::up() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return up_;
}

}  // namespace postern::base

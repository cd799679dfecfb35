// SPDX-License-Identifier: Apache-2.0
// Guarded<T>: data that can only be reached through its lock.
#pragma once
#include <mutex>
#include <utility>

namespace postern::base {

// Guarded owns a T; lock() gives the only way to it and holds the mutex for as long as the returned object lives.
template <class T>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  class Locked {
   public:
    Locked(std::mutex& mutex, T& value) : lock_(mutex), value_(value) {}
    T* operator->() const { return &value_; }
    T& operator*() const { return value_; }

   private:
    std::unique_lock<std::mutex> lock_;
    T& value_;
  };

  Locked lock() { return Locked(mutex_, value_); }

 private:
  std::mutex mutex_;
  T value_;
};

}  // namespace postern::base

// SPDX-License-Identifier: Apache-2.0
// Ownership of C resources: Handle for pointers with a free function, UniqueFd for descriptors. Move only, no threads.
#pragma once
#include <unistd.h>

#include <memory>
#include <utility>

namespace postern::base {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

// Handle owns a C object and frees it with `Free`; declare one alias per type, beside the wrapper that uses it.
template <class T, auto Free>
using Handle = std::unique_ptr<T, FreeWith<Free>>;

// UniqueFd owns a file descriptor and closes it; -1 is "none".
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0 && fd_ != fd) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace postern::base

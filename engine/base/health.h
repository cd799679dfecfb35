// SPDX-License-Identifier: Apache-2.0
// Health: whether a server that others depend on answers. One that failed is left alone for a time that doubles with
// each failure, up to a bound; then one caller tries it while the others still pass by. The first good answer, however
// it was come by and after any number of failures, makes it good again. Thread-safe; nothing waits.
#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace postern::base {

class Health {
 public:
  using Clock = std::chrono::steady_clock;

  // `longest` bounds the pause; with `jitter` each pause is up to a fifth longer, by chance, so that many clients do
  // not come back at once.
  explicit Health(std::chrono::milliseconds longest, bool jitter = false) : longest_(longest), jitter_(jitter) {}
  Health(const Health&) = delete;
  Health& operator=(const Health&) = delete;

  // enter asks whether the server may be used at `now`; a caller to whom it said yes must end with succeeded(),
  // failed() or leave().
  bool enter(Clock::time_point now);
  // failed and succeeded return whether the server was thought otherwise before.
  bool failed(const std::string& reason, Clock::time_point now);
  bool succeeded();
  // leave ends an attempt that says nothing about the server.
  void leave();

  // due is when a server that failed may be tried again: long ago for one that was never tried, never for one that
  // answers.
  Clock::time_point due() const;
  // inherit takes over what an earlier object knew, but for the pause: loading again is how an administrator says that
  // something was mended.
  void inherit(const Health& earlier);

  struct Status {
    bool up = true;
    bool tried = false;
    std::string reason;  // why it is down
    uint64_t failures = 0;
  };
  Status status() const;
  bool up() const;

 private:
  const std::chrono::milliseconds longest_;
  const bool jitter_;
  mutable std::mutex mutex_;
  bool up_ = true;
  bool tried_ = false;
  bool trying_ = false;
  std::string reason_;
  std::chrono::milliseconds pause_{0};
  Clock::time_point due_{};
  uint64_t failures_ = 0;
};

}  // namespace postern::base

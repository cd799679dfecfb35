// SPDX-License-Identifier: Apache-2.0
// Listener: the sockets fipsd listens on, made here or handed over by systemd. A socket file that nobody answers at is
// what an ended fipsd left and is replaced; anything else at its path is left alone and is an error. A socket is
// reachable only once its owner, group and mode are set. Used before threads start.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "keystore/server.h"

namespace postern::keystore {

// Listener is one listening socket of class `socket_class`; a path made here is removed with it.
class Listener {
 public:
  Listener(base::UniqueFd fd, uint32_t socket_class, std::string made)
      : fd_(std::move(fd)), socket_class_(socket_class), made_(std::move(made)) {}
  Listener(Listener&& other) noexcept = default;
  Listener& operator=(Listener&& other) = delete;
  ~Listener();

  int fd() const { return fd_.get(); }
  uint32_t socket_class() const { return socket_class_; }

 private:
  base::UniqueFd fd_;
  uint32_t socket_class_;
  std::string made_;
};

// open_listeners takes over the passed sockets of every class and makes those of its paths that none of them is bound
// to. On error nothing made stays behind.
base::Result<std::vector<Listener>> open_listeners(std::vector<SocketOptions>& sockets);

}  // namespace postern::keystore

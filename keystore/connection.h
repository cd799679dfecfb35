// SPDX-License-Identifier: Apache-2.0
// Connection: one peer of the server. Who has a reply writes it directly and never waits: what the socket does not take
// is kept, bounded, and sent when it does; meanwhile nothing is read from this peer. Frames are wiped once they are
// sent or dropped. Any thread; the descriptor lives as long as the object.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "engine/base/handle.h"
#include "keystore/server.h"

namespace postern::keystore {

// wipe_frame overwrites what may have held a secret and empties it.
void wipe_frame(std::string& frame);

class Connection {
 public:
  // `epoll` is where watch() registers the descriptor, under the tag peer.connection. With `once`, an event is given to
  // one thread only, and no other before arm().
  Connection(base::UniqueFd fd, Peer peer, int epoll, bool once)
      : fd_(std::move(fd)), peer_(std::move(peer)), epoll_(epoll), once_(once) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  int fd() const { return fd_.get(); }
  const Peer& peer() const { return peer_; }

  // send writes one frame, now or as soon as the socket takes it; nothing after the last word.
  void send(std::string frame);
  // finish sends a last frame and shuts the connection down after it. From now on gone() is true.
  void finish(std::string frame);
  // shut ends the connection at once.
  void shut();
  // flush goes on sending what waits, when the socket takes bytes again.
  void flush();

  // watch begins to report events; false when the system does not allow it. unwatch ends it. arm lets the next event
  // come.
  bool watch();
  void unwatch();
  void arm();

  // gone tells that requests of this connection are not to be handled any more.
  bool gone() const { return gone_.load(std::memory_order_acquire); }
  // waiting_since is when the frames that wait began to wait (milliseconds of the steady clock); 0: none waits.
  int64_t waiting_since() const { return waiting_since_.load(std::memory_order_relaxed); }

  // Requests taken from this connection and not answered yet.
  std::atomic<uint32_t> in_flight{0};

 private:
  void put(std::string frame);
  bool drain();
  void listen();
  void end();

  const base::UniqueFd fd_;
  const Peer peer_;
  const int epoll_;
  const bool once_;
  std::atomic<bool> gone_{false};
  std::atomic<int64_t> waiting_since_{0};
  std::mutex mutex_;  // of what follows
  std::deque<std::string> waiting_;
  size_t waiting_bytes_ = 0;
  bool finishing_ = false;  // shut down once nothing waits
  bool ended_ = false;
};

}  // namespace postern::keystore

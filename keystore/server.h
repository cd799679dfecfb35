// SPDX-License-Identifier: Apache-2.0
// Server: sockets, connections, the bounded queue and the threads of fipsd; it knows frames but not keys. An idle
// worker waits for requests itself, so that a request costs one wake-up; when none is idle, the reader thread takes
// what comes into the bounded queue. The reader also accepts connections and reads officers' ones, in order. One
// officer thread handles what only an officer socket may ask, one after another, so that slow or delayed officer
// actions hold up no signature and attempts are taken in turn. A connection's replies may come in another order than
// its requests. Limits: connections per socket class, requests in flight per connection, queue length (beyond: `busy`),
// rate per class (token bucket; beyond: `busy`), frame size. A bad frame closes that connection, and so does not
// reading one's replies; nothing a peer sends ends the process. Frames are wiped after use.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {

// Peer is who asks: the socket class it came by (an index into ServerOptions::sockets) and what the kernel says of it
// (SO_PEERCRED at connect time).
struct Peer {
  uint32_t socket_class = 0;
  std::string class_name;
  bool officer_socket = false;
  uint64_t connection = 0;  // unique for the life of the process
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Handler does the work. handle() is called on a worker thread with that worker's number (0 … workers-1), or, for
// officer verbs of officer sockets, on the officer thread with worker == kOfficerLane. It must return by the request's
// deadline as well as it can. The reply's id is set by the server. What it throws becomes the reply `failed`.
class Handler {
 public:
  static constexpr uint32_t kOfficerLane = UINT32_MAX;
  virtual ~Handler() = default;
  virtual Reply handle(const Peer& peer, const Request& request, uint32_t worker,
                       std::chrono::steady_clock::time_point deadline) = 0;
  // closed is called on the officer thread after an officer connection went, before any later request is handled.
  virtual void closed(const Peer& peer) = 0;
  // idle is called on the officer thread about once a second when nothing is to do: idle sessions end there.
  virtual void idle() = 0;
  // refused tells, on any of the server's threads, that a peer was turned away (user not allowed, connection limit, bad
  // frame, not reading its replies); at most ten times a second, the rest is only counted.
  virtual void refused(const Peer& peer, std::string_view why) {
    (void)peer;
    (void)why;
  }
};

struct SocketOptions {
  std::string class_name;
  bool officer = false;
  std::vector<std::string> paths;  // created here unless systemd passed them
  std::vector<base::UniqueFd> passed;
  uint32_t mode = 0660;
  std::string group;
  std::vector<uid_t> allowed_uids;  // empty: the socket's mode decides
  uint32_t rate = 0;                // requests a second, burst the same; 0: unlimited
  uint32_t connections = 1024;
};

struct ServerOptions {
  std::vector<SocketOptions> sockets;
  uint32_t workers = 2;
  uint32_t queue = 1024;
  uint32_t in_flight = 64;     // per connection
  uint32_t unread_ms = 10000;  // a connection whose replies wait longer for their reader is closed
};

class Server {
 public:
  static base::Result<std::unique_ptr<Server>> create(ServerOptions options, Handler& handler);
  virtual ~Server() = default;

  // start makes the threads, with all signals blocked; stop ends them: no new request is taken, those being handled are
  // answered, those waiting are told `unavailable`. closed() is not called for what stop closes.
  virtual base::Result<void> start() = 0;
  virtual void stop() = 0;

  // last_word sends `reply` with id 0 to every connection of officer sockets but `except` and closes them after it; no
  // request of theirs is begun, and no other reply sent to them, once it returned.
  virtual void last_word(const Reply& reply, uint64_t except) = 0;
  // send_last_word does the same for one connection.
  virtual void send_last_word(uint64_t connection, const Reply& reply) = 0;

  // stuck_seconds is how long the longest running handle() call has been running (for the watchdog); 0 when none is.
  virtual uint32_t stuck_seconds() const = 0;

  struct Counters {
    uint64_t connections = 0, requests = 0, busy = 0, expired = 0, denied = 0, malformed = 0;
    uint32_t open = 0, queued = 0;
  };
  virtual Counters counters() const = 0;
};

}  // namespace postern::keystore

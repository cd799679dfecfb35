// SPDX-License-Identifier: Apache-2.0
// Server: one server of a profile: its idle connections and whether it answers. One that failed is left alone for a
// time (base::Health). Thread-safe; no lock is held while anything waits for the network.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/base/health.h"
#include "engine/directory/ldap.h"

namespace postern::directory {

class Server {
 public:
  Server(const ProfileSettings& settings, ServerUrl url)
      : settings_(settings), url_(std::move(url)), health_(settings.retry) {}

  const ServerUrl& url() const { return url_; }

  // enter asks whether the server may be used at `now`; a caller to whom it said yes must end with succeeded(),
  // failed() or leave().
  bool enter(Clock::time_point now) { return health_.enter(now); }
  // failed and succeeded return whether the server was thought otherwise before.
  bool failed(const std::string& reason, Clock::time_point now);
  bool succeeded() { return health_.succeeded(); }
  // leave ends an attempt that says nothing about the server.
  void leave() { health_.leave(); }

  // Opener makes a new connection.
  using Opener = std::function<base::Result<std::unique_ptr<Connection>>()>;
  // take returns an idle connection, or a new one of `open`; `reused` tells which. When all connections are in use it
  // waits for one until `deadline`, and then returns nullptr.
  base::Result<std::unique_ptr<Connection>> take(const Opener& open, Deadline deadline, bool& reused);
  // give takes a connection back; nullptr when it was no longer usable.
  void give(std::unique_ptr<Connection> connection);
  // forget closes all idle connections.
  void forget();

  // Lease gives a connection back, or the place of one, whatever happens.
  class Lease {
   public:
    explicit Lease(Server& server, std::unique_ptr<Connection> taken = nullptr)
        : connection(std::move(taken)), server_(&server) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();
    // keep leaves the place to somebody else.
    void keep() { server_ = nullptr; }

    std::unique_ptr<Connection> connection;

   private:
    Server* server_;
  };

  // Visit ends what enter() began with leave(), unless it ended otherwise.
  class Visit {
   public:
    explicit Visit(Server& server) : server_(server) {}
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit();
    void over() { over_ = true; }

   private:
    Server& server_;
    bool over_ = false;
  };

  // due is when a server that failed may be tried again; never for one that answers.
  Clock::time_point due() const { return health_.due(); }
  bool up() const { return health_.up(); }
  void inherit(const Server& earlier) { health_.inherit(earlier.health_); }
  ServerStatus status() const;
  void count(uint64_t questions);

 private:
  const ProfileSettings& settings_;
  const ServerUrl url_;
  base::Health health_;
  mutable std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<Connection>> idle_;
  uint32_t in_use_ = 0;
  uint64_t questions_ = 0;
};

}  // namespace postern::directory

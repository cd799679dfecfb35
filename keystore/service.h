// SPDX-License-Identifier: Apache-2.0
// Service: what each verb of the protocol does. Consumers' verbs go through policy to the vault on worker threads;
// officer verbs, on the officer thread, need a session that a login on the same connection began. PROTOCOL.md is the
// contract.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "keystore/server.h"
#include "keystore/vault.h"

namespace postern::keystore {

class Service : public Handler {
 public:
  Service(Vault& vault, uint32_t workers);
  ~Service() override;

  // use_server gives the server that calls this handler: for last words and counters. Before start().
  void use_server(Server& server) { server_ = &server; }
  // stop ends the waiting of a delayed answer.
  void stop() { stopping_.store(true); }

  Reply handle(const Peer& peer, const Request& request, uint32_t worker,
               std::chrono::steady_clock::time_point deadline) override;
  void closed(const Peer& peer) override;
  void idle() override;
  void refused(const Peer& peer, std::string_view why) override;

 private:
  // OfficerSession is the one session there can be.
  struct OfficerSession {
    uint64_t connection = 0;
    By by;
    std::chrono::steady_clock::time_point last;
  };
  // Blob is what one officer connection sends or fetches in pieces.
  struct Blob {
    uint64_t connection = 0;
    std::string bytes;
    uint32_t total = 0;
    std::vector<std::string> backup_keys;  // marked as backed up when all of it was fetched
  };

  using Answer = base::Result<std::string>;
  Answer consumer(const Peer& peer, const Request& request, uint32_t worker);
  Answer sign(const Peer& peer, std::string_view body, uint32_t worker);
  Answer decrypt(const Peer& peer, std::string_view body, uint32_t worker);
  Answer describe(const Peer& peer, std::string_view body);
  Answer certificate(const Peer& peer, std::string_view body);
  Answer list(const Peer& peer, std::string_view body);
  std::string status(const Peer& peer);

  Reply officer(const Peer& peer, const Request& request);
  Reply login(const Peer& peer, const Request& request);
  Reply initialise(const Peer& peer, const Request& request);
  Reply zeroise(const Peer& peer, const Request& request);
  Answer officer_verb(const By& by, const Peer& peer, const Request& request);
  Answer generate(const By& by, std::string_view body);
  Answer import_key(const By& by, std::string_view body);
  Answer blob_get(const By& by, const Peer& peer, std::string_view body);
  Answer blob_put(const Peer& peer, std::string_view body);
  Answer backup(const By& by, const Peer& peer, std::string_view body);
  Answer restore(const By& by, const Peer& peer, std::string_view body);
  bool names_a_key(const Request& request) const;
  void end_session(std::string_view reason);
  void wait(uint32_t seconds);

  Vault& vault_;
  Server* server_ = nullptr;
  std::vector<std::unique_ptr<Session>> sessions_;  // one a worker, made by it
  std::atomic<bool> stopping_{false};
  std::atomic<bool> session_open_{false};
  std::optional<OfficerSession> session_;
  Blob blob_;
  uint64_t asking_ = 0;  // the officer connection whose request is being answered
  std::chrono::steady_clock::time_point started_;
};

}  // namespace postern::keystore

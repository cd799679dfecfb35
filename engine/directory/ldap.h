// SPDX-License-Identifier: Apache-2.0
// Connection: one LDAP connection, made, secured and bound, on which questions are asked. libldap speaks the protocol
// over a socket and a TLS session of ours, so that it neither opens connections by itself nor reads a certificate that
// nobody configured. Every wait ends at a deadline, every answer at a limit. Used by one thread at a time.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/crypto/tls.h"
#include "engine/directory/directory.h"

namespace postern::directory {

// Question is one search, ready to send.
struct Question {
  std::string base;
  std::string filter;
  const QuerySettings* query = nullptr;
  bool fixed_base = true;  // the base does not depend on the address: that it is not there is a fault of the settings
};

class Connection {
 public:
  // open connects, secures and binds before `deadline`. The error says what kept it from that.
  static base::Result<std::unique_ptr<Connection>> open(const ProfileSettings& settings, const ServerUrl& server,
                                                        const crypto::TlsClient* tls, Deadline deadline);
  // start_library has libldap set itself up, which every first use does: it looks up this machine's own host name under
  // a lock, for as long as the name service takes. Called before mail waits for it.
  static void start_library();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // ask sends the questions, several at a time, and returns the answers in their order. `unavailable`: this server did
  // not answer, another one may. Every other error is an answer.
  std::vector<Found> ask(std::span<const Question> questions, Deadline deadline);

  // usable tells whether another question may be asked on this connection.
  bool usable() const;
  // timed_out tells whether it ended because the server took too long.
  bool timed_out() const;
  Clock::time_point last_used() const { return last_used_; }

 private:
  struct Transport;
  struct Pending;
  Connection(const ProfileSettings& settings, std::unique_ptr<Transport> transport);
  base::Result<void> start(const ServerUrl& server, const crypto::TlsClient* tls, Deadline deadline);
  base::Result<void> start_tls(const ServerUrl& server, const crypto::TlsClient* tls, Deadline deadline);
  base::Result<void> bind(Deadline deadline);
  base::Result<int> wait_result(int id, Deadline deadline, std::string& text);
  void settle(Pending& pending, void* message);
  void read_entry(Pending& pending, void* message);
  base::Error lost();

  const ProfileSettings& settings_;
  std::unique_ptr<Transport> transport_;
  Clock::time_point last_used_;
};

}  // namespace postern::directory

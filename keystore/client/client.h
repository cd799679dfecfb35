// SPDX-License-Identifier: Apache-2.0
// Client: a process's way to one fipsd socket. Thread-safe; connections are pooled and used by several requests at once
// (ids), made when first needed, and made anew once when a request could not be sent. A deadline is a promise: a call
// returns by it whatever fipsd does. After three calls in a row that timed out the circuit is open: calls fail at once,
// and one call every two seconds tries again. After fork() the child opens connections of its own and leaves the
// parent's alone. No signal is raised (MSG_NOSIGNAL), no thread is made.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/crypto/key_ops.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {

struct ClientOptions {
  std::string socket;
  uint32_t connections = 4;  // at most, shared by all threads
};

// Call is one request for exchange(): verb and body, as the structs of protocol.h encode it.
struct Call {
  Verb verb = Verb::ping;
  std::string body;
};

class Client : public crypto::KeyOps {
 public:
  explicit Client(ClientOptions options);
  ~Client() override;

  // exchange sends all calls, pipelined, and waits for all answers: each the body of an ok reply or an Error
  // (to_error).
  std::vector<base::Result<std::string>> exchange(std::span<const Call> calls, crypto::Deadline deadline);

  std::vector<base::Result<std::string>> sign(std::span<const crypto::SignRequest> requests,
                                              crypto::Deadline deadline) override;
  base::Result<std::string> decrypt(std::string_view key, crypto::DecryptAlgorithm algorithm, crypto::Hash hash,
                                    std::string_view label, std::string_view ciphertext,
                                    crypto::Deadline deadline) override;
  base::Result<crypto::KeyInfo> describe(std::string_view key, crypto::Deadline deadline) override;
  // certificate returns the PEM chain kept under `name`.
  base::Result<std::string> certificate(std::string_view name, crypto::Deadline deadline);
  // status returns fipsd's status as JSON text.
  base::Result<std::string> status(crypto::Deadline deadline);

 private:
  class Pool;
  std::unique_ptr<Pool> pool_;
};

// Conversation is one connection of its own, one request at a time, for the officer: the session lives as long as it.
// Not thread-safe.
class Conversation {
 public:
  static base::Result<std::unique_ptr<Conversation>> open(const std::string& socket);
  virtual ~Conversation() = default;
  // ask returns the whole reply (also one that is not ok). A last word (id 0) from the server comes back as the reply.
  virtual base::Result<Reply> ask(Verb verb, std::string_view body, crypto::Deadline deadline) = 0;
};

}  // namespace postern::keystore

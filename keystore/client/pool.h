// SPDX-License-Identifier: Apache-2.0
// Pool: the connections of a Client. A caller has one connection to itself for one exchange, so that no thread hands
// answers to another; more callers than connections wait in turn. A connection whose answers did not come by the
// deadline is closed, which tells fipsd that nobody waits for them.
//
// After fork() the child's first call makes a State of its own: the parent's mutex may be held by a thread that is not
// there, so the old State is left as it is, but for its descriptors (atomics), which the child closes. Threads: any.
#pragma once
#include <sys/types.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "keystore/client/channel.h"
#include "keystore/client/client.h"

namespace postern::keystore {

class Client::Pool {
 public:
  explicit Pool(ClientOptions options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::vector<base::Result<std::string>> exchange(std::span<const Call> calls, crypto::Deadline deadline);

 private:
  static constexpr uint32_t kMaxConnections = 64;

  struct Slot {
    std::atomic<int> fd{-1};  // the only member that a forked child reads
    uint32_t next_id = 1;
    std::unique_ptr<char[]> buffer;
    void close();
  };

  // Ending is how an exchange left its connection. `no_answer` counts against fipsd; `not_asked`, where the caller's
  // time was over before a request went out, does not.
  enum class Ending : uint8_t { answered, no_answer, not_asked, refused, other };

  struct State {
    explicit State(uint32_t connections, State* before);
    const pid_t pid;
    State* const parent;  // of the process that forked this one; never freed
    std::array<Slot, kMaxConnections> slots;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<uint32_t> idle;  // slots nobody uses, the one used last at the end
    uint32_t timeouts = 0;       // in a row; from kTimeouts on the circuit is open
    crypto::Deadline probe{};    // when the next call may try
  };

  // Exchange is one call's state: what is asked, what was sent how often, what came back.
  struct Exchange;

  State& state();
  base::Result<Slot*> acquire(State& state, crypto::Deadline deadline);
  void release(State& state, Slot& slot, Ending ending);
  Ending run(Slot& slot, Exchange& exchange);
  Ending converse(Slot& slot, Exchange& exchange, bool& lost);
  bool take(Slot& slot, Exchange& exchange, size_t size);
  base::Result<void> connect(Slot& slot, crypto::Deadline deadline, bool& timed_out);

  const ClientOptions options_;
  std::atomic<State*> state_;
};

}  // namespace postern::keystore

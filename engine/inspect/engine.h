// SPDX-License-Identifier: Apache-2.0
// Engine: an external anti-virus or anti-spam service with its servers. A message is shown to the first server that
// answers; an inspection ends with an answer or with an error, and that nobody could be asked is never "clean". A
// server that fails is left alone for a while (base::Health); one good answer, to a message or to a probe and after any
// number of failures, brings it back. A server that gave no answer to one message but answers a ping stays in use:
// otherwise one message that it chokes on would switch it off for all. Thread-safe; no lock is held while anything
// waits, so that a hanging exchange holds up no other.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/connect.h"
#include "engine/base/health.h"
#include "engine/inspect/answer.h"

namespace postern::inspect {

// ServerPlace is where one server listens, and how that is written.
struct ServerPlace {
  std::string text;
  base::Endpoint endpoint;
};

struct EngineSettings {
  std::string name;
  Type type = Type::clamd;
  std::vector<ServerPlace> servers;
  std::chrono::milliseconds connect_timeout{3000};
  std::chrono::milliseconds timeout{20'000};  // of one message at one server, connecting included
  std::chrono::milliseconds retry{30'000};    // longest time a server that failed is left alone
  uint64_t max_size = 50u << 20;              // of a message that is shown to it
  bool skip_large = false;                    // larger ones count as not asked about, else as unscannable
  std::string service = "avscan";             // of ICAP servers
  bool request = false;                       // ICAP: REQMOD
};

// Event is what an administrator wants to know: `outage` comes once when no server of an engine answers, `recovery`
// once when one does again.
enum class EventKind : uint8_t { server_down, server_up, outage, recovery };
struct Event {
  EventKind kind;
  std::string_view engine;
  std::string_view server;  // as written; empty where all are meant
  std::string_view reason;
};
using EventSink = std::function<void(const Event&)>;

struct ServerStatus {
  std::string place;
  bool up = true;
  bool tried = false;
  std::string reason;  // why it is down
  uint64_t messages = 0;
  uint64_t failures = 0;
};
struct EngineStatus {
  std::string name;
  std::string type;
  bool outage = false;
  std::vector<ServerStatus> servers;
  uint64_t answers = 0;
  uint64_t failures = 0;  // messages without an answer
};

// Inspection is an answer and which server gave it.
struct Inspection {
  Answer answer;
  std::string server;
};

class Engine {
 public:
  // `sink` is called on the asking threads, outside of locks.
  Engine(EngineSettings settings, EventSink sink);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  const EngineSettings& settings() const { return settings_; }

  // inspect shows the message to a server; at most two get it. Errors: unavailable (no answer before `deadline`),
  // malformed (no answer that could be read), limit (the message is larger than max_size).
  base::Result<Inspection> inspect(const Subject& subject, Deadline deadline);

  // probe pings those servers that are due for another try, or with `all` every one, whatever is known about it and
  // whoever else is waiting for it.
  void probe(bool all);

  // inherit takes over what is known about the servers of an earlier load of the same engine, so that a reload in an
  // outage does not tell of it again.
  void inherit(const Engine& earlier);
  EngineStatus status() const;

 private:
  struct Server {
    Server(const EngineSettings& settings, const ServerPlace& at) : place(at), health(settings.retry, true) {}
    const ServerPlace& place;
    base::Health health;
    std::atomic<uint64_t> messages{0};
  };
  base::Result<Answer> ask(const Server& server, const Subject& subject, Deadline deadline, bool& shown) const;
  base::Result<void> ping(const Server& server) const;
  void tell(EventKind kind, std::string_view server, std::string_view reason) const;
  void note_answer(Server& server);
  void note_failure(Server& server, const std::string& reason);
  const Server* one_up() const;
  void note_outage(std::string_view reason);

  const EngineSettings settings_;
  const EventSink sink_;
  std::vector<std::unique_ptr<Server>> servers_;
  // Shared with the engine of this name that a later load makes: who still uses the earlier one may see the outage that
  // the later one then sees the end of.
  std::shared_ptr<std::atomic<bool>> outage_ = std::make_shared<std::atomic<bool>>(false);
  std::atomic<uint64_t> answers_{0};
  std::atomic<uint64_t> failures_{0};
};

}  // namespace postern::inspect

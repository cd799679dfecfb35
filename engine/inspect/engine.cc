// SPDX-License-Identifier: Apache-2.0
// Servers in the order written. A message that two servers gave no answer to is not shown to a third: it may be what
// makes them fail.
#include "engine/inspect/engine.h"

#include <algorithm>
#include <utility>

#include "engine/inspect/clamd.h"
#include "engine/inspect/icap.h"
#include "engine/inspect/rspamd.h"
#include "engine/inspect/spamd.h"
#include "engine/inspect/stream.h"

namespace postern::inspect {
namespace {

using base::Cause;
using base::fail;

constexpr int kMostServersShown = 2;
constexpr std::chrono::milliseconds kPing{3000};

IcapService service_of(const EngineSettings& settings, const base::Endpoint& endpoint) {
  const bool six = endpoint.host.find(':') != std::string::npos;
  const std::string host = endpoint.host.empty() ? "localhost" : (six ? "[" + endpoint.host + "]" : endpoint.host);
  return {host, settings.service, settings.request};
}

// Visit ends what Health::enter() began with leave(), unless it ended otherwise.
class Visit {
 public:
  explicit Visit(base::Health& health) : health_(health) {}
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  ~Visit() {
    if (!over_) health_.leave();
  }
  void over() { over_ = true; }

 private:
  base::Health& health_;
  bool over_ = false;
};

}  // namespace

Engine::Engine(EngineSettings settings, EventSink sink) : settings_(std::move(settings)), sink_(std::move(sink)) {
  for (const ServerPlace& place : settings_.servers) servers_.push_back(std::make_unique<Server>(settings_, place));
}

Engine::~Engine() = default;

void Engine::tell(EventKind kind, std::string_view server, std::string_view reason) const {
  if (sink_) sink_({kind, settings_.name, server, reason});
}

void Engine::note_answer(Server& server) {
  if (server.health.succeeded()) tell(EventKind::server_up, server.place.text, {});
  if (outage_->load(std::memory_order_relaxed) && outage_->exchange(false)) {
    tell(EventKind::recovery, server.place.text, {});
  }
}

void Engine::note_failure(Server& server, const std::string& reason) {
  if (server.health.failed(reason, Clock::now())) tell(EventKind::server_down, server.place.text, reason);
}

const Engine::Server* Engine::one_up() const {
  const auto up = std::ranges::find_if(servers_, [](const auto& server) { return server->health.up(); });
  return up == servers_.end() ? nullptr : up->get();
}

void Engine::note_outage(std::string_view reason) {
  if (one_up() != nullptr || outage_->exchange(true)) return;
  tell(EventKind::outage, {}, reason);
  // Somebody else may have had an answer meanwhile.
  if (const Server* up = one_up(); up != nullptr && outage_->exchange(false)) {
    tell(EventKind::recovery, up->place.text, {});
  }
}

base::Result<Answer> Engine::ask(const Server& server, const Subject& subject, Deadline deadline, bool& shown) const {
  if (settings_.type == Type::rspamd) {
    return ask_rspamd({server.place.endpoint, settings_.connect_timeout, deadline}, subject, shown);
  }
  auto stream = Stream::connect(server.place.endpoint, Clock::now() + settings_.connect_timeout, deadline);
  if (!stream) return std::unexpected(std::move(stream.error()));
  shown = true;
  switch (settings_.type) {
    case Type::clamd:
      return ask_clamd(*stream, subject);
    case Type::icap:
      return ask_icap(*stream, subject, service_of(settings_, server.place.endpoint));
    case Type::spamd:
      return ask_spamd(*stream, subject);
    case Type::rspamd:
      break;
  }
  return fail(Cause::internal, "no such type of engine");
}

base::Result<void> Engine::ping(const Server& server) const {
  const Deadline deadline = Clock::now() + std::min(kPing, settings_.connect_timeout);
  if (settings_.type == Type::rspamd) return ping_rspamd({server.place.endpoint, settings_.connect_timeout, deadline});
  auto stream = Stream::connect(server.place.endpoint, deadline, deadline);
  if (!stream) return std::unexpected(std::move(stream.error()));
  switch (settings_.type) {
    case Type::clamd:
      return ping_clamd(*stream);
    case Type::icap:
      return ping_icap(*stream, service_of(settings_, server.place.endpoint));
    case Type::spamd:
      return ping_spamd(*stream);
    case Type::rspamd:
      break;
  }
  return fail(Cause::internal, "no such type of engine");
}

base::Result<Inspection> Engine::inspect(const Subject& subject, Deadline deadline) {
  if (subject.size > settings_.max_size) return fail(Cause::limit, "larger than max-size");
  std::string reason;
  bool tried_all = true;
  int shown_to = 0;
  for (const auto& each : servers_) {
    Server& server = *each;
    const Clock::time_point now = Clock::now();
    if (now >= deadline || shown_to >= kMostServersShown) {
      tried_all = false;
      break;
    }
    if (!server.health.enter(now)) {
      if (reason.empty()) reason = server.place.text + ": " + server.health.status().reason;
      continue;
    }
    Visit visit(server.health);
    const Deadline until = std::min(deadline, now + settings_.timeout);
    bool shown = false;
    auto answer = ask(server, subject, until, shown);
    if (shown) {
      ++shown_to;
      server.messages.fetch_add(1, std::memory_order_relaxed);
    }
    if (answer) {
      visit.over();
      note_answer(server);
      answers_.fetch_add(1, std::memory_order_relaxed);
      return Inspection{std::move(*answer), server.place.text};
    }
    reason = server.place.text + ": " + answer.error().text();
    // Was it the message, or is it the server?
    if (shown && ping(server)) {
      visit.over();
      note_answer(server);
    } else {
      visit.over();
      note_failure(server, answer.error().text());
    }
  }
  failures_.fetch_add(1, std::memory_order_relaxed);
  if (tried_all) note_outage(reason);
  return fail(Cause::unavailable, reason.empty() ? "there was no time left to ask" : reason);
}

void Engine::probe(bool all) {
  std::string reason;
  for (const auto& each : servers_) {
    Server& server = *each;
    const Clock::time_point now = Clock::now();
    if (all || (server.health.due() <= now && server.health.enter(now))) {
      Visit visit(server.health);
      const auto answered = ping(server);
      visit.over();
      if (answered) {
        note_answer(server);
      } else {
        note_failure(server, answered.error().text());
      }
    }
    const base::Health::Status status = server.health.status();
    if (!status.up && reason.empty()) reason = server.place.text + ": " + status.reason;
  }
  note_outage(reason);
}

void Engine::inherit(const Engine& earlier) {
  for (const auto& server : servers_) {
    for (const auto& old : earlier.servers_) {
      if (server->place.text == old->place.text) server->health.inherit(old->health);
    }
  }
  outage_ = earlier.outage_;
}

EngineStatus Engine::status() const {
  EngineStatus out{settings_.name, std::string(type_name(settings_.type)), outage_->load(), {}, answers_, failures_};
  for (const auto& server : servers_) {
    const base::Health::Status health = server->health.status();
    out.servers.push_back(
        {server->place.text, health.up, health.tried, health.reason, server->messages, health.failures});
  }
  return out;
}

}  // namespace postern::inspect

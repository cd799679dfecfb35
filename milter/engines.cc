// SPDX-License-Identifier: Apache-2.0
// One alert when the last server of an engine fails, one all-clear when the first answers again: inspect::Engine
// counts; here it is only written.
#include "milter/engines.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/base/decimal.h"
#include "milter/events.h"

namespace postern::milter {
namespace {

Event event_of(inspect::EventKind kind) {
  switch (kind) {
    case inspect::EventKind::server_down:
      return Event::engine_server_down;
    case inspect::EventKind::server_up:
      return Event::engine_server_up;
    case inspect::EventKind::outage:
      return Event::engine_down;
    case inspect::EventKind::recovery:
      break;
  }
  return Event::engine_up;
}

}  // namespace

void log_engine_event(const inspect::Event& happened) {
  base::emit(event(event_of(happened.kind)),
             {{"engine", happened.engine}, {"server", happened.server}, {"reason", happened.reason}});
}

void log_inspections(const std::vector<InspectionReport>& reports, uint64_t mid, std::string_view queue_id) {
  using Outcome = InspectionReport::Outcome;
  const std::string number = std::to_string(mid);
  for (const InspectionReport& report : reports) {
    const inspect::Answer& answer = report.answer;
    const auto emit = [&](Event what, std::string_view name, std::string_view value) {
      base::emit(event(what),
                 {{"mid", number},
                  {"engine", report.engine},
                  {name, value},
                  {"verdict", inspect::virus_verdict_name(answer.virus)}},
                 queue_id);
    };
    if (report.outcome == Outcome::failed) {
      emit(Event::engine_no_answer, "reason", report.reason);
    } else if (report.outcome != Outcome::answered) {
      emit(Event::engine_not_asked, "reason", report.reason);
    } else if (!inspect::looks_for_viruses(report.type)) {
      base::emit(event(Event::spam_scored),
                 {{"mid", number},
                  {"engine", report.engine},
                  {"score", base::format_thousandths(answer.score)},
                  {"required", base::format_thousandths(answer.required)},
                  {"symbols", answer.symbols}},
                 queue_id);
    } else if (answer.virus == inspect::VirusVerdict::infected) {
      emit(Event::virus_found, "virus", answer.name);
    } else if (answer.virus != inspect::VirusVerdict::clean) {
      emit(Event::virus_doubt, "reason", answer.name);
    } else {
      emit(Event::virus_clean, "server", report.server);
    }
  }
}

void probe_failed_engines(const Generation& generation, const std::atomic<bool>& stopping) {
  for (const auto& engine : generation.engines) {
    if (stopping) return;
    engine->probe(false);
  }
}

nlohmann::ordered_json engines_json(const Generation& generation) {
  auto out = nlohmann::ordered_json::array();
  for (const auto& engine : generation.engines) {
    const inspect::EngineStatus of = engine->status();
    auto servers = nlohmann::ordered_json::array();
    for (const inspect::ServerStatus& server : of.servers) {
      servers.push_back({{"place", server.place},
                         {"up", server.up},
                         {"tried", server.tried},
                         {"reason", server.reason},
                         {"messages", server.messages},
                         {"failures", server.failures}});
    }
    out.push_back({{"name", of.name},
                   {"type", of.type},
                   {"outage", of.outage},
                   {"answers", of.answers},
                   {"failures", of.failures},
                   {"servers", std::move(servers)}});
  }
  return out;
}

bool probe_engines(const Generation& generation, std::string_view name) {
  bool found = name.empty();
  for (const auto& engine : generation.engines) {
    if (!name.empty() && engine->settings().name != name) continue;
    found = true;
    engine->probe(true);
  }
  return found;
}

void Generation::open_engines(const Generation* earlier, const inspect::EventSink& sink) {
  for (const inspect::EngineSettings& each : settings.engines) {
    auto made = std::make_shared<inspect::Engine>(each, sink);
    if (earlier != nullptr) {
      for (const auto& old : earlier->engines) {
        if (old->settings().name == each.name) made->inherit(*old);
      }
    }
    engines.push_back(std::move(made));
  }
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// External engines in the daemon: their events as log lines, the thread that tries those that do not answer, and what
// `postern engines` shows.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "engine/inspect/engine.h"
#include "milter/background.h"
#include "milter/rule_engines.h"
#include "milter/service.h"

namespace postern::milter {

// log_engine_event writes the log line of an event; usable as an EventSink.
void log_engine_event(const inspect::Event& event);

// log_inspections writes what engines said of the message `mid`.
void log_inspections(const std::vector<InspectionReport>& reports, uint64_t mid, std::string_view queue_id);

// EngineWatch tries servers which were never asked or failed, of the generation in use, so that an outage and its end
// are told also when no mail comes.
class EngineWatch {
 public:
  explicit EngineWatch(Service& service) : service_(service) {}

  void start();
  // stop waits for an attempt under way, but not longer than kGrace: the process ends.
  void stop();

 private:
  void run();

  Service& service_;
  Background thread_;
};

// engines_json describes the engines of a generation: [{"name", "type", "outage", "answers", "failures", "servers":
// [{"place", "up", "tried", "reason", "messages", "failures"}]}].
nlohmann::ordered_json engines_json(const Generation& generation);

// probe_engines pings every server of the engine called `name`, or of all engines where it is empty; false: there is no
// such engine. Takes a few seconds for each server that does not answer.
bool probe_engines(const Generation& generation, std::string_view name);

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// External engines in the daemon: their events as log lines, a look at those that do not answer, and what
// `postern engines` shows.
#pragma once
#include <atomic>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "engine/inspect/engine.h"
#include "milter/rule_engines.h"
#include "milter/settings.h"

namespace postern::milter {

// log_engine_event writes the log line of an event; usable as an EventSink.
void log_engine_event(const inspect::Event& event);

// log_inspections writes what engines said of the message `mid`.
void log_inspections(const std::vector<InspectionReport>& reports, uint64_t mid, std::string_view queue_id);

// probe_failed_engines tries the servers of `generation` that were never asked or failed; for ServerWatch.
void probe_failed_engines(const Generation& generation, const std::atomic<bool>& stopping);

// engines_json describes the engines of a generation: [{"name", "type", "outage", "answers", "failures", "servers":
// [{"place", "up", "tried", "reason", "messages", "failures"}]}].
nlohmann::ordered_json engines_json(const Generation& generation);

// probe_engines pings every server of the engine called `name`, or of all engines where it is empty; false: there is no
// such engine. Takes a few seconds for each server that does not answer.
bool probe_engines(const Generation& generation, std::string_view name);

}  // namespace postern::milter

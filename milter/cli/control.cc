// SPDX-License-Identifier: Apache-2.0
// postern status and postern reload: what the running daemon does, and that it loads its configuration again.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "milter/cli/commands.h"
#include "milter/cli/control_client.h"
#include "milter/cli/load.h"
#include "milter/control.h"

namespace postern::cli {
namespace {

using nlohmann::json;

uint64_t number(const json& object, const char* key) { return object.value(key, uint64_t{0}); }

void print_status(const json& status) {
  const json reload = status.value("last_reload", json::object());
  const json memory = status.value("memory", json::object());
  const json verdicts = status.value("verdicts", json::object());
  std::printf("posternd %s, up %s%s\n", status.value("version", "?").c_str(),
              base::format_duration(number(status, "uptime")).c_str(),
              status.value("draining", false) ? ", draining" : "");
  std::printf("configuration  %s, generation %llu\n", status.value("config", "?").c_str(),
              static_cast<unsigned long long>(number(status, "generation")));
  std::printf("last load      %s\n",
              reload.value("ok", false) ? "good" : "refused; the earlier configuration is in use");
  std::printf("sessions       %llu now, %llu since start\n",
              static_cast<unsigned long long>(number(status, "sessions")),
              static_cast<unsigned long long>(number(status, "connections")));
  std::printf("messages       %llu in flight, %llu since start\n",
              static_cast<unsigned long long>(number(status, "in_flight")),
              static_cast<unsigned long long>(number(status, "messages")));
  std::printf("memory         %s of %s\n", base::format_size(number(memory, "used")).c_str(),
              base::format_size(number(memory, "bound")).c_str());
  std::printf("verdicts      ");
  for (const auto& [name, count] : verdicts.items()) {
    std::printf(" %s %llu", name.c_str(), static_cast<unsigned long long>(count.get<uint64_t>()));
  }
  std::printf("\nrefused        %llu oversize, %llu for memory; %llu failed, %llu aborted\n",
              static_cast<unsigned long long>(number(status, "oversize")),
              static_cast<unsigned long long>(number(status, "over_memory")),
              static_cast<unsigned long long>(number(status, "failed")),
              static_cast<unsigned long long>(number(status, "aborted")));
  if (number(status, "log_lines_lost") != 0) {
    std::printf("log            %llu lines lost\n", static_cast<unsigned long long>(number(status, "log_lines_lost")));
  }
  if (const json scan = status.value("scan", json()); scan.is_object()) {
    const json failed = scan.value("unscannable", json::object());
    std::printf(
        "scanning       %llu scans, %llu crashes, %llu out of time, %llu out of memory; %llu workers busy, %llu idle",
        static_cast<unsigned long long>(number(scan, "jobs")), static_cast<unsigned long long>(number(scan, "crashes")),
        static_cast<unsigned long long>(number(failed, "time")),
        static_cast<unsigned long long>(number(failed, "memory")),
        static_cast<unsigned long long>(number(scan, "busy")), static_cast<unsigned long long>(number(scan, "idle")));
    const std::string trouble = scan.value("trouble", "");
    std::printf("%s%s\n",
                trouble.empty() ? "" : "; NO WORKER CAN BE STARTED: ", base::escape_for_log(trouble, 200).c_str());
  }
  for (const json& engine : status.value("engines", json::array())) {
    std::printf("engine         %s: %s\n", base::escape_for_log(engine.value("name", "?"), 64).c_str(),
                engine.value("outage", false) ? "NO SERVER ANSWERS" : "good");
  }
  if (const json outbox = status.value("outbox", json()); outbox.is_object()) {
    if (outbox.contains("error")) {
      std::printf("outbox         %s\n", base::escape_for_log(outbox.value("error", "?"), 200).c_str());
    } else {
      std::printf("outbox         %llu waiting, %llu failed",
                  static_cast<unsigned long long>(number(outbox, "waiting")),
                  static_cast<unsigned long long>(number(outbox, "failed")));
      if (outbox["oldest"].is_number()) {
        const int64_t age = static_cast<int64_t>(std::time(nullptr)) - outbox["oldest"].get<int64_t>();
        std::printf(", the oldest for %s",
                    base::format_duration(static_cast<uint64_t>(std::max<int64_t>(age, 0))).c_str());
      }
      std::printf("\n");
    }
  }
  const json filters = status.value("filters", json::array());
  if (!filters.empty()) std::printf("%-40s %10s %10s %10s\n", "filter", "matched", "unknown", "observed");
  for (const json& filter : filters) {
    std::printf("%-40s %10llu %10llu %10llu\n", base::escape_for_log(filter.value("name", "?"), 40).c_str(),
                static_cast<unsigned long long>(number(filter, "matched")),
                static_cast<unsigned long long>(number(filter, "unknown")),
                static_cast<unsigned long long>(number(filter, "observed")));
  }
}

}  // namespace

int run_status(const ControlOptions& options) {
  int status = kDone;
  const json answer = ask_daemon(options, "status", status);
  if (status != kDone) return status;
  if (options.json) {
    std::puts(answer.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    print_status(answer);
  }
  return kDone;
}

int run_reload(const ControlOptions& options) {
  int status = kDone;
  const json answer = ask_daemon(options, "reload", status);
  if (status != kDone) return status;
  const bool ok = answer.value("ok", false);
  if (options.json) {
    std::puts(answer.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    std::fputs(answer.value("diagnostics", "").c_str(), stderr);
    if (ok) {
      std::printf("generation %llu is in use\n", static_cast<unsigned long long>(number(answer, "generation")));
    } else {
      std::fputs("not loaded; the configuration in use stays\n", stderr);
    }
  }
  return ok ? kDone : kBadConfig;
}

}  // namespace postern::cli

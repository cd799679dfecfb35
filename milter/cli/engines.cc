// SPDX-License-Identifier: Apache-2.0
// postern engines: what the running daemon knows about its external engines, after it has tried them where that is
// asked for.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "milter/cli/commands.h"
#include "milter/cli/control_client.h"

namespace postern::cli {
namespace {

using nlohmann::json;

unsigned long long number(const json& object, const char* key) { return object.value(key, uint64_t{0}); }

void print_engine(const json& engine) {
  std::printf("%s (%s): %s; %llu messages answered, %llu without an answer\n", engine.value("name", "?").c_str(),
              engine.value("type", "?").c_str(), engine.value("outage", true) ? "NO SERVER ANSWERS" : "good",
              number(engine, "answers"), number(engine, "failures"));
  for (const json& server : engine.value("servers", json::array())) {
    const std::string reason = server.value("reason", "");
    const char* state = !server.value("tried", false) ? "not tried yet" : server.value("up", false) ? "up" : "DOWN";
    std::printf("  %-40s %s; %llu messages, %llu failures%s%s\n", server.value("place", "?").c_str(), state,
                number(server, "messages"), number(server, "failures"), reason.empty() ? "" : ": ",
                base::escape_for_log(reason, 300).c_str());
  }
}

}  // namespace

int run_engines(const EnginesOptions& options) {
  const json request = {{"command", "engines"}, {"probe", options.probe}, {"name", options.name}};
  int status = kDone;
  const json answer = request_of_daemon(options.control, request, status);
  if (status != kDone) return status;
  const json engines = answer.value("engines", json::array());
  bool good = true;
  for (const json& engine : engines) {
    const bool meant = options.name.empty() || engine.value("name", "") == options.name;
    good = good && (!meant || !engine.value("outage", true));
    if (meant && !options.control.json) print_engine(engine);
  }
  if (options.control.json) std::puts(engines.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  if (engines.empty() && !options.control.json) std::puts("the running daemon has no external engines");
  return good ? kDone : kNo;
}

}  // namespace postern::cli

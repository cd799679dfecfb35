// SPDX-License-Identifier: Apache-2.0
// postern outbox: what waits to be submitted or was refused, asked of the running daemon; failed mail is tried again or
// dropped here and nowhere else.
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "milter/cli/commands.h"
#include "milter/cli/control_client.h"

namespace postern::cli {
namespace {

using nlohmann::json;

void print_mails(const json& mails) {
  const auto now = static_cast<int64_t>(std::time(nullptr));
  for (const json& mail : mails) {
    const json to = mail.value("to", json::array());
    std::string first = to.empty() ? std::string("-") : to.front().get<std::string>();
    if (to.size() > 1) first += " and " + std::to_string(to.size() - 1) + " more";
    const int64_t next = mail.value("next", int64_t{0});
    const bool failed = mail.value("state", "") == "failed";
    std::string state = "failed";
    if (!failed) state = next <= now ? "due" : "in " + base::format_duration(static_cast<uint64_t>(next - now));
    std::printf("%-8lld %-11s %-10s MID %llu  %s  to %s, %llu attempts\n",
                static_cast<long long>(mail.value("id", int64_t{0})), mail.value("kind", "?").c_str(), state.c_str(),
                static_cast<unsigned long long>(mail.value("mid", uint64_t{0})),
                base::format_size(mail.value("size", uint64_t{0})).c_str(), base::escape_for_log(first, 200).c_str(),
                static_cast<unsigned long long>(mail.value("attempts", uint64_t{0})));
    const std::string error = mail.value("last_error", "");
    if (!error.empty()) std::printf("         %s\n", base::escape_for_log(error, 400).c_str());
  }
}

}  // namespace

int run_outbox(const OutboxOptions& options) {
  const json request = {
      {"command", "outbox"}, {"action", options.action}, {"failed", options.failed}, {"ids", options.ids}};
  if (options.action != "list" && options.ids.empty() && !options.failed) {
    std::fprintf(stderr, "postern outbox %s: which? Name ids, or --failed for all that failed\n",
                 options.action.c_str());
    return kUsage;
  }
  int status = kDone;
  const json answer = request_of_daemon(options.control, request, status);
  if (status != kDone) return status;
  if (options.control.json) {
    std::puts(answer.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else if (options.action == "list") {
    print_mails(answer.value("mails", json::array()));
  } else {
    std::printf("%zu %s\n", answer.value("changed", json::array()).size(),
                options.action == "retry" ? "to be tried now" : "dropped");
  }
  const json missing = answer.value("missing", json::array());
  for (const json& id : missing) {
    std::fprintf(stderr, "postern outbox: there is no mail %lld\n", static_cast<long long>(id.get<int64_t>()));
  }
  return missing.empty() ? kDone : kNo;
}

}  // namespace postern::cli

// SPDX-License-Identifier: Apache-2.0
// Asking the running daemon over its control socket.
#pragma once
#include <nlohmann/json.hpp>
#include <string_view>

#include "milter/cli/commands.h"

namespace postern::cli {

// ask_daemon sends `command` and returns the parsed answer; a nonzero `status` is what the process should exit with,
// and why has been printed.
nlohmann::json ask_daemon(const ControlOptions& options, std::string_view command, int& status);
// request_of_daemon does the same with a whole request, which has its command under "command".
nlohmann::json request_of_daemon(const ControlOptions& options, const nlohmann::json& request, int& status);

}  // namespace postern::cli

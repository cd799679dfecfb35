// SPDX-License-Identifier: Apache-2.0
// A request to the running daemon: where its control socket is, the exchange, and what a failure means for the exit
// status.
#include "milter/cli/control_client.h"

#include <cstdio>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "milter/cli/load.h"
#include "milter/control.h"

namespace postern::cli {

using nlohmann::json;

// A configuration with errors does not keep anybody from asking the daemon, which may run an older one.
std::string control_socket_of(const ControlOptions& options) {
  if (!options.socket.empty()) return options.socket;
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  const std::shared_ptr<milter::Generation> generation = milter::load_generation(options.config, sources, diagnostics);
  if (generation != nullptr) return generation->settings.control_socket;
  // Mostly it is a rule file that has the errors, and the file that names the socket can be read all the same.
  config::Sources alone;
  config::Diagnostics ignored(alone);
  const base::Result<uint32_t> source = alone.add_file(options.config);
  const auto root = source ? config::parse_yaml(alone, *source, ignored) : std::nullopt;
  const config::Node* control = root && root->kind == config::NodeKind::map ? root->get("control") : nullptr;
  const config::Node* socket =
      control != nullptr && control->kind == config::NodeKind::map ? control->get("socket") : nullptr;
  if (socket != nullptr && socket->kind == config::NodeKind::scalar && !socket->text.empty()) return socket->text;
  return milter::Settings().control_socket;
}

json ask_daemon(const ControlOptions& options, std::string_view command, int& status) {
  return request_of_daemon(options, {{"command", command}}, status);
}

json request_of_daemon(const ControlOptions& options, const json& request, int& status) {
  const std::string socket = control_socket_of(options);
  const std::string command = request.value("command", "");
  const base::Result<std::string> answer = milter::control_ask(socket, request.dump() + "\n");
  status = kDone;
  if (!answer) {
    std::fprintf(stderr, "postern %s: %s: %s\n", command.c_str(), socket.c_str(), answer.error().text().c_str());
    status = answer.error().cause() == base::Cause::denied ? kDenied : kUnavailable;
    return {};
  }
  json parsed = json::parse(*answer, nullptr, false);
  if (!parsed.is_object()) {
    std::fprintf(stderr, "postern %s: %s: the answer is not what posternd sends\n", command.c_str(), socket.c_str());
    status = kUnavailable;
  } else if (parsed.contains("error")) {
    std::fprintf(stderr, "postern %s: %s\n", command.c_str(),
                 base::escape_for_log(parsed.value("error", "?"), 400).c_str());
    status = kUnavailable;
  }
  return parsed;
}

}  // namespace postern::cli

// SPDX-License-Identifier: Apache-2.0
// Control: the daemon's administrative socket. One request a connection: a JSON object on one line,
// {"command":"status"}, "reload", "outbox" (outbox_requests.h) or "engines" (with "probe" and "name": tries the servers
// of one engine, or of all); one JSON object comes back and the connection closes.
// Who may ask is decided by the socket's mode 0660 and group. Requests are bounded in size and time; the server has a
// thread of its own, so neither a slow client nor a long reload holds up mail or signals.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "milter/reload.h"
#include "milter/service.h"

namespace postern::milter {

inline constexpr size_t kControlRequest = 256u << 10;
inline constexpr size_t kControlAnswer = 64u << 20;

// status_json describes the daemon: {"version", "generation", "config", "files", "uptime", "started", "draining",
// "last_reload": {"ok", "generation", "at", "errors", "diagnostics"}, "sessions", "connections", "messages",
// "in_flight", "memory": {"used", "bound"}, "verdicts": {"accept", "reject", "tempfail", "discard", "quarantine"},
// "aborted", "oversize", "over_memory", "failed", "outbox" (see outbox_requests.h), "engines" (see engines.h),
// "filters": [{"name", "where", "matched", "unknown", "observed"}], "log_lines_lost"}.
std::string status_json(Service& service, const Reloader& reloader);

// reload_json describes one reload: {"ok", "generation", "at", "errors", "diagnostics"}.
std::string reload_json(const LoadResult& result);

class ControlServer {
 public:
  ControlServer(Service& service, Reloader& reloader) : service_(service), reloader_(reloader) {}
  ~ControlServer();

  // open makes the socket; called as long as the process may still set its group.
  base::Result<void> open(const std::string& path, const std::string& group);
  // start runs the thread. `around_reload` is called with true before and false after every reload.
  base::Result<void> start(std::function<void(bool)> around_reload);
  // request_reload makes the thread reload soon; safe from any thread, never blocks.
  void request_reload();
  void stop();

 private:
  void run();
  void serve(base::UniqueFd connection);
  void serve_engines(base::UniqueFd connection, bool probe, const std::string& name, uint32_t uid);
  LoadResult reload();

  Service& service_;
  Reloader& reloader_;
  std::string path_;
  base::UniqueFd lock_;
  base::UniqueFd listener_;
  base::UniqueFd wake_;
  std::atomic<bool> reload_wanted_{false};
  std::atomic<bool> stopping_{false};
  std::function<void(bool)> around_reload_;
  std::thread thread_;
};

// control_request asks the daemon behind `socket` and returns its JSON answer. Cause::unavailable when nobody answers
// in time or at all, denied when the socket may not be opened.
base::Result<std::string> control_request(const std::string& socket, std::string_view command,
                                          std::chrono::seconds deadline = std::chrono::seconds(120));
// control_ask does the same with a whole request, one line of JSON.
base::Result<std::string> control_ask(const std::string& socket, std::string_view request,
                                      std::chrono::seconds deadline = std::chrono::seconds(120));

}  // namespace postern::milter

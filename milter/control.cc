// SPDX-License-Identifier: Apache-2.0
// The control socket's server and client. Every request is bounded in size and time; a reload runs here, never on a
// mail thread.
#include "milter/control.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

#include "milter/engines.h"
#include "milter/events.h"
#include "milter/outbox_requests.h"
#include "milter/scanning.h"
#include "milter/unix_socket.h"

namespace postern::milter {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds kClientDeadline{5};
constexpr unsigned kControlMode = 0660;
constexpr int kMostProbes = 8;

Json result_json(const LoadResult& result) {
  return {{"ok", result.ok},
          {"generation", result.generation},
          {"at", result.at},
          {"errors", result.errors},
          {"diagnostics", result.diagnostics}};
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// wait_for waits until `fd` is ready for `events`; false at the deadline.
bool wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::min<long long>(left, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool write_all(int fd, std::string_view text, Clock::time_point deadline) {
  while (!text.empty()) {
    if (!wait_for(fd, POLLOUT, deadline)) return false;
    const ssize_t written = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      return false;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// read_some appends what is there to `text`; false at end of file, error or deadline.
bool read_some(int fd, std::string& text, Clock::time_point deadline) {
  char buffer[4096];
  for (;;) {
    if (!wait_for(fd, POLLIN, deadline)) return false;
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
      text.append(buffer, static_cast<size_t>(got));
      return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) return false;
  }
}

// What the scan workers did; null where no rule asks for them.
Json scan_summary(const Generation& generation) {
  const auto status = generation.scanning != nullptr ? generation.scanning->status() : std::nullopt;
  if (!status) return nullptr;
  return {{"idle", status->idle},
          {"busy", status->busy},
          {"waiting", status->waiting},
          {"jobs", status->jobs},
          {"started", status->workers_started},
          {"crashes", status->crashes},
          {"unscannable",
           {{"crash", status->crashed},
            {"listed", status->listed},
            {"time", status->timeouts},
            {"memory", status->memory},
            {"unavailable", status->unavailable}}},
          {"listed_contents", status->list_size},
          {"trouble", status->trouble}};
}

Json refusal(std::string_view reason) { return {{"error", reason}}; }

}  // namespace

std::string reload_json(const LoadResult& result) { return text_of(result_json(result)); }

std::string status_json(Service& service, const Reloader& reloader) {
  const std::shared_ptr<Live> live = service.current();
  const Counters& counters = service.counters();
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - service.started()).count();
  Json verdicts;
  for (const Verdict verdict :
       {Verdict::accept, Verdict::reject, Verdict::tempfail, Verdict::discard, Verdict::quarantine}) {
    verdicts[std::string(verdict_name(verdict))] = counters.verdicts[static_cast<size_t>(verdict)].load();
  }
  Json filters = Json::array();
  const auto& all = live->generation->rules->filters();
  for (size_t i = 0; i < all.size() && i < live->filters.size(); ++i) {
    filters.push_back({{"name", all[i].name},
                       {"where", all[i].file + ":" + std::to_string(all[i].line)},
                       {"matched", live->filters[i].matched.load()},
                       {"unknown", live->filters[i].unknown.load()},
                       {"observed", live->filters[i].observed.load()}});
  }
  Json ldap = Json::array();
  for (const auto& profile : live->generation->directories) {
    const directory::ProfileStatus of = profile->status();
    Json servers = Json::array();
    for (const directory::ServerStatus& server : of.servers) {
      servers.push_back({{"url", server.url},
                         {"up", server.up},
                         {"reason", server.reason},
                         {"connections", server.connections},
                         {"questions", server.questions},
                         {"failures", server.failures}});
    }
    ldap.push_back({{"name", of.name},
                    {"outage", of.outage},
                    {"hits", of.hits},
                    {"misses", of.misses},
                    {"failures", of.failures},
                    {"cached", of.cached},
                    {"servers", std::move(servers)}});
  }
  const Json status = {{"version", POSTERN_VERSION},
                       {"generation", live->generation->number},
                       {"config", live->generation->settings.path},
                       {"files", live->generation->files.size()},
                       {"uptime", uptime},
                       {"started", static_cast<int64_t>(std::time(nullptr)) - uptime},
                       {"draining", service.draining()},
                       {"last_reload", result_json(reloader.last())},
                       {"sessions", counters.sessions.load()},
                       {"connections", counters.connections.load()},
                       {"messages", counters.messages.load()},
                       {"in_flight", counters.inflight.load()},
                       {"memory", {{"used", service.memory().used()}, {"bound", service.memory().bound()}}},
                       {"verdicts", verdicts},
                       {"aborted", counters.aborted.load()},
                       {"oversize", counters.oversize.load()},
                       {"over_memory", counters.over_memory.load()},
                       {"failed", counters.failed.load()},
                       {"outbox", outbox_summary(service)},
                       {"ldap", std::move(ldap)},
                       {"scan", scan_summary(*live->generation)},
                       {"engines", engines_json(*live->generation)},
                       {"filters", filters},
                       {"log_lines_lost", base::log_lines_lost()}};
  return text_of(status);
}

ControlServer::~ControlServer() { stop(); }

base::Result<void> ControlServer::open(const std::string& path, const std::string& group) {
  path_ = path;
  auto lock = claim_path(path);
  if (!lock) return std::unexpected(std::move(lock.error()));
  lock_ = std::move(*lock);
  auto listener = listen_unix(path, kControlMode, group);
  if (!listener) return std::unexpected(std::move(listener.error()));
  listener_ = std::move(*listener);
  return {};
}

base::Result<void> ControlServer::start(std::function<void(bool)> around_reload) {
  around_reload_ = std::move(around_reload);
  wake_ = base::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return std::unexpected(base::system_error("eventfd", errno));
  thread_ = std::thread([this] { run(); });
  return {};
}

void ControlServer::request_reload() {
  reload_wanted_.store(true);
  const uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) return;  // full: the thread is awake already
}

void ControlServer::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  request_reload();
  thread_.join();
  listener_.reset();
  ::unlink(path_.c_str());
}

LoadResult ControlServer::reload() {
  around_reload_(true);
  LoadResult result = reloader_.reload();
  around_reload_(false);
  return result;
}

void ControlServer::run() {
  while (!stopping_.load()) {
    pollfd entries[2] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(entries, 2, -1) < 0 && errno != EINTR) {
      base::emit(event(Event::control_failed), {{"reason", base::system_error("poll", errno).text()}});
      return;
    }
    uint64_t ticks = 0;
    if (::read(wake_.get(), &ticks, sizeof ticks) < 0) ticks = 0;
    if (stopping_.load()) return;
    try {
      if (reload_wanted_.exchange(false)) reload();
      if (entries[0].revents == 0) continue;
      base::UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (connection) {
        serve(std::move(connection));
      } else if (errno == EMFILE || errno == ENFILE) {
        // No descriptor is left; the pending client would make poll return at once for ever.
        base::emit(event(Event::control_failed), {{"reason", base::system_error("accept", errno).text()}});
        ::poll(nullptr, 0, 200);
      }
    } catch (const std::exception& error) {
      base::emit(event(Event::control_failed), {{"reason", error.what()}});
    }
  }
}

// serve_engines answers on a thread of its own where servers are to be tried: one that hangs must not hold up other
// commands. The thread uses nothing that may end before it.
void ControlServer::serve_engines(base::UniqueFd connection, bool probe, const std::string& name, uint32_t uid) {
  static std::atomic<int> probing{0};
  const std::shared_ptr<const Generation> generation = service_.current()->generation;
  const auto answer = [](int fd, const Json& json) { write_all(fd, text_of(json), Clock::now() + kClientDeadline); };
  if (!probe) {
    answer(connection.get(), {{"engines", engines_json(*generation)}});
    return;
  }
  base::emit(event(Event::control_request), {{"command", "engines --probe"}, {"uid", std::to_string(uid)}});
  if (probing.fetch_add(1) >= kMostProbes) {
    probing.fetch_sub(1);
    answer(connection.get(), refusal("too many probes are under way"));
    return;
  }
  auto fd = std::make_shared<base::UniqueFd>(std::move(connection));
  const auto body = [generation, fd, name, answer] {
    try {
      const bool found = probe_engines(*generation, name);
      answer(fd->get(),
             found ? Json{{"engines", engines_json(*generation)}} : refusal("there is no engine of that name"));
    } catch (const std::exception& error) {
      base::emit(event(Event::control_failed), {{"reason", error.what()}});
    }
    fd->reset();
    probing.fetch_sub(1);
  };
  try {
    std::thread(body).detach();
  } catch (const std::system_error& error) {
    probing.fetch_sub(1);
    answer(fd->get(), refusal(std::string("no thread: ") + error.what()));
  }
}

void ControlServer::serve(base::UniqueFd connection) {
  const Clock::time_point deadline = Clock::now() + kClientDeadline;
  std::string request;
  while (request.find('\n') == std::string::npos && request.size() <= kControlRequest) {
    if (!read_some(connection.get(), request, deadline)) break;
  }
  std::string answer;
  const size_t end = request.find('\n');
  const Json parsed =
      end == std::string::npos ? Json() : Json::parse(request.substr(0, end), nullptr, /*allow_exceptions=*/false);
  if (request.size() > kControlRequest) {
    answer = text_of(refusal("the request is too long"));
  } else if (!parsed.is_object() || !parsed.contains("command") || !parsed["command"].is_string()) {
    answer = text_of(refusal("a request is one line of JSON: {\"command\":\"status\"}"));
  } else {
    const std::string command = parsed["command"].get<std::string>();
    ucred peer{};
    socklen_t size = sizeof peer;
    ::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (command == "status") {
      answer = status_json(service_, reloader_);
    } else if (command == "outbox") {
      answer = text_of(outbox_request(service_, parsed, peer.uid));
    } else if (command == "engines") {
      serve_engines(std::move(connection), parsed.value("probe", false), parsed.value("name", ""), peer.uid);
      return;
    } else if (command == "reload") {
      base::emit(event(Event::control_request), {{"command", command}, {"uid", std::to_string(peer.uid)}});
      answer = reload_json(reload());
    } else {
      answer = text_of(refusal("unknown command"));
    }
  }
  write_all(connection.get(), answer, Clock::now() + kClientDeadline);
}

base::Result<std::string> control_request(const std::string& socket, std::string_view command,
                                          std::chrono::seconds deadline) {
  return control_ask(socket, text_of({{"command", command}}), deadline);
}

base::Result<std::string> control_ask(const std::string& socket, std::string_view request,
                                      std::chrono::seconds deadline) {
  const Clock::time_point end = Clock::now() + deadline;
  auto connection = connect_unix(socket);
  if (!connection) return std::unexpected(std::move(connection.error()));
  if (!write_all(connection->get(), request, end)) {
    return base::fail(base::Cause::unavailable, "the daemon behind " + socket + " does not listen");
  }
  std::string answer;
  while (read_some(connection->get(), answer, end)) {
    if (answer.size() > kControlAnswer) return base::fail(base::Cause::limit, "the daemon's answer is too long");
  }
  if (answer.empty() || answer.back() != '\n') {
    return base::fail(base::Cause::unavailable, "the daemon behind " + socket + " did not answer in time");
  }
  return answer;
}

}  // namespace postern::milter

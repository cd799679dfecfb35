// SPDX-License-Identifier: Apache-2.0
// fipsd: start, signals, end. The main thread owns signals and systemd's watchdog; the server has the others. The order
// at the start matters: sockets while still root, then the rights go, then the PKCS#11 module is loaded, and from there
// on there is no fork. It ends by _exit(): modules crash in exit handlers that run after the crypto library's.
//
// SIGHUP reads fipsd.yaml again (rights, FIPS policy, idle time; what needs a start is said); SIGUSR1 opens the log
// again; SIGTERM and SIGINT end it.
#include <poll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "engine/base/exit_status.h"
#include "engine/base/log.h"
#include "engine/base/privilege.h"
#include "keystore/events.h"
#include "keystore/selftest.h"
#include "keystore/service.h"

extern "C" {
void __gcov_dump(void) __attribute__((weak));
}

namespace postern::keystore {
namespace {

using base::kBadConfig;
using base::kDone;
using base::kSoftware;
using base::kUnavailable;
using base::kUsage;
constexpr uint32_t kStuck = 60;  // seconds in one call into the token before the watchdog is left to end us

int refuse_start(const base::Error& error) {
  std::fprintf(stderr, "fipsd: %s\n", error.text().c_str());
  return base::start_status(error);
}

[[noreturn]] void end_process(int status) {
  base::flush_log(1000);
  std::fflush(nullptr);
  if (__gcov_dump != nullptr) __gcov_dump();
  ::_exit(status);
}

struct Loaded {
  std::shared_ptr<const FipsdSettings> settings;
  std::string diagnostics;
};

Loaded load_settings(const std::string& path) {
  Loaded loaded;
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  auto source = sources.add_file(path);
  if (!source) {
    loaded.diagnostics = "fipsd: " + source.error().text() + "\n";
    return loaded;
  }
  auto settings = read_fipsd_settings(sources, *source, diagnostics);
  loaded.diagnostics = diagnostics.render();
  if (settings) loaded.settings = std::make_shared<const FipsdSettings>(std::move(*settings));
  return loaded;
}

std::string restart_notes(const FipsdSettings& now, const FipsdSettings& next) {
  std::string notes;
  const auto compare = [&notes](bool same, std::string_view key) {
    if (!same) notes += "; " + std::string(key) + " changed: that takes effect at the next start";
  };
  compare(now.state_directory == next.state_directory, "state-directory");
  compare(now.token.module == next.token.module && now.token.label == next.token.label &&
              now.token.serial == next.token.serial,
          "token");
  compare(now.workers == next.workers, "workers");
  compare(now.user == next.user && now.group == next.group, "user");
  bool same = now.sockets.size() == next.sockets.size();
  for (size_t i = 0; same && i < now.sockets.size(); ++i) {
    const SocketSettings& a = now.sockets[i];
    const SocketSettings& b = next.sockets[i];
    same = a.name == b.name && a.paths == b.paths && a.mode == b.mode && a.group == b.group && a.users == b.users &&
           a.rate == b.rate && a.connections == b.connections;
  }
  compare(same, "sockets");
  return notes;
}

// passed_sockets takes what systemd opened for us: each by its name in the socket unit, which is the class.
base::Result<void> take_passed(ServerOptions& options) {
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  if (count < 0) return std::unexpected(base::system_error("sockets from systemd", -count));
  // Where systemd opens sockets, those are all: a class whose unit is not enabled is not served.
  if (count > 0) {
    for (SocketOptions& socket : options.sockets) socket.paths.clear();
  }
  base::Result<void> outcome;
  for (int i = 0; i < count; ++i) {
    base::UniqueFd fd(SD_LISTEN_FDS_START + i);
    bool used = false;
    for (SocketOptions& socket : options.sockets) {
      if (socket.class_name != names[i]) continue;
      socket.passed.push_back(std::move(fd));
      used = true;
      break;
    }
    if (!used && outcome) {
      outcome = base::fail(base::Cause::misconfigured, std::string("systemd passed a socket called '") + names[i] +
                                                           "', which fipsd.yaml does not name");
    }
    std::free(names[i]);
  }
  std::free(names);
  return outcome;
}

base::Result<ServerOptions> server_options(const FipsdSettings& settings, uint32_t workers) {
  ServerOptions options;
  options.workers = workers;
  options.queue = settings.queue;
  for (const SocketSettings& from : settings.sockets) {
    SocketOptions socket;
    socket.class_name = from.name;
    socket.officer = from.name == "officer";
    socket.paths = from.paths;
    socket.mode = from.mode;
    socket.group = from.group;
    socket.rate = from.rate;
    socket.connections = from.connections;
    for (const std::string& user : from.users) {
      auto uid = base::user_id(user);
      if (!uid) return std::unexpected(std::move(uid.error()).in("socket '" + from.name + "'"));
      socket.allowed_uids.push_back(*uid);
    }
    options.sockets.push_back(std::move(socket));
  }
  if (auto taken = take_passed(options); !taken) return std::unexpected(std::move(taken.error()));
  return options;
}

// Gate is the handler the server is made with, before there is a service: sockets are opened as root, the vault is not.
class Gate : public Handler {
 public:
  void open(Handler& handler) { handler_ = &handler; }
  Reply handle(const Peer& peer, const Request& request, uint32_t worker,
               std::chrono::steady_clock::time_point deadline) override {
    return handler_->handle(peer, request, worker, deadline);
  }
  void closed(const Peer& peer) override { handler_->closed(peer); }
  void idle() override { handler_->idle(); }
  void refused(const Peer& peer, std::string_view why) override { handler_->refused(peer, why); }

 private:
  Handler* handler_ = nullptr;
};

void tell_ready(const Vault& vault) {
  ::sd_notifyf(0, "READY=1\nSTATUS=%s", std::string(condition_name(vault.condition())).c_str());
}

void reload(Vault& vault, const std::string& config) {
  Loaded loaded = load_settings(config);
  if (loaded.settings == nullptr) {
    base::emit(event(Event::reload_failed), {{"diagnostics", loaded.diagnostics}});
    return;
  }
  const std::string notes = restart_notes(*vault.settings(), *loaded.settings);
  vault.use_settings(loaded.settings);
  base::emit(event(Event::reload_done), {{"notes", notes}});
}

void serve(Vault& vault, Server& server, int signals, const std::string& config) {
  uint64_t watchdog = 0;
  if (::sd_watchdog_enabled(0, &watchdog) <= 0) watchdog = 0;
  const int wait = watchdog == 0 ? -1 : static_cast<int>(watchdog / 3000);
  for (;;) {
    if (wait > 0 && server.stuck_seconds() < kStuck) ::sd_notify(0, "WATCHDOG=1");
    pollfd entry{signals, POLLIN, 0};
    if (::poll(&entry, 1, wait) <= 0) continue;
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    switch (info.ssi_signo) {
      case SIGHUP:
        ::sd_notify(0, "RELOADING=1");
        reload(vault, config);
        tell_ready(vault);
        break;
      case SIGUSR1:
        if (auto opened = base::reopen_log(); !opened) {
          base::emit(event(Event::reload_failed), {{"diagnostics", opened.error().text()}});
        }
        break;
      default:
        return;
    }
  }
}

int run(const std::string& config, const std::string& corrupt_kat) {
  Loaded loaded = load_settings(config);
  std::fputs(loaded.diagnostics.c_str(), stderr);
  if (loaded.settings == nullptr) return kBadConfig;
  const std::shared_ptr<const FipsdSettings> settings = loaded.settings;

  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) ::sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  base::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals) return refuse_start(base::system_error("signalfd", errno));

  const uint32_t workers =
      settings->workers != 0 ? settings->workers : std::max(2u, std::thread::hardware_concurrency());
  auto options = server_options(*settings, workers);
  if (!options) return refuse_start(options.error());
  // The handler needs the vault, which is opened after the rights are gone; requests come only after start().
  Gate gate;
  auto server = Server::create(std::move(*options), gate);
  if (!server) return refuse_start(server.error());
  if (auto dropped = base::drop_privileges(settings->user, settings->group); !dropped)
    return refuse_start(dropped.error());
  if (auto hardened = base::harden_process(); !hardened) return refuse_start(hardened.error());
  if (auto opened = base::open_log(settings->log); !opened) return refuse_start(opened.error());

  auto vault = Vault::open(settings, corrupt_kat);
  if (!vault) return refuse_start(vault.error());
  Service service(**vault, workers);
  service.use_server(**server);
  gate.open(service);
  (*vault)->start();
  if (auto started = (*server)->start(); !started) return refuse_start(started.error());
  base::emit(event(Event::started), {{"version", POSTERN_VERSION},
                                     {"state", condition_name((*vault)->condition())},
                                     {"keys", std::to_string((*vault)->catalogue()->entries.size())},
                                     {"token", (*vault)->token_ready() ? "ready" : "not there"},
                                     {"fips", settings->fips == FipsPolicy::strict ? "strict" : "permissive"}});
  tell_ready(**vault);
  serve(**vault, **server, signals.get(), config);
  ::sd_notify(0, "STOPPING=1");
  base::emit(event(Event::stopping), {});
  service.stop();
  (*server)->stop();
  (*vault)->close();
  base::emit(event(Event::stopped), {});
  end_process(kDone);
}

int fipsd_main(int argc, char** argv) {
  CLI::App app{"Postern's key helper: holds private keys in a PKCS#11 token and uses them for others", "fipsd"};
  std::string config = "/etc/fipsd/fipsd.yaml";
  std::string corrupt_kat;
  bool check = false;
  bool dump = false;
  app.add_option("-c,--config", config, "configuration file")->capture_default_str();
  app.add_flag("--check", check, "load the configuration, print every error, and exit");
  app.add_flag("--dump", dump, "print the effective configuration and exit");
  std::vector<std::string> tests;
  for (const std::string_view name : self_test_names()) tests.emplace_back(name);
  app.add_option("--corrupt-kat", corrupt_kat,
                 "falsify one self-test's known answer, to see that fipsd then refuses to work (for tests)")
      ->check(CLI::IsMember(tests));
  app.set_version_flag("--version", std::string("fipsd ") + POSTERN_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (!check && !dump) return run(config, corrupt_kat);
  const Loaded loaded = load_settings(config);
  std::fputs(loaded.diagnostics.c_str(), stderr);
  if (loaded.settings == nullptr) return kBadConfig;
  if (dump) std::fputs(dump_fipsd_settings(*loaded.settings).c_str(), stdout);
  return kDone;
}

}  // namespace
}  // namespace postern::keystore

int main(int argc, char** argv) {
  // Before OpenSSL reads it: fipsd must not load its own provider, whatever the system's file says.
  ::setenv("OPENSSL_CONF", "/dev/null", 1);
  try {
    return postern::keystore::fipsd_main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fipsd: %s\n", error.what());
    return 70;
  }
}

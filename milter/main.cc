// SPDX-License-Identifier: Apache-2.0
// posternd: start, signals, reload, drain. Threads: this one owns signals (read from a signalfd) and systemd's
// watchdog; one runs libmilter, which makes its own workers; one serves the control socket and does reloads. Why
// libmilter's own signal handling is put to rest stands in mfapi.h.
//
// SIGHUP loads the configuration again; SIGUSR1 opens the log again, after rotation; SIGTERM and SIGINT drain: the
// socket closes, a new MAIL is answered 421, messages in flight get kDrain to finish, then the process ends. A second
// SIGTERM or SIGINT ends it at once.
#include <malloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "engine/base/exit_status.h"
#include "engine/base/privilege.h"
#include "milter/alerts.h"
#include "milter/control.h"
#include "milter/courier.h"
#include "milter/directories.h"
#include "milter/engines.h"
#include "milter/events.h"
#include "milter/keeper.h"
#include "milter/mfapi.h"
#include "milter/reload.h"
#include "milter/scanning.h"
#include "milter/server_watch.h"
#include "milter/service.h"
#include "milter/tracker.h"

extern "C" {
void __gcov_dump(void) __attribute__((weak));
}

namespace postern::milter {
namespace {

using base::kBadConfig;
using base::kDone;
using base::kSoftware;
using base::kUnavailable;
using base::kUsage;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kDrain{30};
constexpr std::chrono::seconds kEnd{8};  // with kDrain less than TimeoutStopSec of the unit
constexpr std::chrono::seconds kStart{30};
constexpr std::chrono::milliseconds kDrainCheck{20};
constexpr std::chrono::milliseconds kLastReply{200};  // libmilter writes an answer after our callback has returned

int refuse_start(const base::Error& error) {
  std::fprintf(stderr, "posternd: %s\n", error.text().c_str());
  return base::start_status(error);
}

// end_process leaves without running destructors: libmilter's detached workers are still there and would use what those
// destroy.
[[noreturn]] void end_process(int status) {
  base::flush_log(1000);
  std::fflush(nullptr);
  if (__gcov_dump != nullptr) __gcov_dump();
  ::_exit(status);
}

// tune_memory keeps what large messages used from staying with the process: big blocks are mapped and go back when
// freed, and the many threads share few heaps.
void tune_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 20);
  ::mallopt(M_ARENA_MAX, 4);
}

// raise_file_limit lets as many connections be open as the administrator allows; one connection is one descriptor, a
// large message one more.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t our_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal_number : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) ::sigaddset(&set, signal_number);
  return set;
}

class Daemon {
 public:
  Daemon(Service& service, Reloader& reloader, ControlServer& control)
      : service_(service),
        reloader_(reloader),
        control_(control),
        courier_(service),
        alerts_(service),
        keeper_(service),
        directories_(service, "directories", probe_directories),
        engines_(service, "engines", probe_failed_engines),
        tracker_(service) {}

  int run(base::UniqueFd signals, uint64_t watchdog_microseconds);

 private:
  bool start_milter();
  void reopen_log();
  void tell_ready();
  int serve(int signals, uint64_t watchdog_microseconds);
  [[noreturn]] void drain(int signals);
  void end_threads(int signals);

  Service& service_;
  Reloader& reloader_;
  ControlServer& control_;
  Courier courier_;
  Alerts alerts_;
  Keeper keeper_;
  ServerWatch directories_;
  ServerWatch engines_;
  Tracker tracker_;
  base::UniqueFd milter_ended_;
  base::UniqueFd threads_ended_;
  std::atomic<const char*> ending_{""};  // which of the threads is awaited
};

void Daemon::tell_ready() {
  const auto live = service_.current();
  ::sd_notifyf(0, "READY=1\nSTATUS=generation %llu, %zu filters",
               static_cast<unsigned long long>(live->generation->number), live->generation->rules->filters().size());
}

bool Daemon::start_milter() {
  milter_ended_ = base::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::thread([fd = milter_ended_.get()] {
    run_milter();
    const uint64_t one = 1;
    if (::write(fd, &one, sizeof one) < 0) end_process(kSoftware);
  }).detach();
  const Clock::time_point deadline = Clock::now() + kStart;
  while (!signals_parked() && Clock::now() < deadline) {
    pollfd entry{milter_ended_.get(), POLLIN, 0};
    if (::poll(&entry, 1, 1) > 0) return false;
  }
  return signals_parked();
}

void Daemon::reopen_log() {
  if (auto opened = base::reopen_log(); !opened) {
    base::emit(event(Event::log_target_failed), {{"reason", opened.error().text()}});
  } else {
    base::emit(event(Event::log_reopened), {});
  }
}

void Daemon::drain(int signals) {
  ::sd_notify(0, "STOPPING=1");
  service_.drain();
  stop_accepting();
  const auto inflight = [&] { return service_.counters().inflight.load(); };
  base::emit(event(Event::stopping),
             {{"inflight", std::to_string(inflight())}, {"seconds", std::to_string(kDrain.count())}});
  const Clock::time_point deadline = Clock::now() + kDrain;
  while (inflight() != 0 && Clock::now() < deadline) {
    pollfd entry{signals, POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(kDrainCheck.count())) <= 0) continue;
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) break;
  }
  if (inflight() == 0) ::poll(nullptr, 0, static_cast<int>(kLastReply.count()));
  end_threads(signals);
  if (inflight() != 0) base::emit(event(Event::not_drained), {{"inflight", std::to_string(inflight())}});
  base::emit(event(Event::stopped), {});
  end_process(kDone);
}

// What runs beside mail may wait for a store that does not answer. After kEnd, or at a second signal, it is left as it
// is: the service manager would kill the process then, and the log's last lines with it.
void Daemon::end_threads(int signals) {
  threads_ended_ = base::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const auto body = [this] {
    const auto end = [this](const char* name, auto& part) {
      ending_.store(name);
      part.stop();
    };
    end("control", control_);
    end("courier", courier_);
    end("alerts", alerts_);
    end("keeper", keeper_);
    end("directories", directories_);
    end("engines", engines_);
    end("tracker", tracker_);
    const uint64_t one = 1;
    if (::write(threads_ended_.get(), &one, sizeof one) < 0) return;
  };
  try {
    std::thread(body).detach();
  } catch (const std::exception&) {
    body();  // no thread is to be had: without a bound, then
    return;
  }
  const Clock::time_point deadline = Clock::now() + kEnd;
  pollfd entries[2] = {{threads_ended_.get(), POLLIN, 0}, {signals, POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    const int ready = left <= 0 ? 0 : ::poll(entries, 2, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0 && entries[0].revents != 0) return;
    signalfd_siginfo info{};
    if (ready > 0 && ::read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info) &&
        info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT) {
      continue;
    }
    base::emit(event(Event::stop_cut_short), {{"part", ending_.load()}});
    return;
  }
}

// Nothing may unwind past here: libmilter's threads use what would be destroyed.
int Daemon::run(base::UniqueFd signals, uint64_t watchdog_microseconds) {
  try {
    return serve(signals.get(), watchdog_microseconds);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "posternd: %s\n", error.what());
    end_process(kSoftware);
  }
}

int Daemon::serve(int signals, uint64_t watchdog_microseconds) {
  service_.set_on_mail([this] { courier_.wake(); });
  service_.set_on_confirmed([this] { keeper_.wake(); });
  tracker_.start();
  if (!start_milter()) {
    std::fprintf(stderr, "posternd: libmilter did not start, or keeps the signals to itself\n");
    end_process(kSoftware);
  }
  auto started = control_.start([this](bool begins) {
    if (begins) {
      timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &now);
      ::sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
                   static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
    } else {
      tell_ready();
    }
  });
  if (!started) {
    refuse_start(started.error());
    end_process(kSoftware);
  }
  alerts_.start();
  courier_.start();
  const auto live = service_.current();
  // Long lists of patterns take seconds to compile into one; mail does not wait for that.
  std::thread([generation = live->generation] {
    try {
      generation->rules->prepare();
    } catch (const std::exception&) {
      return;  // memory is short; each pattern is looked for by itself
    }
  }).detach();
  if (!live->generation->settings.store.empty()) keeper_.start();
  directories_.start();
  engines_.start();
  base::emit(event(Event::started), {{"version", POSTERN_VERSION},
                                     {"generation", std::to_string(live->generation->number)},
                                     {"filters", std::to_string(live->generation->rules->filters().size())},
                                     {"socket", live->generation->settings.listen.socket}});
  tell_ready();

  const int wait = watchdog_microseconds == 0 ? -1 : static_cast<int>(watchdog_microseconds / 3000);
  Clock::time_point next_ping = Clock::now();
  for (;;) {
    if (wait > 0 && Clock::now() >= next_ping) {
      next_ping = Clock::now() + std::chrono::milliseconds(wait);
      if (auto alive = probe_milter(); alive) {
        ::sd_notify(0, "WATCHDOG=1");
      } else {
        base::emit(event(Event::watchdog_failed), {{"reason", alive.error().text()}});
      }
    }
    pollfd entries[2] = {{signals, POLLIN, 0}, {milter_ended_.get(), POLLIN, 0}};
    if (::poll(entries, 2, wait) <= 0) continue;
    if (entries[1].revents != 0) {
      base::emit(event(Event::milter_ended), {});
      end_process(kUnavailable);
    }
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    switch (info.ssi_signo) {
      case SIGHUP:
        control_.request_reload();
        break;
      case SIGUSR1:
        reopen_log();
        break;
      default:
        drain(signals);
    }
  }
}

int run_daemon(const std::string& config) {
  FirstLoad loaded = load_first(config);
  std::fputs(loaded.result.diagnostics.c_str(), stderr);
  if (loaded.generation == nullptr) return kBadConfig;
  const Settings settings = loaded.generation->settings;

  tune_memory();
  raise_file_limit();
  // Before any thread is there: threads inherit the mask.
  const sigset_t set = our_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  base::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals) return refuse_start(base::system_error("signalfd", errno));
  ::openlog("posternd", LOG_PID | LOG_NDELAY, LOG_MAIL);  // what libmilter itself has to say

  loaded.generation->open_directories(nullptr, log_directory_event);
  loaded.generation->open_scanning(nullptr);
  loaded.generation->open_engines(nullptr, log_engine_event);
  Service service(loaded.generation);
  Reloader reloader(service, config, loaded.result);
  ControlServer control(service, reloader);
  apply_process_settings(settings);
  if (auto opened = open_milter(settings.listen, service); !opened) return refuse_start(opened.error());
  if (auto opened = control.open(settings.control_socket, settings.control_group); !opened) {
    return refuse_start(std::move(opened.error()).in("control socket"));
  }
  if (auto dropped = base::drop_privileges(settings.user, settings.group); !dropped) {
    return refuse_start(dropped.error());
  }
  if (auto hardened = base::harden_process(); !hardened) return refuse_start(hardened.error());
  // As the user that will reopen it after rotation.
  if (auto opened = base::open_log(settings.log); !opened) return refuse_start(opened.error());
  if (loaded.generation->scanning != nullptr) {
    if (auto started = loaded.generation->scanning->start(); !started) return refuse_start(started.error());
  }
  loaded.generation.reset();

  uint64_t watchdog = 0;
  if (::sd_watchdog_enabled(0, &watchdog) <= 0) watchdog = 0;
  return Daemon(service, reloader, control).run(std::move(signals), watchdog);
}

int check_only(const std::string& config) {
  const FirstLoad loaded = load_first(config);
  std::fputs(loaded.result.diagnostics.c_str(), stderr);
  return loaded.generation == nullptr ? kBadConfig : kDone;
}

}  // namespace

int daemon_main(int argc, char** argv) {
  CLI::App app{"Postern's milter daemon: applies mail policy for Postfix and Sendmail", "posternd"};
  std::string config = "/etc/postern/postern.yaml";
  bool check = false;
  bool foreground = true;
  app.add_option("-c,--config", config, "configuration file")->capture_default_str();
  app.add_flag("--check", check, "load the configuration, print every error, and exit");
  app.add_flag("--foreground", foreground,
               "stay in the foreground; always so, systemd or another supervisor does the rest");
  app.set_version_flag("--version", std::string("posternd ") + POSTERN_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  return check ? check_only(config) : run_daemon(config);
}

}  // namespace postern::milter

int main(int argc, char** argv) {
  try {
    return postern::milter::daemon_main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "posternd: %s\n", error.what());
    return 70;
  }
}

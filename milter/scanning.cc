// SPDX-License-Identifier: Apache-2.0
// A pool's troubles are log lines here.
#include "milter/scanning.h"

#include <array>

#include "engine/base/log.h"
#include "milter/events.h"

namespace postern::milter {
namespace {

constexpr std::chrono::seconds kRetry{2};

void tell(scan::Trouble trouble, std::string_view what, std::string_view content) {
  switch (trouble) {
    case scan::Trouble::start:
      base::emit(event(Event::scan_failed), {{"reason", what}});
      return;
    case scan::Trouble::list:
      base::emit(event(Event::scan_list_failed), {{"reason", what}});
      return;
    case scan::Trouble::crash_twice:
      base::emit(event(Event::scan_poison), {{"content", content}, {"reason", what}});
      return;
    case scan::Trouble::crash:
    case scan::Trouble::time:
    case scan::Trouble::memory:
      break;
  }
  base::emit(event(Event::scan_worker_lost),
             {{"cause", scan::trouble_name(trouble)}, {"content", content}, {"reason", what}});
}

}  // namespace

Scanning::Scanning(const ScanPool& settings, std::shared_ptr<scan::CrashList> crash_list)
    : settings_(settings), crash_list_(std::move(crash_list)) {}

Scanning::~Scanning() = default;

void Generation::open_scanning(const Generation* earlier) {
  if ((rules->needs() & rules::kNeedScan) == 0) return;
  const bool here = earlier != nullptr && earlier->scanning != nullptr &&
                    earlier->settings.state_directory == settings.state_directory;
  if (here && earlier->scanning->settings() == settings.scan_pool) {
    scanning = earlier->scanning;
    return;
  }
  // Messages in flight still use the earlier pool: two lists would write the one file by turns.
  const std::string& directory = settings.state_directory;
  scanning = std::make_shared<Scanning>(
      settings.scan_pool,
      here ? earlier->scanning->crash_list()
           : std::make_shared<scan::CrashList>(directory.empty() ? "" : directory + "/scan-crashes"));
}

base::Result<std::shared_ptr<scan::Pool>> Scanning::pool() {
  // Whoever comes while it is being started waits for the outcome, and has it too.
  auto state = state_.lock();
  if (state->pool != nullptr) return state->pool;
  if (state->failure && std::chrono::steady_clock::now() - state->failed < kRetry) {
    return std::unexpected(*state->failure);
  }
  scan::PoolSettings wanted;
  wanted.program = settings_.program.empty() ? scan::worker_program() : settings_.program;
  wanted.workers = settings_.workers;
  wanted.most_workers = settings_.most_workers;
  wanted.memory = settings_.memory;
  wanted.crash_list = crash_list_;
  wanted.told = tell;
  auto started = scan::Pool::start(std::move(wanted));
  if (!started) {
    state->failure = std::move(started.error()).in("content scanning");
    state->failed = std::chrono::steady_clock::now();
    return std::unexpected(*state->failure);
  }
  state->failure.reset();
  state->pool = std::move(*started);
  return state->pool;
}

base::Result<void> Scanning::start() {
  auto started = pool();
  if (!started) return std::unexpected(std::move(started.error()));
  return {};
}

scan::Verdict Scanning::scan(const scan::Job& job) {
  const auto with = pool();
  if (with) return (*with)->scan(job);
  return scan::unscannable(scan::Reason::unavailable, job.name, job.declared_mime, job.bytes.size());
}

std::optional<scan::PoolStatus> Scanning::status() const {
  const auto state = state_.lock();
  if (state->pool == nullptr) return std::nullopt;
  return state->pool->status();
}

std::string_view reason_text(scan::Reason reason) {
  constexpr std::array<std::string_view, static_cast<size_t>(scan::Reason::count_)> kTexts = {
      "scanned",
      "its structure is broken",
      "a password is needed to read it",
      "the scanner died of it",
      "scan.timeout was reached",
      "scan.memory was reached",
      "scan.max-depth was reached",
      "scan.max-size or scan.max-total was reached",
      "scan.max-members was reached",
      "scan.max-ratio was reached",
      "members of the archive overlap",
      "scan.max-text was reached",
      "its format, or a method or charset in it, is not read",
      "it is a fragment of a message",
      "no scan worker could take it",
  };
  return kTexts.at(static_cast<size_t>(reason));
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// vault-steps COMMAND DIRECTORY [ARGUMENT]: what fipsd does to its state directory and audit log, one step a process,
// so that a test can kill it at any system call and look what the next start makes of it. As in fipsd, every start that
// finds a marker finishes zeroising first. Prints one line for each thing that is done.
//   init PASSWORD · attempt PASSWORD · zeroise · save · show · audit COUNT · audit-show · audit-rate THREADS
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/base/text.h"
#include "keystore/audit.h"
#include "keystore/catalogue.h"
#include "keystore/officer.h"
#include "keystore/state.h"

namespace {

using namespace postern;
using namespace postern::keystore;

// One write, unbuffered: what was said before a kill was said.
void say(std::string line) {
  line += '\n';
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::exit(74);
}

[[noreturn]] void give_up(const base::Error& error) {
  std::fprintf(stderr, "%s\n", error.text().c_str());
  std::exit(1);
}

template <class T>
T must(base::Result<T> result) {
  if (!result) give_up(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void finish_zeroising(StateDirectory& directory) {
  must(directory.destroy_kek());
  // Here fipsd erases the token.
  must(directory.marker());
  must(directory.destroy_rest());
  must(directory.finish());
  say("zeroised");
}

StateDirectory start(const std::string& path) {
  StateDirectory directory = must(StateDirectory::open(path));
  if (directory.durable() == Condition::zeroising) finish_zeroising(directory);
  return directory;
}

void zeroise(StateDirectory& directory) {
  must(directory.mark(must(Kek::load(directory, "")).so_pin()));
  finish_zeroising(directory);
}

void init(const std::string& path, std::string_view password) {
  StateDirectory directory = start(path);
  const Kek kek = must(Kek::create(directory, ""));
  must(store_password(directory, password, PasswordHash::scrypt));
  Catalogue catalogue;
  catalogue.distrust = {"spki:1"};
  must(save_catalogue(directory, kek, catalogue));
  must(directory.set_durable(Condition::operational));
  say("operational");
}

void try_password(const std::string& path, std::string_view password) {
  StateDirectory directory = start(path);
  if (directory.durable() == Condition::zeroised) return;
  const Attempt outcome = must(attempt(directory, password));
  say(outcome.accepted ? "accepted" : fmt::format("refused, {} failures", outcome.failures));
  if (outcome.zeroise) zeroise(directory);
}

// The content tells the generation, so that old and new cannot be mixed.
void save(const std::string& path) {
  StateDirectory directory = start(path);
  const Kek kek = must(Kek::load(directory, ""));
  Catalogue catalogue = must(load_catalogue(directory, kek));
  catalogue.distrust.push_back(fmt::format("spki:{}{}", catalogue.distrust.size() + 1, std::string(3000, 'x')));
  must(save_catalogue(directory, kek, catalogue));
  say(fmt::format("saved {}", catalogue.generation));
}

void show(const std::string& path) {
  StateDirectory directory = start(path);
  say(fmt::format("condition {}", condition_name(directory.durable())));
  say(fmt::format("failures {}", directory.failures()));
  const auto kek = Kek::load(directory, "");
  if (!kek) return say("no kek");
  const auto catalogue = load_catalogue(directory, *kek);
  if (!catalogue) return say("no catalogue: " + catalogue.error().text());
  say(fmt::format("catalogue {} {}", catalogue->generation, catalogue->distrust.size()));
}

AuditOptions audit_options(const std::string& path) {
  AuditOptions options;
  options.directory = path + "/log";
  options.segment = kLeastSegment;
  options.reserve = kLeastReserve;
  return options;
}

void audit(const std::string& path, int count) {
  auto log = must(Audit::open(audit_options(path)));
  log->on_alert = [](std::string_view text) { say("alert: " + std::string(text)); };
  const std::string filler(500, 'x');
  for (int i = 0; i < count; ++i) {
    const Weight weight = i % 10 == 5 ? Weight::officer : Weight::use;
    const std::string name = fmt::format("<{}>", i);
    const auto appended = log->append(
        weight, "sign", {{"key", name}, {"a", filler}, {"b", filler}, {"c", filler}, {"d", filler}, {"e", filler}});
    say(fmt::format("{} {}", appended ? "recorded" : "refused", name));
  }
}

void audit_show(const std::string& path) {
  auto log = must(Audit::open(audit_options(path)));
  std::string before;
  uint64_t next = 0;
  for (uint64_t from = 1;; from = next) {
    const std::string page = must(log->read(from, 48u << 10, next));
    if (page.empty()) break;
    uint64_t records = 0;
    before = must(verify_audit(page, before, records));
    for (const auto line : base::split(page, '\n')) {
      const size_t begin = line.find("\"key\":\"<");
      if (begin != std::string_view::npos)
        say(fmt::format("holds {}", line.substr(begin + 7, line.find('>') + 1 - (begin + 7))));
    }
  }
  if (before != log->head().hash && log->head().sequence != 0)
    give_up({base::Cause::malformed, "the head is not that of the chain"});
  say("verified");
}

// What a record of key use costs.
void audit_rate(const std::string& path, int threads) {
  constexpr int kCount = 200'000;
  AuditOptions options;
  options.directory = path + "/log";
  auto log = must(Audit::open(options));
  const auto begin = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
  std::vector<std::jthread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&] {
      for (int i = 0; i < kCount / threads; ++i) {
        must(log->append(Weight::use, "sign",
                         {{"key", "dkim-r2026"},
                          {"algorithm", "rsa-pkcs1-sha256"},
                          {"socket", "milter"},
                          {"pid", "4711"},
                          {"uid", "110"}}));
      }
    });
  }
  all.clear();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  const double used = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  say(fmt::format("{} threads: {:.0f} records/s, {:.2f} us CPU each", threads, kCount / wall.count(),
                  used / kCount * 1e6));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  const std::string_view command = argv[1];
  const std::string path = argv[2];
  const std::string argument = argc > 3 ? argv[3] : "";
  if (command == "init") {
    init(path, argument);
  } else if (command == "attempt") {
    try_password(path, argument);
  } else if (command == "zeroise") {
    StateDirectory directory = start(path);
    if (directory.durable() != Condition::zeroised) zeroise(directory);
  } else if (command == "save") {
    save(path);
  } else if (command == "show") {
    show(path);
  } else if (command == "audit") {
    audit(path, std::atoi(argument.c_str()));
  } else if (command == "audit-rate") {
    audit_rate(path, std::atoi(argument.c_str()));
  } else if (command == "audit-show") {
    audit_show(path);
  } else {
    return 64;
  }
  return 0;
}

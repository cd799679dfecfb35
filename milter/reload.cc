// SPDX-License-Identifier: Apache-2.0
// Loading and loading again: a generation is built beside the one in use and installed only when it is whole.
#include "milter/reload.h"

#include <ctime>
#include <utility>

#include "milter/directories.h"
#include "milter/engines.h"
#include "milter/events.h"
#include "milter/scanning.h"

namespace postern::milter {
namespace {

constexpr size_t kLoggedDiagnostics = 4096;

// restart_notes says which settings differ that a running daemon cannot change.
std::string restart_notes(const Settings& now, const Settings& next) {
  std::string notes;
  const auto compare = [&](bool same, std::string_view key) {
    if (!same) notes += "note: " + std::string(key) + " changed; that takes effect at the next start\n";
  };
  compare(now.listen.socket == next.listen.socket, "listen.socket");
  compare(now.listen.mode == next.listen.mode, "listen.mode");
  compare(now.listen.group == next.listen.group, "listen.group");
  compare(now.control_socket == next.control_socket && now.control_group == next.control_group, "control");
  compare(now.store == next.store, "store");
  compare(now.store_key == next.store_key, "store-encryption");
  compare(now.user == next.user && now.group == next.group, "user");
  return notes;
}

}  // namespace

void apply_process_settings(const Settings& settings) { match::set_regex_limits(settings.regex); }

FirstLoad load_first(const std::string& path) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  FirstLoad loaded;
  loaded.generation = load_generation(path, sources, diagnostics);
  loaded.result.at = static_cast<int64_t>(std::time(nullptr));
  loaded.result.errors = diagnostics.error_count();
  loaded.result.diagnostics = diagnostics.render();
  loaded.result.ok = loaded.generation != nullptr;
  if (loaded.generation != nullptr) {
    loaded.generation->number = 1;
    loaded.result.generation = 1;
  }
  return loaded;
}

Reloader::Reloader(Service& service, std::string path, LoadResult first)
    : service_(service), path_(std::move(path)), last_(std::move(first)) {}

LoadResult Reloader::reload() {
  const std::lock_guard<std::mutex> one_at_a_time(loading_);
  FirstLoad loaded = load_first(path_);
  LoadResult result = std::move(loaded.result);
  const std::shared_ptr<Live> now = service_.current();
  if (result.ok) {
    loaded.generation->open_scanning(now->generation.get());
    if (loaded.generation->scanning != nullptr) {
      if (auto started = loaded.generation->scanning->start(); !started) {
        result.ok = false;
        ++result.errors;
        result.diagnostics += started.error().text() + "\n";
      }
    }
  }
  if (result.ok) {
    const Settings& settings = loaded.generation->settings;
    loaded.generation->number = now->generation->number + 1;
    result.diagnostics += restart_notes(now->generation->settings, settings);
    apply_process_settings(settings);
    // Connections to fipsd, and what is known of whether it answers, outlive a reload.
    const Generation& before = *now->generation;
    if (loaded.generation->keys && before.keys && before.settings.keys_socket == settings.keys_socket) {
      loaded.generation->use_keys(before.keys);
    }
    if (auto opened = base::open_log(settings.log); !opened) {
      base::emit(event(Event::log_target_failed), {{"reason", opened.error().text()}});
      result.diagnostics += "log target not changed: " + opened.error().text() + "\n";
    }
    loaded.generation->open_directories(now->generation.get(), log_directory_event);
    loaded.generation->open_engines(now->generation.get(), log_engine_event);
    loaded.generation->rules->prepare();
    service_.install(loaded.generation);
    result.generation = loaded.generation->number;
    base::emit(event(Event::reload_done), {{"generation", std::to_string(result.generation)},
                                           {"filters", std::to_string(loaded.generation->rules->filters().size())},
                                           {"files", std::to_string(loaded.generation->files.size())}});
  } else {
    result.generation = now->generation->number;
    base::emit(event(Event::reload_failed),
               {{"generation", std::to_string(result.generation)},
                {"diagnostics", std::string_view(result.diagnostics).substr(0, kLoggedDiagnostics)}});
  }
  const std::lock_guard<std::mutex> guard(mutex_);
  last_ = result;
  return result;
}

LoadResult Reloader::last() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return last_;
}

}  // namespace postern::milter

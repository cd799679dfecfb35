// SPDX-License-Identifier: Apache-2.0
// postern check: loads everything and prints every error; --dump prints what the configuration amounts to.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/config/diagnostics_json.h"
#include "milter/cli/commands.h"
#include "milter/cli/load.h"

namespace postern::cli {

std::unique_ptr<Loaded> load(const std::string& path, bool warnings) {
  auto loaded = std::make_unique<Loaded>();
  loaded->diagnostics = std::make_unique<config::Diagnostics>(loaded->sources);
  loaded->generation = milter::load_generation(path, loaded->sources, *loaded->diagnostics);
  if (warnings || !loaded->diagnostics->ok()) std::fputs(loaded->diagnostics->render().c_str(), stderr);
  return loaded;
}

int run_check(const CheckOptions& options) {
  const std::unique_ptr<Loaded> loaded = load(options.config, !options.json);
  const bool ok = loaded->generation != nullptr;
  if (options.json) {
    nlohmann::json answer = {{"ok", ok},
                             {"diagnostics", config::diagnostics_json(loaded->sources, *loaded->diagnostics)}};
    if (ok) {
      answer["files"] = loaded->generation->files;
      answer["filters"] = loaded->generation->rules->filters().size();
    }
    std::puts(answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return ok ? kDone : kBadConfig;
  }
  if (!ok) {
    std::fprintf(stderr, "%s: %zu error%s; nothing was loaded\n", options.config.c_str(),
                 loaded->diagnostics->error_count(), loaded->diagnostics->error_count() == 1 ? "" : "s");
    return kBadConfig;
  }
  if (options.dump) {
    std::fputs(milter::dump_settings(loaded->generation->settings).c_str(), stdout);
  } else {
    std::printf("%s: good; %zu filter%s in %zu file%s\n", options.config.c_str(),
                loaded->generation->rules->filters().size(),
                loaded->generation->rules->filters().size() == 1 ? "" : "s", loaded->generation->files.size(),
                loaded->generation->files.size() == 1 ? "" : "s");
  }
  return kDone;
}

}  // namespace postern::cli

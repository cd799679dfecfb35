// SPDX-License-Identifier: Apache-2.0
// postern scan: what content scanning finds in files and messages, by the same workers and with the same limits as the
// daemon's.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "milter/cli/commands.h"
#include "milter/cli/input.h"
#include "milter/cli/load.h"
#include "milter/scan_rows.h"
#include "milter/scanning.h"

namespace postern::cli {
namespace {

using nlohmann::json;

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

void print_row(const milter::ScanRow& row) {
  const scan::Leaf& leaf = *row.leaf;
  std::string types;
  for (const scan::FileType type : leaf.types) types += (types.empty() ? "" : ",") + std::string(scan::info(type).name);
  std::string more;
  if (leaf.protection != scan::Protection::no) {
    more += ", protected: " + std::string(scan::protection_name(leaf.protection));
  }
  if (!leaf.scanned()) more += ", unscannable: " + std::string(milter::reason_text(leaf.reason));
  std::printf("%s: %s, %llu bytes, %zu bytes of text%s\n", base::escape_for_log(row.path, scan::kMaxPath).c_str(),
              types.c_str(), static_cast<unsigned long long>(leaf.size), leaf.text.size(), more.c_str());
}

}  // namespace

int run_scan(const ScanOptions& options) {
  std::shared_ptr<milter::Generation> generation;
  milter::Settings settings;
  if (!options.config.empty()) {
    generation = load(options.config, false)->generation;
    if (generation == nullptr) return kBadConfig;
    settings = generation->settings;
  }
  settings.scan_pool.workers = 1;
  milter::Scanning scanner(settings.scan_pool, {});
  if (auto started = scanner.start(); !started) {
    std::fprintf(stderr, "postern scan: %s\n", started.error().text().c_str());
    return kUnavailable;
  }
  int status = kDone;
  json all = json::array();
  for (const std::string& path : options.files) {
    const base::Result<std::string> file = read_input(path);
    if (!file) {
      std::fprintf(stderr, "postern scan: %s\n", file.error().text().c_str());
      status = file.error().cause() == base::Cause::denied ? kDenied : kBadData;
      continue;
    }
    const std::string_view name = path == "-" ? std::string_view() : file_name(path);
    scan::Job job;
    job.bytes = *file;
    job.name = name;
    job.limits = settings.scan.limits;
    job.skip = settings.scan.skip;
    job.want_metadata = settings.scan.metadata;
    job.is_message = base::lower(name).ends_with(".eml");
    const scan::Verdict verdict = job.bytes.size() > job.limits.size
                                      ? scan::unscannable(scan::Reason::size, name, {}, job.bytes.size())
                                      : scanner.scan(job);
    for (const milter::ScanRow& row : milter::rows_of_file(verdict, name)) {
      if (options.json) {
        json entry = milter::row_json(row, options.text);
        entry["file"] = path;
        all.push_back(std::move(entry));
      } else if (options.text) {
        std::fwrite(row.leaf->text.data(), 1, row.leaf->text.size(), stdout);
        if (!row.leaf->text.empty() && !row.leaf->text.ends_with('\n')) std::putchar('\n');
      } else {
        print_row(row);
      }
    }
  }
  if (options.json) std::puts(all.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  return status;
}

}  // namespace postern::cli

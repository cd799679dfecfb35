// SPDX-License-Identifier: Apache-2.0
// `scan` in postern.yaml. Types that are not scanned are kept as one set, whichever of the two lists named them.
#include "milter/settings_scan.h"

#include <charconv>
#include <vector>

#include "engine/base/text.h"
#include "engine/config/yaml.h"

namespace postern::milter {
namespace {

using config::Node;

scan::TypeSet read_types(config::OptionReader& read, const Node& node) {
  scan::TypeSet out;
  for (const Node* item : read.items(node)) {
    if (const std::optional<scan::TypeSet> kind = scan::find_kind(item->text)) {
      out |= *kind;
      continue;
    }
    std::vector<std::string_view> known;
    for (const scan::GroupInfo& row : scan::groups()) known.push_back(row.name);
    for (const scan::FileTypeInfo& row : scan::file_types()) known.push_back(row.name);
    const std::string_view near = base::nearest(item->text, known);
    read.error(*item, base::quoted(item->text) + " is no file type",
               near.empty() ? "postern-rules(5) has the list" : "did you mean '" + std::string(near) + "'?");
  }
  return out;
}

std::string count_or_auto(uint32_t count) { return count == 0 ? "auto" : std::to_string(count); }

// read_count reads a number of workers, or the word auto, which is 0.
void read_count(config::OptionReader& read, const Node& map, std::string_view path, uint32_t most, uint32_t& to) {
  std::string text;
  read.text(map, path, text);
  if (text.empty() || text == "auto") return;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), to);
  if (fault == std::errc() && end == text.data() + text.size() && to >= 1 && to <= most) return;
  const std::string_view key = path.substr(path.rfind('.') + 1);
  read.error(*map.get(key), base::quoted(text) + " is no number of workers", "auto, or 1 to " + std::to_string(most));
}

}  // namespace

void read_scan(config::OptionReader& read, const Node& root, const std::string& folder, Settings& settings) {
  const Node* map = read.map(root, "scan");
  if (map == nullptr) return;
  ScanPool& pool = settings.scan_pool;
  read_count(read, *map, "scan.workers", 256, pool.workers);
  read_count(read, *map, "scan.max-workers", 1024, pool.most_workers);
  if (pool.workers != 0 && pool.most_workers != 0 && pool.most_workers < pool.workers) {
    read.error(*map->get("max-workers"), "'max-workers' is less than 'workers'");
  }
  read.size(*map, "scan.memory", pool.memory);
  read.text(*map, "scan.program", pool.program);
  if (!pool.program.empty()) pool.program = config::absolute_path(folder, pool.program);
  scan::ScanLimits& limits = settings.scan.limits;
  read.integer(*map, "scan.max-depth", limits.depth);
  read.size(*map, "scan.max-size", limits.size);
  read.size(*map, "scan.max-total", limits.total);
  read.integer(*map, "scan.max-members", limits.members);
  read.integer(*map, "scan.max-ratio", limits.ratio);
  read.size(*map, "scan.max-text", limits.text);
  uint64_t seconds = static_cast<uint64_t>(limits.time.count()) / 1000;
  read.duration(*map, "scan.timeout", seconds);
  limits.time = std::chrono::seconds(seconds);
  if (const Node* metadata = map->get("metadata")) settings.scan.metadata = read.boolean(*metadata);
  const Node* skip = map->get("skip");
  const Node* only = map->get("only");
  if (skip != nullptr && only != nullptr) {
    read.error(*map->key_node("only"), "'skip' and 'only' cannot both be given");
  }
  if (skip != nullptr) settings.scan.skip = read_types(read, *skip);
  if (only != nullptr) {
    settings.scan.skip = ~read_types(read, *only);
    if (settings.scan.skip.all())
      read.error(*only, "'only' names nothing: no attachment would be opened", "name types or groups, or leave it out");
  }
}

void dump_scan(const Settings& settings, std::string& out) {
  const auto line = [&out](std::string_view key, const std::string& value) {
    out += "  " + std::string(key) + ": " + value + "\n";
  };
  const scan::ScanLimits& limits = settings.scan.limits;
  out += "scan:\n";
  line("workers", count_or_auto(settings.scan_pool.workers));
  line("max-workers", count_or_auto(settings.scan_pool.most_workers));
  line("memory", base::format_size(settings.scan_pool.memory));
  line("program", config::quote_scalar(settings.scan_pool.program));
  line("max-depth", std::to_string(limits.depth));
  line("max-size", base::format_size(limits.size));
  line("max-total", base::format_size(limits.total));
  line("max-members", std::to_string(limits.members));
  line("max-ratio", std::to_string(limits.ratio));
  line("max-text", base::format_size(limits.text));
  line("timeout", base::format_duration(static_cast<uint64_t>(limits.time.count()) / 1000));
  line("metadata", settings.scan.metadata ? "true" : "false");
  const scan::TypeSet& skip = settings.scan.skip;
  const bool inverse = skip.count() > skip.size() / 2 && !skip.all();
  std::vector<std::string> names;
  for (size_t i = 0; i < skip.size(); ++i) {
    if (skip.test(i) != inverse) names.emplace_back(scan::file_types()[i].name);
  }
  line(inverse ? "only" : "skip", config::quote_list(names));
}

}  // namespace postern::milter

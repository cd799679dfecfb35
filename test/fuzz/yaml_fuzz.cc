// SPDX-License-Identifier: Apache-2.0
// Any bytes as YAML and as postern.yaml. A tree keeps the limits on depth and count, has no key twice, and every byte
// of every plain or quoted value is found again at the place it is said to come from; diagnostics lie inside the file;
// and settings that are taken dump to a text that gives the same dump again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <source_location>
#include <string>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "milter/settings.h"

namespace {

using namespace postern;

void require(bool condition, const std::source_location& where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "line %u: this does not hold\n", where.line());
  std::abort();
}

struct Walk {
  const config::Sources& sources;
  uint32_t id;
  size_t nodes = 0;

  void place(const config::Position& position) const {
    require(position.source == id && position.line >= 1 && position.column >= 1);
    require(sources.offset_of(position) <= sources.text(id).size());
  }

  void scalar(const config::Node& node) {
    require(base::is_valid_utf8(sources.text(id)));
    const std::string_view text = sources.text(id);
    require(node.begin <= node.end && node.end <= text.size());
    // Some places of a long value are enough.
    const size_t step = node.text.size() / 64 + 1;
    for (size_t i = 0; i < node.text.size(); i += step) {
      const config::Position position = node.position_of(sources, i);
      place(position);
      const size_t offset = sources.offset_of(position);
      const char c = node.text[i];
      const bool folded = c == ' ' || c == '\n';  // may stand for a line end
      const bool escaped =
          node.style == config::ScalarStyle::double_quoted && offset < text.size() && text[offset] == '\\';
      // A byte inside a character written as an escape comes from that escape.
      // Where a private key was left out, values are placed by their beginning.
      const bool key = text.find("PRIVATE KEY-----") != std::string_view::npos;
      if (!folded && !escaped && !key) require(offset < text.size() && text[offset] == c);
    }
    place(node.position_of(sources, node.text.size()));
  }

  void node(const config::Node& node, size_t depth) {
    require(depth <= config::kMaxYamlDepth);
    require(++nodes <= config::kMaxYamlNodes);
    place(node.position);
    require(node.length(sources) >= 1);
    std::set<std::string_view> keys;
    switch (node.kind) {
      case config::NodeKind::null:
        break;
      case config::NodeKind::scalar:
        scalar(node);
        break;
      case config::NodeKind::sequence:
        for (const config::Node& item : node.items) this->node(item, depth + 1);
        break;
      case config::NodeKind::map:
        for (const auto& [key, value] : node.entries) {
          require(key.kind == config::NodeKind::scalar && keys.insert(key.text).second);
          require(node.get(key.text) == &value);
          scalar(key);
          this->node(value, depth + 1);
        }
        break;
    }
  }
};

void check_diagnostics(const config::Diagnostics& diagnostics, uint32_t id, size_t size) {
  for (const config::Diagnostic& one : diagnostics.all()) {
    if (one.position.line == 0) continue;  // of the load as a whole
    require(one.position.source == id && one.position.line <= size + 1 && one.position.column <= size + 1);
    require(!one.message.empty());
  }
  require(base::is_valid_utf8(diagnostics.render()) || !diagnostics.ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  {
    config::Sources sources;
    const uint32_t id = sources.add_text("fuzz", text);
    config::Diagnostics diagnostics(sources);
    const auto root = config::parse_yaml(sources, id, diagnostics);
    require(root || !diagnostics.ok());
    if (root) Walk{sources, id}.node(*root, 0);
    check_diagnostics(diagnostics, id, size);
  }
  config::Sources sources;
  const uint32_t id = sources.add_text("/etc/postern/postern.yaml", text);
  config::Diagnostics diagnostics(sources);
  const auto settings = milter::read_settings(sources, id, diagnostics);
  require(settings.has_value() == diagnostics.ok());
  check_diagnostics(diagnostics, id, size);
  if (!settings) return 0;
  const std::string dump = milter::dump_settings(*settings);
  config::Sources again;
  const uint32_t dumped = again.add_text("/etc/postern/dumped.yaml", dump);
  config::Diagnostics trouble(again);
  const auto same = milter::read_settings(again, dumped, trouble);
  if (!same) std::fputs((trouble.render() + dump).c_str(), stderr);
  require(same.has_value());
  require(milter::dump_settings(*same) == dump);
  return 0;
}

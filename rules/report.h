// SPDX-License-Identifier: Apache-2.0
// Report: says what is wrong with a word inside a YAML value, at its place in the file: expressions and values are
// parsed from the unfolded text of a node, and the caret must stand under what was written. One load, one thread.
#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/text.h"
#include "engine/config/source.h"
#include "engine/config/yaml.h"
#include "rules/values.h"

namespace postern::rules {

class Report {
 public:
  Report(const config::Sources& sources, config::Diagnostics& diagnostics)
      : sources_(sources), diagnostics_(diagnostics) {}

  // error and warning underline `node`.
  void error(const config::Node& node, std::string message, std::string hint = {}) {
    diagnostics_.error(node.position, node.length(sources_), std::move(message), std::move(hint));
  }
  void warning(const config::Node& node, std::string message, std::string hint = {}) {
    diagnostics_.warning(node.position, node.length(sources_), std::move(message), std::move(hint));
  }
  // error_in underlines `length` bytes from byte `offset` of node.text, as far as they stand on one line of the file.
  void error_in(const config::Node& node, size_t offset, size_t length, std::string message, std::string hint = {}) {
    const config::Position start = position(node, offset);
    diagnostics_.error(start, underlined(node, start, offset, length), std::move(message), std::move(hint));
  }
  void fault_in(const config::Node& node, size_t offset, ValueFault fault) {
    error_in(node, offset + fault.offset, fault.length, std::move(fault.message), std::move(fault.hint));
  }
  config::Position position(const config::Node& node, size_t offset) const {
    return node.position_of(sources_, std::min(offset, node.text.size()));
  }
  const config::Sources& sources() const { return sources_; }
  config::Diagnostics& diagnostics() { return diagnostics_; }

 private:
  uint32_t underlined(const config::Node& node, config::Position start, size_t offset, size_t length) const {
    if (start.line == 0) return 1;
    const size_t line_size = sources_.line(start.source, start.line).size();
    const size_t rest = line_size >= start.column ? line_size - start.column + 1 : 1;
    if (length <= 1) return 1;
    const config::Position last = position(node, offset + length - 1);
    const size_t wanted =
        last.line == start.line && last.column >= start.column ? last.column - start.column + 1 : rest;
    return static_cast<uint32_t>(std::clamp<size_t>(wanted, 1, rest));
  }
  const config::Sources& sources_;
  config::Diagnostics& diagnostics_;
};

// quoted puts a word from a file into a message: in quotes, made harmless, cut short.
inline std::string quoted(std::string_view word) { return "'" + base::escape_for_log(word, 80) + "'"; }

// did_you_mean is the hint for a near miss, or an empty text.
inline std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view best = base::nearest(word, candidates);
  return best.empty() ? std::string() : "did you mean '" + std::string(best) + "'?";
}

}  // namespace postern::rules

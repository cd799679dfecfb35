// SPDX-License-Identifier: Apache-2.0
// YAML as Postern reads it: a strict tree with positions. yaml-cpp parses; a walk of our own then refuses what it lets
// through: duplicate keys, unterminated quotes, anchors and aliases, tags, several documents, nesting over 64, over
// 1,000,000 nodes, NUL and other control bytes, invalid UTF-8. Scalars stay text: `NO`, `010` and `1e3` mean what the
// reader of the value says, never what YAML 1.1 says.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/config/source.h"

namespace postern::config {

enum class NodeKind { null, scalar, sequence, map };

// Node is one YAML value with its place. Children are owned. Immutable after parsing; may be shared between threads
// then.
class Node {
 public:
  NodeKind kind = NodeKind::null;
  Position position;        // of the value's first byte (of the text's first byte for a block scalar)
  std::string text;         // scalar: its value after YAML's unquoting and folding
  bool quoted = false;      // scalar was written in quotes or as a block
  std::vector<Node> items;  // sequence
  std::vector<std::pair<Node, Node>> entries;  // map, in file order; keys are scalars

  // get returns the value under `key`, or nullptr.
  const Node* get(std::string_view key) const;
  // key_node returns the key itself (for diagnostics), or nullptr.
  const Node* key_node(std::string_view key) const;
  // position_of maps byte `offset` of `text` back to its place in the file, also inside folded and quoted scalars.
  Position position_of(const Sources& sources, size_t offset) const;
  // length is what a caret should underline for this node: at least 1, never past the end of its line.
  uint32_t length(const Sources& sources) const;
};

// parse_yaml parses the text of `source`; errors go to `diagnostics` and give nullopt. An empty document is a null
// node.
std::optional<Node> parse_yaml(const Sources& sources, uint32_t source, Diagnostics& diagnostics);

}  // namespace postern::config

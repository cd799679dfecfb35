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

// ScalarStyle is how a scalar was written: the way from its text back to the file depends on it.
enum class ScalarStyle : uint8_t { plain, single_quoted, double_quoted, literal, folded };

inline constexpr size_t kMaxYamlDepth = 64;
inline constexpr size_t kMaxYamlNodes = 1'000'000;
// kMaxYamlLookahead bounds how much of a file the parser may read before it hands over the next value; a longer flow
// collection ([…] or {…}) must be written as a block.
inline constexpr size_t kMaxYamlLookahead = 256u << 10;

// Node is one YAML value with its place. Children are owned. Immutable after parsing; may be shared between threads
// then.
class Node {
 public:
  // Defined where Node is complete: libstdc++ 12 under clang needs that for the vector of pairs of Nodes.
  Node();
  Node(const Node&);
  Node(Node&&) noexcept;
  Node& operator=(const Node&);
  Node& operator=(Node&&) noexcept;
  ~Node();

  NodeKind kind = NodeKind::null;
  Position position;   // of the value's first byte (of the text's first byte for a block scalar)
  uint32_t begin = 0;  // scalar: offset in the source of its first byte, quote or block indicator
  uint32_t end = 0;    // scalar: offset just past it
  ScalarStyle style = ScalarStyle::plain;
  std::string text;                            // scalar: its value after YAML's unquoting and folding
  bool quoted = false;                         // scalar was written in quotes or as a block
  std::vector<Node> items;                     // sequence
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

// parse_yaml parses the text of `source`; errors go to `diagnostics`, and give nullopt where there is no tree to go on
// with (a duplicate key leaves one: the first value stands, so that the rest of the file can be checked too). An empty
// document is a null node. A private key in PEM form has no place in a configuration file: it is left out, with a
// warning, together with the map key it stands under.
std::optional<Node> parse_yaml(const Sources& sources, uint32_t source, Diagnostics& diagnostics);

// quote_scalar writes `text`, which has no control characters, as a double-quoted scalar.
std::string quote_scalar(std::string_view text);
// quote_list writes a list of them in one line.
std::string quote_list(const std::vector<std::string>& items);

}  // namespace postern::config

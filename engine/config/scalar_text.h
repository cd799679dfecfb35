// SPDX-License-Identifier: Apache-2.0
// Scalar text: the way between a YAML scalar's value and the bytes it was written as. The source is walked along the
// value that the parser made of it, so each byte of the value gets its place, and a value that the source does not
// explain (an unclosed quote, text that was dropped) is noticed. Linear; no threads.
#pragma once
#include <cstdint>
#include <string_view>

#include "engine/config/yaml.h"

namespace postern::config {

enum class Replay : uint8_t { ok, mismatch, unterminated };

// ScalarPlace is what a walk along a scalar found.
struct ScalarPlace {
  Replay result = Replay::mismatch;
  size_t text_begin = 0;  // offset of the first byte of the scalar's content (past quote or block header)
  size_t end = 0;         // offset just past the scalar
  size_t wanted = 0;      // offset of the byte that `offset` of the value came from; `end` of the content when past it
};

// style_at tells a scalar's style from its first byte.
ScalarStyle style_at(std::string_view source, size_t begin);

// walk_scalar walks along the scalar that begins at `begin` of `source` and has the value `text`.
ScalarPlace walk_scalar(std::string_view source, size_t begin, ScalarStyle style, std::string_view text, size_t offset);

}  // namespace postern::config

// SPDX-License-Identifier: Apache-2.0
// Readings: what some mail reader sees in a message beyond the parts of its Structure. Mail readers disagree about
// broken mail (two Content-Type fields, odd boundaries, damaged base64), and a scanner that follows one of them is
// blind to what the others show. Here every way to cut and decode such a message is tried, within bounds. Nothing is
// done for a message that all readers read alike.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/mime/part.h"

namespace postern::mime {

// OtherReading is one leaf that is not among the parts of the structure, or not with this content, or not under this
// label: a header that takes its type, character set or names from elsewhere makes another thing of the same bytes.
struct OtherReading {
  uint32_t part = 0;  // index of the innermost part of the structure in which it was found
  std::string path;   // that part's
  // Its content, shared by the readings that differ in their label alone, when that is not a stretch of the body ...
  std::shared_ptr<const std::string> decoded;
  Span span;                            // ... else where it stands there
  bool in_body = false;                 // which of the two
  std::string type;                     // as declared, lower case; may be empty
  std::string charset;                  // as declared, lower case; may be empty
  std::vector<std::string> file_names;  // every reading, best first; but first what is new about a known content
  std::string_view why;  // for the log, a word or two: "boundary", "transfer encoding", "type", "charset"

  std::string_view bytes(std::string_view body) const {
    if (in_body) return span.of(body);
    return decoded ? std::string_view(*decoded) : std::string_view();
  }
};

// ReadingBounds are what the search may cost, per message.
struct ReadingBounds {
  uint32_t count = 256;          // readings
  uint64_t bytes = 64ull << 20;  // of decoded content and names, readings and what they were found in together
  uint64_t work = 1ull << 30;    // which bounds the time: bytes looked at, about a nanosecond each
  // reserve is asked for the memory of what is kept, where it is set; false: there is none left.
  std::function<bool(uint64_t)> reserve;
};

struct OtherReadings {
  std::vector<OtherReading> list;
  bool complete = true;  // false: a bound was hit, so that a reader may see what was not found; unscannable
};

// other_readings returns the further leaves of a message: each content (a difference in line ends at the end is none)
// once for each type and character set that some header gives it, and no more often than names that are new demand.
// What a leaf of `structure` gives under its own label is not among them. `odd` holds the indexes of the leaves whose
// Decoded was `odd`; who does not decode leaves leaves them out. Empty at once where one_reading holds, no part has
// other_encoding and `odd` is empty.
OtherReadings other_readings(const HeaderList& header, const Structure& structure, std::string_view body,
                             const base::Limits& limits, std::span<const uint32_t> odd = {},
                             const ReadingBounds& bounds = {});

// is_ambiguous_damage tells whether the faults in the encoding of a leaf make it ambiguous. Unescaped equals signs in
// quoted-printable text, which many programs write, do not: readers differ over the sign alone, and what they see is
// among the other readings.
bool is_ambiguous_damage(const Part& part, const Decoded& decoded);

// ambiguous tells whether two mail readers could see different things in a message: other parts, types, names or
// content. `decoding` holds damaged_encoding when is_ambiguous_damage holds for a leaf. What is merely untidy (bare
// line feeds, 8-bit header, long lines) is not ambiguous.
bool ambiguous(const Structure& structure, Defects decoding = {});

}  // namespace postern::mime

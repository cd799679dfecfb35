// SPDX-License-Identifier: Apache-2.0
// Labels: what headers say about a content to some reader or other: its names, types and character sets. The same bytes
// are another thing under another label, so readings are told apart by both. Internal to readings.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/loose_header.h"
#include "engine/mime/part.h"

namespace postern::mime {

// Kind is a type and a character set by which a reader takes a content, lower case; either may be empty.
struct Kind {
  std::string type;
  std::string charset;
};

// Labels are what one header says.
struct Labels {
  static constexpr size_t kMostKinds = 16;
  std::vector<std::string> names;  // every reading, best first, at most kMostFileNames
  std::vector<Kind> kinds;         // what a field says together first; at least one, at most kMostKinds
  bool complete = true;            // false: there is more that a reader may take
};
Labels labels_of(const LooseHeader& header);
uint64_t label_work(const LooseHeader& header);  // what that costs, in bytes looked at
Labels labels_of(const Part& leaf);

// News is what of some labels is new, as indexes into them.
struct News {
  std::vector<size_t> names;
  std::vector<size_t> kinds;
  std::string_view why;  // of a reading that has nothing else new: "type", "charset" or "name"
  bool empty() const { return names.empty() && kinds.empty(); }
};

// KnownLabels collects what all headers say about one content. No type is text/plain (RFC 2045 5.2).
class KnownLabels {
 public:
  News news(const Labels& labels) const;
  bool knows(const Labels& labels) const { return news(labels).empty(); }
  void add(const Labels& labels);

 private:
  std::set<std::string, std::less<>> names_;
  std::set<std::pair<std::string, std::string>> kinds_;
};

// label_bytes is the memory that `labels` take.
uint64_t label_bytes(const Labels& labels);

}  // namespace postern::mime

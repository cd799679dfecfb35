// SPDX-License-Identifier: Apache-2.0
// Writer: an edited body from the received one. Untouched parts keep their bytes exactly; the result is a list of
// pieces, so that an edit of one part copies nothing of the others.
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/part.h"

namespace postern::mime {

// Pieces is a byte sequence made of views into the received body and of texts it owns. Move only.
class Pieces {
 public:
  Pieces() = default;
  Pieces(Pieces&&) = default;
  Pieces& operator=(Pieces&&) = default;
  void add_view(std::string_view view);
  void add_text(std::string text);
  const std::vector<std::string_view>& views() const { return views_; }
  uint64_t size() const { return size_; }
  std::string flatten() const;

 private:
  std::vector<std::string_view> views_;
  std::deque<std::string> owned_;
  uint64_t size_ = 0;
};

// PartEdit replaces one part. For a part below a multipart: `header` (CRLF lines, without the blank line) and `content`
// replace the part's; `remove` takes it out with its delimiter line. For part 0: only `content` counts (its header
// fields are edited on the message).
struct PartEdit {
  uint32_t part = 0;
  bool remove = false;
  std::string header;
  std::string content;
};

// write_body applies `edits` (at most one per part; an edit inside a replaced container is ignored) to `body`. Removing
// the last child of a multipart leaves an empty text/plain part.
Pieces write_body(const Structure& structure, std::string_view body, const std::vector<PartEdit>& edits);

}  // namespace postern::mime

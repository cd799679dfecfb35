// SPDX-License-Identifier: Apache-2.0
// TextSink: text of a document on its way into a leaf: collected into larger pieces, with separators that never pile
// up, so that empty cells and paragraphs cost nothing.
#pragma once
#include <string>
#include <string_view>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

class TextSink {
 public:
  // A sink that is opened on a leaf with text begins a new line there.
  explicit TextSink(Context& context) : context_(context), separator_(context.leaf().text.empty() ? 0 : '\n') {}
  ~TextSink();
  TextSink(const TextSink&) = delete;
  TextSink& operator=(const TextSink&) = delete;

  // text adds UTF-8; what follows joins it without a gap.
  void text(std::string_view utf8);
  // line ends a paragraph, tab a cell; neither does anything where nothing was written since.
  void line() { separate('\n'); }
  void tab() { separate('\t'); }
  // paragraph is a text that stands alone.
  void paragraph(std::string_view utf8) {
    line();
    text(utf8);
    line();
  }
  // wanted is false when the limit of text is reached or none was asked for.
  bool wanted() const { return wanted_ && context_.wants_text(); }
  void flush();

 private:
  void separate(char separator);

  Context& context_;
  char separator_;  // owed before the next text
  std::string pending_;
  bool wanted_ = true;
  uint64_t written_ = 0;
};

}  // namespace postern::scan::worker

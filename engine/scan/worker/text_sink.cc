// SPDX-License-Identifier: Apache-2.0
// Text on its way into a leaf.
#include "engine/scan/worker/text_sink.h"

#include <new>

namespace postern::scan::worker {
namespace {

constexpr size_t kPending = 32768;

}  // namespace

TextSink::~TextSink() {
  try {
    flush();
  } catch (const std::bad_alloc&) {
    context_.fail(Reason::memory);
  }
}

void TextSink::text(std::string_view utf8) {
  if (utf8.empty() || !wanted()) return;
  if (separator_ != 0) pending_.push_back(separator_);
  separator_ = 0;
  pending_.append(utf8);
  written_ += utf8.size();
  if (pending_.size() >= kPending) flush();
}

void TextSink::separate(char separator) {
  if (written_ == 0 && pending_.empty()) return;
  // A line end is stronger than a tab.
  if (separator_ != '\n') separator_ = separator;
}

void TextSink::flush() {
  if (pending_.empty()) return;
  wanted_ = context_.text(pending_) && wanted_;
  pending_.clear();
}

}  // namespace postern::scan::worker

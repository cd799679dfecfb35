// SPDX-License-Identifier: Apache-2.0
// JSON as its grammar has it (RFC 8259), without a tree and without recursion.
#include <string_view>
#include <vector>

#include "engine/scan/worker/filetype_parts.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kDepth = 10000;

class Checker {
 public:
  explicit Checker(std::string_view text) : text_(text) {}

  // value reads one value that is an object or array; what follows it stays. `cut`: the text may end anywhere.
  bool value(bool cut) {
    skip();
    if (at_ >= text_.size() || (text_[at_] != '{' && text_[at_] != '[')) return false;
    std::vector<char> open;
    bool want_value = true;
    while (true) {
      skip();
      if (at_ >= text_.size()) return cut;
      const char c = text_[at_];
      if (want_value) {
        if (c == '{' || c == '[') {
          if (open.size() >= kDepth) return false;
          open.push_back(c);
          ++at_;
          skip();
          const char close = c == '{' ? '}' : ']';
          if (at_ < text_.size() && text_[at_] == close) {
            want_value = false;
            continue;
          }
          if (c == '{' && !key(cut)) return cut && at_ >= text_.size();
          continue;
        }
        if (!scalar()) return cut && at_ >= text_.size();
        want_value = false;
        continue;
      }
      if (c == '}' || c == ']') {
        if (open.empty() || open.back() != (c == '}' ? '{' : '[')) return false;
        open.pop_back();
        ++at_;
        if (open.empty()) return true;
        continue;
      }
      if (c != ',') return false;
      ++at_;
      if (open.back() == '{' && !key(cut)) return cut && at_ >= text_.size();
      want_value = true;
    }
  }

  void skip() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool done() const { return at_ >= text_.size(); }

 private:
  bool key(bool) {
    skip();
    if (!string()) return false;
    skip();
    if (at_ >= text_.size() || text_[at_] != ':') return false;
    ++at_;
    return true;
  }

  bool string() {
    if (at_ >= text_.size() || text_[at_] != '"') return false;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '"') {
        ++at_;
        return true;
      } else if (static_cast<unsigned char>(text_[at_]) < 0x20) {
        return false;
      }
    }
    at_ = text_.size();
    return false;
  }

  bool scalar() {
    if (text_[at_] == '"') return string();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return true;
      }
    }
    const size_t end = text_.find_first_not_of("0123456789+-.eE", at_);
    const size_t size = (end == std::string_view::npos ? text_.size() : end) - at_;
    if (size == 0) return false;
    at_ += size;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

bool is_json(std::string_view text, bool& lines) {
  constexpr size_t kLook = 1u << 20;
  lines = false;
  const bool cut = text.size() > kLook;
  Checker whole(text.substr(0, kLook));
  if (!whole.value(cut)) return false;
  whole.skip();
  if (whole.done()) return true;
  // More values, one behind the other, most often each on a line of its own.
  while (!whole.done()) {
    if (!whole.value(cut)) return false;
    whole.skip();
  }
  lines = true;
  return true;
}

}  // namespace postern::scan::worker

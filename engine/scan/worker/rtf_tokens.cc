// SPDX-License-Identifier: Apache-2.0
// Tokens of RTF.
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/rtf.h"

namespace postern::scan::worker {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

RtfToken RtfTokens::next() {
  RtfToken token;
  while (at_ < bytes_.size() && (bytes_[at_] == '\r' || bytes_[at_] == '\n' || bytes_[at_] == '\0')) ++at_;
  if (at_ >= bytes_.size()) return token;
  const char c = bytes_[at_];
  if (c == '{' || c == '}') {
    token.kind = c == '{' ? RtfToken::Kind::open : RtfToken::Kind::close;
    ++at_;
    return token;
  }
  if (c != '\\') {
    const size_t end = bytes_.find_first_of(std::string_view("{}\\\r\n\0", 6), at_);
    token.kind = RtfToken::Kind::text;
    token.text = slice(bytes_, at_, end == std::string_view::npos ? bytes_.size() : end - at_);
    at_ += token.text.size();
    return token;
  }
  ++at_;
  if (at_ >= bytes_.size()) return token;
  if (bytes_[at_] == '\'') {
    const int high = at_ + 1 < bytes_.size() ? hex_value(bytes_[at_ + 1]) : -1;
    const int low = at_ + 2 < bytes_.size() ? hex_value(bytes_[at_ + 2]) : -1;
    token.kind = RtfToken::Kind::hex;
    token.number = high < 0 || low < 0 ? -1 : high * 16 + low;
    at_ += high < 0 ? 1 : low < 0 ? 2 : 3;
    return token;
  }
  if (!is_letter(bytes_[at_])) {
    token.kind = RtfToken::Kind::symbol;
    token.text = bytes_.substr(at_, 1);
    ++at_;
    return token;
  }
  token.kind = RtfToken::Kind::word;
  const size_t begin = at_;
  while (at_ < bytes_.size() && is_letter(bytes_[at_])) ++at_;
  token.text = bytes_.substr(begin, at_ - begin);
  bool negative = false;
  if (at_ + 1 < bytes_.size() && bytes_[at_] == '-' && is_digit(bytes_[at_ + 1])) {
    negative = true;
    ++at_;
  }
  int64_t number = 0;
  while (at_ < bytes_.size() && is_digit(bytes_[at_])) {
    token.has_number = true;
    if (number < 0x7fffffff) number = number * 10 + (bytes_[at_] - '0');
    ++at_;
  }
  if (number > 0x7fffffff) number = 0x7fffffff;
  token.number = static_cast<int32_t>(negative ? -number : number);
  if (at_ < bytes_.size() && bytes_[at_] == ' ') ++at_;
  if (token.text == "bin" && token.has_number && token.number > 0) {
    token.kind = RtfToken::Kind::binary;
    token.text = slice(bytes_, at_, static_cast<uint64_t>(token.number));
    at_ += token.text.size();
  }
  return token;
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// The buffer things are unpacked into, and what it charges.
#include "engine/scan/worker/unpack.h"

#include <algorithm>
#include <cstring>

namespace postern::scan::worker {
namespace {

constexpr uint64_t kFirst = 64u << 10;
// A buffer larger than this is given back before the next thing; a smaller one is used again.
constexpr size_t kKeep = 4u << 20;

}  // namespace

void Unpack::begin() {
  size_ = 0;
  reason_ = Reason::none;
  if (capacity_ <= kKeep) return;
  buffer_.reset();
  capacity_ = 0;
}

bool Unpack::charge(uint64_t bytes) {
  if (reason_ != Reason::none) return false;
  Reason reason = context_.budget().out(bytes, size_, in_);
  if (reason == Reason::none) reason = context_.budget().container(out_ + bytes, in_);
  if (reason == Reason::none) {
    out_ += bytes;
    return true;
  }
  // A thing that is too large by itself does not end the container; what ends the scan does.
  stopped_ = reason != Reason::size || context_.budget().spent();
  reason_ = reason;
  return false;
}

bool Unpack::reserve(uint64_t size) {
  if (size <= capacity_) return true;
  // Pages that nothing was written to take no memory: past this a block is made as large as it may get.
  constexpr uint64_t kLarge = 8u << 20;
  const uint64_t most = context_.budget().limits().size;
  const uint64_t wanted = size > kLarge && size <= most ? most : std::max({size, kFirst, capacity_ + capacity_ / 2});
  // realloc moves pages instead of bytes where a block is large.
  char* grown = static_cast<char*>(std::realloc(buffer_.get(), wanted));
  if (grown == nullptr) {
    reason_ = Reason::memory;
    stopped_ = true;
    return false;
  }
  (void)buffer_.release();
  buffer_.reset(grown);
  capacity_ = wanted;
  return true;
}

bool Unpack::append(std::string_view bytes) {
  if (!charge(bytes.size()) || !reserve(size_ + bytes.size())) return false;
  if (!bytes.empty()) std::memcpy(buffer_.get() + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
  return true;
}

bool Unpack::append_zeros(uint64_t count) {
  if (!charge(count) || !reserve(size_ + count)) return false;
  std::memset(buffer_.get() + size_, 0, count);
  size_ += count;
  return true;
}

char* Unpack::fill(size_t count) { return reserve(size_ + count) ? buffer_.get() + size_ : nullptr; }

bool Unpack::keep(size_t count) {
  if (!charge(count)) return false;
  size_ += count;
  return true;
}

bool Unpack::count(uint64_t bytes) {
  begin();
  return charge(bytes);
}

bool Unpack::give(std::string_view name, std::string_view label, std::string_view declared_mime,
                  std::string_view charset) {
  Child found;
  found.bytes = bytes();
  found.name = name;
  found.label = label;
  found.declared_mime = declared_mime;
  found.charset = charset;
  found.lost = reason_;
  const bool more = context_.child(found);
  if (stopped_) context_.fail(reason_);
  return more && !stopped_;
}

bool Unpack::give_view(std::string_view bytes, std::string_view name, Reason reason) {
  const Reason limit = context_.budget().out(bytes.size(), 0, in_);
  if (limit != Reason::none) {
    const bool more = unread(name, bytes.size(), limit);
    if (limit == Reason::size && !context_.budget().spent()) return more;
    context_.fail(limit);
    stopped_ = true;
    return false;
  }
  Child found;
  found.bytes = bytes;
  found.name = name;
  found.lost = reason;
  return context_.child(found);
}

bool Unpack::unread(std::string_view name, uint64_t size, Reason reason, Protection protection) {
  return context_.member_unread(name, size, reason, protection);
}

void Unpack::settle_protection() {
  if (encrypted_ > 0) context_.leaf().protection = plain_ > 0 ? Protection::partly : Protection::yes;
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// Unpack: what comes out of one container, one thing after the other in one buffer that grows as bytes come and is
// freed before the next. Every byte is charged to the budget first, so that a bomb ends where its limit is, not where
// memory does.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

class Unpack {
 public:
  // An unpacking of the context's leaf. The rule of reasons: what cannot be read carries the reason; the container
  // carries it too when what is behind was not seen.
  explicit Unpack(Context& context) : context_(context), in_(context.bytes().size()) {}

  // consumed tells how much of the container what came out so far was made of, where that is known; else it is all.
  uint64_t given() const { return context_.bytes().size(); }
  void consumed(uint64_t bytes) { in_ = std::min<uint64_t>(bytes, context_.bytes().size()); }

  // begin forgets the thing before.
  void begin();
  // append and append_zeros add to the thing; false: a limit was hit, reason() tells which.
  bool append(std::string_view bytes);
  bool append_zeros(uint64_t count);
  // fill returns room for `count` bytes at the end, to be kept by keep(); null: no memory.
  char* fill(size_t count);
  bool keep(size_t count);
  // count begins a thing of which `bytes` came out elsewhere, and charges them as if it had been here; false: it would
  // have hit a limit.
  bool count(uint64_t bytes);

  std::string_view bytes() const { return {buffer_.get(), size_}; }
  Reason reason() const { return reason_; }
  void set_reason(Reason reason) {
    if (reason_ == Reason::none) reason_ = reason;
  }
  // stopped tells whether there is no use in unpacking more: a limit of the whole scan was hit.
  bool stopped() const { return stopped_; }

  // give hands the thing over as a child; what was not read of it is its reason. false: stop.
  bool give(std::string_view name, std::string_view label = {}, std::string_view declared_mime = {},
            std::string_view charset = {});
  // give_view is give for bytes that stand in the container as they are. They cost nothing, but count.
  bool give_view(std::string_view bytes, std::string_view name, Reason reason = Reason::none);
  // unread adds a member that cannot be read; false: stop.
  bool unread(std::string_view name, uint64_t size, Reason reason, Protection protection = Protection::no);

  // count_protection notes that a member needs a password, or does not; settle says so of the container.
  void count_protection(bool encrypted) { ++(encrypted ? encrypted_ : plain_); }
  void settle_protection();

 private:
  bool charge(uint64_t bytes);
  bool reserve(uint64_t size);

  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  Context& context_;
  std::unique_ptr<char, Free> buffer_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  uint64_t in_;
  uint64_t out_ = 0;  // of all things
  Reason reason_ = Reason::none;
  bool stopped_ = false;
  size_t encrypted_ = 0;
  size_t plain_ = 0;
};

}  // namespace postern::scan::worker

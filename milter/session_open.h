// SPDX-License-Identifier: Apache-2.0
// What session.cc and session_end.cc share: the message in progress, and small values for log lines. Private to them.
#pragma once
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "milter/session.h"

namespace postern::milter {

// Number is an integer as text, on the stack.
class Number {
 public:
  explicit Number(uint64_t value) : end_(std::to_chars(text_, text_ + sizeof text_, value).ptr) {}
  operator std::string_view() const { return {text_, static_cast<size_t>(end_ - text_)}; }

 private:
  char text_[20];
  char* end_;
};

// temporary makes a 4xx decision of the daemon's own.
inline Decision temporary(int code, std::string_view enhanced, std::string_view text, std::string_view by = {}) {
  return {Verdict::tempfail, {code, std::string(enhanced), std::string(text)}, std::string(by)};
}

// Open is the message in progress. It counts as in flight for as long as it exists.
struct Session::Open {
  Open(Service& owner, std::shared_ptr<Live> used, uint64_t mid)
      : service(owner),
        live(std::move(used)),
        transaction(live->generation, &owner.memory(), mid, owner.counters().inflight.load(std::memory_order_relaxed)) {
    transaction.keep_body = live->wants.keep_body;
    service.counters().inflight.fetch_add(1, std::memory_order_relaxed);
    service.counters().messages.fetch_add(1, std::memory_order_relaxed);
  }
  ~Open() { service.counters().inflight.fetch_sub(1, std::memory_order_relaxed); }

  Service& service;
  std::shared_ptr<Live> live;
  Transaction transaction;
  std::optional<Decision> late;  // decided where it could not be answered; holds at end of message
  bool data_done = false;
  bool concluded = false;
  Logged logged;
  uint64_t rid = 0;

  uint64_t mid() { return transaction.message().mid; }
};

}  // namespace postern::milter

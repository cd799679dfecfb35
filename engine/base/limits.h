// SPDX-License-Identifier: Apache-2.0
// Limits: every bound on what a message may cost, by name, with its finite default; and the accounts that enforce them.
// What is past a limit is refused or unknown, never silently ignored.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace postern::base {

// kMaxAddress is the longest mail address there can be, in octets: local part, sign and domain (RFC 5321 section
// 4.5.3.1).
inline constexpr size_t kMaxAddress = 64 + 1 + 255;

// Limits are per message unless said otherwise. Sizes in bytes.
struct Limits {
  uint64_t message_size = 50ull << 20;  // header and body together as the MTA delivers them; past it: 552 5.3.4
  uint64_t memory = 512ull << 20;       // of the whole daemon for messages in flight; past it: 451 4.3.2
  uint64_t spool_memory = 1ull << 20;   // body bytes kept in memory before an unlinked file takes over
  uint64_t header_size =
      256u << 10;  // all header fields of the message, and each part's header block; past it: 552 5.3.4 / defect
  uint32_t header_count = 2000;  // fields of the message, and of each part
  uint32_t recipients = 10000;   // per transaction; past it: 452 4.5.3
  uint32_t mime_depth = 32;
  uint32_t mime_parts = 2000;
  uint32_t addresses = 10000;           // mailboxes read out of one header field
  uint64_t decoded_text = 64ull << 20;  // decoded body text produced for rules, all parts together
};

// MemoryAccount counts bytes held by all messages in flight against one bound. Thread-safe, lock-free.
class MemoryAccount {
 public:
  explicit MemoryAccount(uint64_t bound) : bound_(bound) {}

  // reserve takes `bytes` from the account; false, taking nothing, when that would pass the bound.
  bool reserve(uint64_t bytes) {
    const uint64_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= bound_.load(std::memory_order_relaxed)) return true;
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  void release(uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t bound() const { return bound_.load(std::memory_order_relaxed); }
  void set_bound(uint64_t bytes) { bound_.store(bytes, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> used_{0};
  std::atomic<uint64_t> bound_;
};

// MemoryLease is one message's share of a MemoryAccount; it gives everything back when it goes. A lease without an
// account is unlimited (command-line use). Not thread-safe.
class MemoryLease {
 public:
  MemoryLease() = default;
  explicit MemoryLease(MemoryAccount* account) : account_(account) {}
  MemoryLease(const MemoryLease&) = delete;
  MemoryLease& operator=(const MemoryLease&) = delete;
  ~MemoryLease() {
    if (account_ != nullptr) account_->release(held_);
  }
  // grow adds `bytes` to what is held; false when the account is at its bound (the message is then answered 451 4.3.2).
  bool grow(uint64_t bytes) {
    if (account_ != nullptr && !account_->reserve(bytes)) {
      refused_ = true;
      return false;
    }
    held_ += bytes;
    return true;
  }
  // refused tells whether the account ever turned this lease down.
  bool refused() const { return refused_; }
  void shrink(uint64_t bytes) {
    if (account_ != nullptr) account_->release(bytes);
    held_ -= bytes;
  }
  uint64_t held() const { return held_; }

 private:
  MemoryAccount* account_ = nullptr;
  uint64_t held_ = 0;
  bool refused_ = false;
};

}  // namespace postern::base

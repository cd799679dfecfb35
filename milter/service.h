// SPDX-License-Identifier: Apache-2.0
// Service: what all connections of the daemon share: the current configuration generation, numbers for connections and
// messages, the memory account, counters, and whether the daemon is draining. What every message touches is an atomic.
// A lock is taken when a connection opens or notices that a newer generation is there, by a message that leaves
// something in the store, and by one that claims to be our own.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/guarded.h"
#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "milter/pipeline.h"
#include "milter/settings.h"

namespace postern::milter {

// FilterCounter counts what one filter of one generation did.
struct FilterCounter {
  std::atomic<uint64_t> matched{0};
  std::atomic<uint64_t> unknown{0};
  std::atomic<uint64_t> observed{0};
};

// Negotiable is what a generation wants from an MTA, as bits of the milter protocol (kAction…, kStep… in mfapi.h).
struct Negotiable {
  uint32_t actions = 0;     // edits its rules may make
  uint32_t steps_off = 0;   // steps it has no use for (SMFIP_NO*)
  uint32_t no_replies = 0;  // steps it will not answer (SMFIP_NR_*)
  bool keep_body = false;   // rules look at the body; else it is at most counted
};

// Live is a generation in use, with its counters. Shared by the connections that use it.
struct Live {
  explicit Live(std::shared_ptr<const Generation> loaded);
  const std::shared_ptr<const Generation> generation;
  const Negotiable wants;
  std::vector<FilterCounter> filters;  // as in RuleSet::filters()
};

// Counters are the daemon's totals since start.
struct Counters {
  std::atomic<uint64_t> connections{0};  // ever
  std::atomic<uint64_t> sessions{0};     // open now
  std::atomic<uint64_t> messages{0};     // ever begun
  std::atomic<uint64_t> inflight{0};     // between MAIL and the last answer
  std::atomic<uint64_t> verdicts[6]{};   // by Verdict
  std::atomic<uint64_t> aborted{0};
  std::atomic<uint64_t> oversize{0};
  std::atomic<uint64_t> over_memory{0};
  std::atomic<uint64_t> failed{0};  // errors of ours or of the MTA's that ended in a temporary answer
};

class Service {
 public:
  explicit Service(std::shared_ptr<const Generation> first);

  // current returns the newest generation; takes a lock.
  std::shared_ptr<Live> current();
  // number returns the newest generation's number; one atomic load.
  uint64_t number() const { return number_.load(std::memory_order_acquire); }
  // install makes `generation` the current one; messages begun earlier keep theirs.
  void install(std::shared_ptr<const Generation> generation);

  base::MemoryAccount& memory() { return memory_; }
  Counters& counters() { return counters_; }

  // next_id gives numbers for MIDs and ICIDs. They never repeat, also not after a restart: counting starts at
  // (seconds since 2025-01-01) * 65536, so it would take more than 65536 new numbers a second, sustained, or a clock
  // set back, to meet a number of an earlier run.
  uint64_t next_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }

  // drain makes every new message answer 421 from now on.
  void drain() { draining_.store(true, std::memory_order_release); }
  bool draining() const { return draining_.load(std::memory_order_acquire); }

  // content_deadline is how long a message may take at its end before it is answered 451: the MTA waits 300 s by
  // default, and we give up well before it does. Set before the first session.
  std::chrono::nanoseconds content_deadline() const { return content_deadline_; }
  void set_content_deadline(std::chrono::nanoseconds deadline) { content_deadline_ = deadline; }

  // store returns the store that the first generation named, opened when it is first asked for and, after a failure,
  // again, but not within store_retry (2 s): who comes then has the failure at once. Never nullptr; misconfigured where
  // there is none. From any thread; may wait.
  base::Result<std::shared_ptr<store::Store>> store();
  // store_place is where that store is, and who we are in it.
  const store::Store::Open& store_place() const { return store_place_; }
  // store_key is the name of fipsd's key by which that store encrypts; empty: it does not.
  const std::string& store_key() const { return store_place_.key; }
  void set_store_retry(std::chrono::nanoseconds after) { store_retry_ = after; }

  // mark_key returns the secret by which our own mail is known, read or made when it is first asked for and, after a
  // failure, again.
  base::Result<std::shared_ptr<const submit::MarkKey>> mark_key();

  // mail_waits is called when there may be mail to submit; set before the first session.
  void mail_waits() const {
    if (on_mail_) on_mail_();
  }
  void set_on_mail(std::function<void()> call) { on_mail_ = std::move(call); }

  // confirmed is called when the store holds a confirmation that it has not written down; set before the first session.
  void confirmed() const {
    if (on_confirmed_) on_confirmed_();
  }
  void set_on_confirmed(std::function<void()> call) { on_confirmed_ = std::move(call); }

  std::chrono::steady_clock::time_point started() const { return started_; }

 private:
  base::Guarded<std::shared_ptr<Live>> live_;
  std::atomic<uint64_t> number_;
  base::MemoryAccount memory_;
  Counters counters_;
  std::atomic<uint64_t> next_id_;
  std::atomic<bool> draining_{false};
  const std::chrono::steady_clock::time_point started_;
  std::chrono::nanoseconds content_deadline_ = std::chrono::seconds(240);
  std::chrono::nanoseconds store_retry_ = std::chrono::seconds(2);
  const store::Store::Open store_place_;
  struct Opening {
    std::shared_ptr<store::Store> store;
    std::optional<base::Error> failure;  // of the last attempt
    std::chrono::steady_clock::time_point failed;
  };
  base::Guarded<Opening> store_;
  const std::string mark_path_;
  base::Guarded<std::shared_ptr<const submit::MarkKey>> mark_key_;
  std::function<void()> on_mail_;
  std::function<void()> on_confirmed_;
};

// wants_of computes what the rules and limits of a generation need from the MTA.
Negotiable wants_of(const Generation& generation);

}  // namespace postern::milter

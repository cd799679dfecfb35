// SPDX-License-Identifier: Apache-2.0
// Store: what outlives a message: quarantines and the outbox of our own mail, in SQLite with message files beside it,
// or in PostgreSQL where several gateways share it. Every change is one transaction and durable when the call returns.
//
// A sender whose message was kept may never hear of it, because we or the MTA died before the answer: it sends the
// message again. Therefore what is kept is unconfirmed until the MTA shows, by its next step, that it has the answer;
// the same message (Batch::identity, and the same plan for it) that comes again meanwhile is the one that is there.
// Its outgoing mail waits as long.
//
// All functions may be called from any thread. `now` is Unix time. A failure is Cause::unavailable, or not_found where
// there is no such id; after any failure nothing has changed, or the change is one that only an unconfirmed message
// sees.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/store/batch.h"
#include "engine/store/content_keys.h"
#include "engine/store/quarantine.h"

namespace postern::store {

// kUnconfirmedWait is how long outgoing mail of an unconfirmed message waits, in seconds: if the sender has not come
// again by then, the MTA had the answer.
inline constexpr int64_t kUnconfirmedWait = 3600;
// kUnconfirmedAge is how long an unconfirmed message can be taken up again: the time senders try for.
inline constexpr int64_t kUnconfirmedAge = 5 * 86400;
// kLease is how long claimed mail belongs to the gateway that claimed it, in seconds.
inline constexpr int64_t kLease = 600;
// kMaxClaim is the most mails one claim gives.
inline constexpr size_t kMaxClaim = 100;

// Kept is what keep() did: `id` for confirm(); `again` is the MID under which the same message was kept before.
struct Kept {
  int64_t id = 0;
  std::optional<uint64_t> again;
  std::vector<Ended> expired;  // what had to make room
};

// OutboxSummary is what the outbox holds in all.
struct OutboxSummary {
  uint64_t waiting = 0;
  uint64_t failed = 0;
  int64_t oldest = 0;      // when the oldest that waits was made, Unix time; 0: none waits
  std::string last_error;  // of the newest mail that has one
};

// Outgoing is one mail of the outbox.
struct Outgoing {
  enum class State : uint8_t { waiting, failed };
  int64_t id = 0;
  MailKind kind = MailKind::notify;
  State state = State::waiting;
  std::string from;
  std::vector<std::string> recipients;
  std::string content;  // name of its content, for Store::content()
  uint64_t size = 0;
  uint64_t cause_mid = 0;
  uint64_t mid = 0;
  std::string host;
  std::string flow;
  std::string quarantine;  // of a release or forward: where it was
  uint32_t attempts = 0;
  int64_t created = 0;
  int64_t next = 0;  // when it is tried next
  std::string last_error;
};

class Database;

class Store {
 public:
  // Open says where the store is and who uses it.
  struct Open {
    std::string where;       // "sqlite:/path" or "postgresql:conninfo"
    std::string owner;       // name of this gateway among those that share the store
    bool create = true;      // false: a store that is not there is not_found
    size_t connections = 1;  // to PostgreSQL; as many calls run at a time
    // Who has the keys by which contents are encrypted, and by which of them new ones are; empty: new ones are stored
    // as they are. After a failure nobody is asked for key_retry.
    std::shared_ptr<ContentKeys> keys{};
    std::string key{};
    std::chrono::nanoseconds key_retry = std::chrono::seconds(2);
  };
  // where_fault says what is wrong with a `where`; "" when nothing is.
  static std::string where_fault(std::string_view where);
  static base::Result<std::unique_ptr<Store>> open(const Open& how);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  // keep makes a batch durable. Call it last, when every edit has been taken and only the answer is left.
  base::Result<Kept> keep(const Batch& batch, const Policies& policies, int64_t now);
  // confirm says that the MTA has the answer for what keep() returned. It only remembers: the store learns it with the
  // next keep(), or by settle(), which is for a thread beside mail and for the end of the process.
  void confirm(int64_t kept);
  base::Result<void> settle(int64_t now);
  // queue puts one mail into the outbox that no message waits for.
  base::Result<void> queue(const Mail& mail, uint64_t cause_mid, int64_t now);

  // claim_due takes mail that is due, oldest first; it is this gateway's for kLease seconds, and then anybody's.
  base::Result<std::vector<Outgoing>> claim_due(int64_t now, size_t most);
  // forget_claims gives back what this gateway claimed in an earlier life; for its start.
  base::Result<void> forget_claims();
  // sent removes a mail that the MTA has taken, with its content if nothing else needs it.
  base::Result<void> sent(int64_t id);
  // retry gives a mail back, to be tried at `when`.
  base::Result<void> retry(int64_t id, int64_t when, std::string_view error);
  // narrow leaves a mail to those of its recipients that have not got it yet; it stays this gateway's for kLease more.
  base::Result<void> narrow(int64_t id, const std::vector<std::string>& recipients, int64_t now);
  // renew makes a mail, failed or waiting, due at `now`.
  base::Result<void> renew(int64_t id, int64_t now);
  // failed keeps a mail that will not be tried again by itself.
  base::Result<void> failed(int64_t id, std::string_view error);
  // outbox lists mail by id, from `after` on, at most `most`.
  base::Result<std::vector<Outgoing>> outbox(int64_t after, size_t most);
  base::Result<OutboxSummary> outbox_summary();
  // remove takes a mail out of the outbox for good.
  base::Result<void> remove(int64_t id);

  // list returns messages in quarantine, lowest id first.
  base::Result<std::vector<Listed>> list(const Search& search);
  base::Result<Listed> show(int64_t id);
  // release lets a message go from one quarantine, or from all where it is empty. From the last one it goes into the
  // outbox, in the same transaction: true then.
  base::Result<bool> release(int64_t id, std::string_view quarantine, std::string_view by, int64_t now);
  // erase deletes a message from all its quarantines; it is not delivered.
  base::Result<void> erase(int64_t id, std::string_view by, int64_t now);
  // forward sends a copy of a held message to `recipients`; it stays where it is.
  base::Result<void> forward(int64_t id, std::string_view from, const std::vector<std::string>& recipients,
                             int64_t now);
  // hold_back keeps a message from ending by itself, or, with false, no longer does.
  base::Result<void> hold_back(int64_t id, bool on);
  base::Result<std::vector<Usage>> usage();

  // expire ends what was kept longer than its quarantine's retention, at most kMaxExpire at a time; call again while it
  // returns that many. A quarantine that is not in `policies` keeps what it has.
  base::Result<std::vector<Ended>> expire(const Policies& policies, int64_t now);
  static constexpr size_t kMaxExpire = 100;
  // tidy removes what is of no use any more: records of messages that ended kRecordDays ago, of batches that cannot
  // come again, contents that a failure left over. For once a day, and at start.
  base::Result<void> tidy(int64_t now);
  static constexpr int64_t kRecordDays = 30;

  // content reads a content whole. What is encrypted needs its key, once in the life of the store: unavailable, denied
  // or misconfigured as ContentKeys says; internal where it is not what was stored.
  base::Result<std::string> content(const std::string& name);
  // check_content tells whether an encrypted content can be read; what is stored as it is it does not look at.
  base::Result<void> check_content(const std::string& name);
  // check_key sees to it that the key for new contents is in memory while it is good, and not when it is not: keep()
  // and queue() fail then. For once a minute.
  base::Result<void> check_key();

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern::store

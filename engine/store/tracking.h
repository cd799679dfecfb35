// SPDX-License-Identifier: Apache-2.0
// Tracking: what became of each message, as lines of the log by message, and what it can be found by. With SQLite it is
// a database of its own, tracking.db beside the store, so that no mail waits for it; with PostgreSQL its tables are in
// the store's database, and every gateway's messages in them. Beside mail: what a crash or a power cut takes is the
// last seconds.
//
// Texts are made valid UTF-8 on one line and cut at kMaxShown bytes (columns.h), in what is written and in what is
// looked for. One object is used by one thread at a time. A failure is Cause::unavailable; nothing of that call is
// there then, or, with a commit whose end is not known, all of it.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/store/store.h"

namespace postern::store {

// TrackedLine is one line of the log.
struct TrackedLine {
  int64_t id = 0;  // as found: grows with every line that is written
  int64_t time = 0;
  uint8_t level = 0;
  std::string event;   // identifier
  std::string filter;  // the filter it is about, "": none
  std::string text;
};

// TrackedMessage is one message, or what is new of it; empty fields say nothing new.
struct TrackedMessage {
  int64_t id = 0;       // as found
  std::string gateway;  // as found; written: this gateway's
  uint64_t mid = 0;
  bool elsewhere = false;  // written: a line about a message that may be another gateway's
  uint64_t icid = 0;
  int64_t started = 0;
  std::string queue_id;
  std::string client;
  std::string client_name;
  std::string helo;
  std::string auth;
  std::string flow;
  std::optional<std::string> from;  // envelope sender, "" is the null sender
  std::string author;               // address in From
  std::string header_from;
  std::string subject;
  std::string message_id;
  uint64_t size = 0;
  std::string verdict;  // accept, reject, tempfail, discard, quarantine, aborted
  std::string reply;
  std::vector<std::string> recipients;  // of the envelope, also refused ones; as found: in the order of their bytes
  std::vector<TrackedLine> lines;
};

// TrackSearch narrows; what is empty does not. An address with something on both sides of its @ is meant whole; other
// texts match anywhere. The rest is exact.
struct TrackSearch {
  std::string from{};  // envelope sender, or From
  std::string to{};    // an envelope recipient
  std::string subject{};
  std::string message_id{};
  std::optional<uint64_t> mid{};
  std::string queue_id{};
  std::string filter{};  // one that matched, would have, or could not tell
  std::string verdict{};
  std::optional<int64_t> since{};  // begun at or after, Unix time
  std::optional<int64_t> until{};
  bool fold = false;                    // ASCII letters without case, in the first four
  std::optional<int64_t> line_after{};  // with a line of a higher id than this
  size_t most = 100;                    // the newest
};

// is_whole_address tells how from and to are read.
bool is_whole_address(std::string_view text);
// as_tracked is `text` as it stands in the database, for who compares by himself.
std::string as_tracked(std::string_view text);

class Database;

class Tracking {
 public:
  // open takes the same as Store::open. `writer` tells programs apart that write for one gateway: each has a last batch
  // of its own.
  static base::Result<std::unique_ptr<Tracking>> open(const Store::Open& how, std::string_view writer = {});
  Tracking(const Tracking&) = delete;
  Tracking& operator=(const Tracking&) = delete;
  ~Tracking();

  // write adds to what is known of `messages`, and makes those that are not known yet. `batch` is a name for this call
  // that is like no other; the same once more, after a failure, does nothing where it was written after all.
  base::Result<void> write(const std::vector<TrackedMessage>& messages, const std::string& batch);

  // find returns the newest messages, in the order in which they came, with all their lines.
  base::Result<std::vector<TrackedMessage>> find(const TrackSearch& search);
  // last_line is the highest id of a line; 0: there is none.
  base::Result<int64_t> last_line();

  // forget removes messages begun before `before`, at most `most`, with all their lines; returns how many.
  base::Result<size_t> forget(int64_t before, size_t most);

 private:
  Tracking(std::unique_ptr<Database> database, std::string gateway, std::string_view writer);
  base::Result<int64_t> place(const TrackedMessage& message);
  base::Result<void> add(const TrackedMessage& message);

  std::unique_ptr<Database> database_;
  std::string gateway_;
  std::string writer_;
};

}  // namespace postern::store

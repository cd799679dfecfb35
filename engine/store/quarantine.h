// SPDX-License-Identifier: Apache-2.0
// What quarantines hold, as an administrator asks for it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/store/batch.h"

namespace postern::store {

// Held is one hold of an entry, present or past.
struct Held {
  std::string quarantine;
  std::string filter;
  std::string reason;
  std::string state;  // "held", "released", "deleted"
  int64_t ended = 0;  // when it was let go, 0: it is not
  std::string ended_by;
};

// Listed is one message in quarantine.
struct Listed {
  int64_t id = 0;
  Copy copy = Copy::final_;
  std::string state;  // "held", "released", "deleted"
  uint64_t mid = 0;
  std::string queue_id;
  std::string flow;
  std::string client;
  std::string from;
  std::vector<std::string> recipients;
  std::string header_from;
  std::string subject;
  std::string message_id;
  std::string content;  // for Store::content(); gone with the last hold, and the outbox
  uint64_t size = 0;
  int64_t created = 0;
  int64_t ended = 0;
  std::string ended_by;
  bool on_hold = false;  // no retention time ends it
  std::vector<Held> holds;
};

// Search narrows a list; what is not set does not. Texts match anywhere, ASCII letters without case.
struct Search {
  std::optional<std::string> quarantine;  // exactly
  std::optional<std::string> filter;      // exactly
  std::optional<std::string> from;        // envelope sender or From
  std::optional<std::string> to;          // an envelope recipient
  std::optional<std::string> subject;
  std::optional<std::string> message_id;
  std::optional<uint64_t> mid;
  std::optional<int64_t> kept_before;  // Unix time
  std::optional<int64_t> kept_after;
  bool ended = false;  // also what is held no more
  int64_t after = 0;   // ids above this one only
  size_t most = 1000;
};

// Usage is what one quarantine holds now.
struct Usage {
  std::string quarantine;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  int64_t oldest = 0;  // Unix time, 0: it holds nothing
};

// Ended is one message that its retention time, or a full quarantine, ended.
struct Ended {
  int64_t id = 0;
  uint64_t mid = 0;
  std::string quarantine;
  bool released = false;  // from this quarantine; else deleted
  std::string queue_id{};
};

}  // namespace postern::store

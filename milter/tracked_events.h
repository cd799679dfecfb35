// SPDX-License-Identifier: Apache-2.0
// TrackedEvents: what log lines say about messages, put together by message: for the tracking store, from the log as it
// is written, and for `postern findevent --log`, from the log as it is read. One object, one thread.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/store/tracking.h"
#include "milter/events.h"

namespace postern::milter {

class TrackedEvents {
 public:
  // `whole` false: of the lines only the names of filters are kept.
  explicit TrackedEvents(bool whole = true) : whole_(whole) {}

  // is_tracked tells whether lines of this row of the event table are about messages.
  static bool is_tracked(size_t event);

  // add takes one line: a row of the event table, its values, and the line itself. Returns the places, in messages(),
  // of the messages it is about; valid until the next call.
  const std::vector<size_t>& add(size_t event, std::span<const base::LogValue> values, std::string_view queue_id,
                                 int64_t time, std::string_view text);

  // add_other takes a line of another kind, by the MIDs it names.
  const std::vector<size_t>& add_other(std::span<const uint64_t> mids, base::Level level, int64_t time,
                                       std::string_view text);

  const std::vector<store::TrackedMessage>& messages() const { return messages_; }
  // forget_lines drops the lines of one message, take returns all messages and begins anew.
  void forget_lines(size_t place) { messages_[place].lines.clear(); }
  std::vector<store::TrackedMessage> take();

 private:
  size_t place(uint64_t mid, int64_t time, bool elsewhere);
  void describe(store::TrackedMessage& message, Event event, std::span<const base::LogValue> values, int64_t time);

  void keep(store::TrackedMessage& message, store::TrackedLine line);

  bool whole_;
  std::vector<store::TrackedMessage> messages_;
  std::unordered_map<uint64_t, size_t> by_mid_;
  std::vector<size_t> about_;
};

}  // namespace postern::milter

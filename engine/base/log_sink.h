// SPDX-License-Identifier: Apache-2.0
// Log sinks: where finished lines go. Used by the log's writer thread only, which hands over whole batches; a sink may
// block that thread and nobody else.
#pragma once
#include <sys/uio.h>

#include <chrono>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/log.h"

namespace postern::base {

// LogRecord is one line, with its values as journal fields ("POSTERN_NAME=value") where the sink takes them.
struct LogRecord {
  std::chrono::system_clock::time_point time;
  Level level = Level::info;
  std::string_view line;
  std::vector<std::string_view> fields;
};

class LogSink {
 public:
  virtual ~LogSink() = default;
  // write takes a batch in order and returns how many lines of it were lost.
  virtual size_t write(std::span<const LogRecord> batch) = 0;
  // takes_fields tells whether records should carry their values as fields.
  virtual bool takes_fields() const { return false; }
};

// has_journal tells whether journald listens on this machine.
bool has_journal();

// make_sink opens the sink that `to` names (see LogTarget); standard error stands in for a journal that is not there.
Result<std::unique_ptr<LogSink>> make_sink(const std::string& to, const LogRotation& rotation = {});

// JournalSend is sd_journal_sendv or what a test puts in its place.
using JournalSend = int (*)(const struct iovec* fields, int count);
std::unique_ptr<LogSink> make_journal_sink(JournalSend send);

// level_word is the word in front of a line in files and on standard error: "Info", "Warning" ….
std::string_view level_word(Level level);

}  // namespace postern::base

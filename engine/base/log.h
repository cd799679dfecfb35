// SPDX-License-Identifier: Apache-2.0
// Log: one event per line, to the journal, syslog, a file or standard error. Each kind of event is a LogId in a table;
// its shape names the values it carries, and the same names become journal fields. Values come from outside and are
// escaped here, so that no line can be forged. emit() is thread-safe and never blocks a mail thread on a full sink:
// what cannot be written is counted.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace postern::base {

enum class Level { error, warning, info, debug };

// level_name returns "error", "warning", "info" or "debug".
std::string_view level_name(Level level);

// LogId describes one kind of event: a stable identifier (documented in posternd(8)), its level, and the line's shape,
// in which each {name} is replaced by the value of that name. A table of them stands beside the code that emits them.
struct LogId {
  std::string_view id;
  Level level;
  std::string_view shape;
};

// LogValue is one named value of an event; the views need to live only as long as the call.
struct LogValue {
  std::string_view name;
  std::string_view value;
};

// LogRotation says when a log file is moved aside, to PATH.1, and those before it to PATH.2 and so on; files beyond
// `keep` are removed. A file grows over `size` by nothing but one line that is longer; a period of `seconds` begins by
// local time, so that one of 86400 is a day. 0: not for that. `told` hears, on the log's own thread, of a file that was
// removed, and, once for each time this begins, why a file could not be moved.
struct LogRotation {
  uint64_t size = 0;
  uint64_t seconds = 0;
  uint32_t keep = 10;
  void (*told)(bool removed, std::string_view what) = nullptr;
  bool operator==(const LogRotation&) const = default;
};

// LogTarget says where lines go: "journal" (standard error where there is no journald), "syslog", "stderr" or
// "file:PATH" (opened for append, not through a symbolic link, mode 0640).
struct LogTarget {
  std::string to = "stderr";
  Level level = Level::info;
  LogRotation rotation{};  // of a file
};

// open_log sets the process's log target; safe to call again. On error the old target stays. From the first call on,
// lines are written by a thread of their own a few milliseconds after emit(), so that no sink can hold up the caller;
// lines still waiting when the process ends by exit() are written then, for at most a second.
Result<void> open_log(const LogTarget& target);
// reopen_log opens the present target again, after rotation: the one that open_log() set last, whoever did.
Result<void> reopen_log();

// emit writes one line: shape with its values, then " queue-id=Q" when `queue_id` is known, then " [id]". Values are
// escaped and cut to 512 bytes (4,096 for errors). Costs a comparison where the level is off and nobody observes.
void emit(const LogId& id, std::initializer_list<LogValue> values, std::string_view queue_id = {});

// observe_log has `observer` called for every emit(), also of levels that are off, on the thread that logs;
// unobserve_log ends that. It must be quick and must not log. At most kMaxObservers; one too many is not called.
using LogObserver = void (*)(const LogId& id, std::span<const LogValue> values, std::string_view queue_id);
inline constexpr size_t kMaxObservers = 2;
void observe_log(LogObserver observer);
void unobserve_log(LogObserver observer);
// log_text is the line of an event, escaped, without queue id and identifier.
std::string log_text(const LogId& id, std::span<const LogValue> values);

// flush_log waits until every line emitted so far is written, but not longer than `milliseconds`; false when it was not
// long enough. A process that ends by _exit() calls it before.
bool flush_log(uint32_t milliseconds);

// log_lines_lost returns how many lines could not be written since start. When a sink takes lines again it first gets
// one that says how many are missing.
uint64_t log_lines_lost();

// log_events is the table of lines that this module writes by itself.
std::span<const LogId> log_events();

}  // namespace postern::base

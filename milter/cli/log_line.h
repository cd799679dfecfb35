// SPDX-License-Identifier: Apache-2.0
// LogLine: one line of posternd's log as read from a file: which event it is, and its values. Lines of syslog, of other
// versions and of the reference product are taken for what can be told of them: the MIDs they name.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/log.h"

namespace postern::cli {

// The views of a LogLine point into the line it was read from.
struct LogLine {
  std::optional<size_t> event;         // its row in milter::events()
  std::vector<base::LogValue> values;  // of an event
  std::vector<uint64_t> mids;          // of another line
  std::string_view queue_id;
  base::Level level = base::Level::info;
  int64_t time = 0;  // Unix time; 0: not told
};

// read_log_line never fails: a line about nothing has neither event nor MIDs.
LogLine read_log_line(std::string_view line);

// match_shape undoes what emit() makes of a shape: the values in `text`, as far as it has that shape; `whole` tells
// whether all of it has.
std::vector<base::LogValue> match_shape(std::string_view shape, std::string_view text, bool& whole);

// mids_in returns the numbers that stand behind "MID " outside of quotes and brackets, whatever follows them.
std::vector<uint64_t> mids_in(std::string_view text);

}  // namespace postern::cli

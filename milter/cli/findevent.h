// SPDX-License-Identifier: Apache-2.0
// What `postern findevent` does the same whether it looks in the store or in log files.
#pragma once
#include <set>
#include <string>
#include <string_view>

#include "engine/store/tracking.h"
#include "milter/cli/commands.h"

namespace postern::cli {

// fits tells whether a message is one of those looked for; what the store finds by SQL.
bool fits(const store::TrackedMessage& message, const store::TrackSearch& search);

// Printer writes messages to standard output: lines as the log has them, or JSON. Lines of a log file are whole; those
// of the store get date, level and identifier.
class Printer {
 public:
  Printer(bool json, bool follow, bool whole_lines) : json_(json), follow_(follow), whole_lines_(whole_lines) {}
  // message prints one message; false: nobody reads it any more.
  bool message(const store::TrackedMessage& message);
  // end closes the output and returns the exit status.
  int end();
  bool found() const { return found_ > 0; }

 private:
  const bool json_;
  const bool follow_;
  const bool whole_lines_;
  size_t found_ = 0;
};

// wait_for_more sleeps for a moment; false: SIGINT or SIGTERM came, which hold_signals keeps back for it.
void hold_signals();
bool wait_for_more(int milliseconds);

// find_in_logs looks in files.
int find_in_logs(const FindEventOptions& options, const store::TrackSearch& search);

}  // namespace postern::cli

// SPDX-License-Identifier: Apache-2.0
// Alert table: which log lines an administrator should hear of at once, what tells two cases of the same apart, and
// which line says that it is over.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "milter/events.h"

namespace postern::milter {

struct AlertRow {
  Event raised;
  std::string_view key;          // name of the value by which cases differ; empty: all are one
  std::optional<Event> cleared;  // with the same key, where that line has it; none: it is over when it stays away
  std::string_view what;         // the class in the subject
  bool on_request = false;       // only for who names it in `events`
};

std::span<const AlertRow> alert_table();

}  // namespace postern::milter

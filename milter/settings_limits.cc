// SPDX-License-Identifier: Apache-2.0
// Limits, and where two of them do not go together.
#include "milter/settings_limits.h"

#include "engine/base/text.h"

namespace postern::milter {
namespace {

// A message with attachments takes twice its size of memory where rules read them.
void check_memory(config::OptionReader& read, const config::Node& map, const base::Limits& limits) {
  const config::Node* given = map.get("memory") != nullptr ? map.get("memory") : map.get("message-size");
  if (given == nullptr || limits.memory / 2 >= limits.message_size) return;
  read.warning(*given,
               "a message of " + base::format_size(limits.message_size) +
                   " with attachments needs twice its size of 'memory' where rules read them: it would be deferred for "
                   "ever",
               "at least " + base::format_size(2 * limits.message_size) + " of 'memory', or less of 'message-size'");
}

}  // namespace

void read_limits(config::OptionReader& read, const config::Node& root, Settings& settings) {
  if (const config::Node* map = read.map(root, "limits")) {
    base::Limits& to = settings.limits;
    settings.message_size_given = map->get("message-size") != nullptr;
    read.size(*map, "limits.message-size", to.message_size);
    read.size(*map, "limits.memory", to.memory);
    check_memory(read, *map, to);
    read.size(*map, "limits.spool-memory", to.spool_memory);
    read.size(*map, "limits.header-size", to.header_size);
    read.integer(*map, "limits.header-count", to.header_count);
    read.integer(*map, "limits.recipients", to.recipients);
    read.integer(*map, "limits.mime-depth", to.mime_depth);
    read.integer(*map, "limits.mime-parts", to.mime_parts);
    read.integer(*map, "limits.addresses", to.addresses);
    read.size(*map, "limits.decoded-text", to.decoded_text);
  }
  if (const config::Node* map = read.map(root, "regex")) {
    read.integer(*map, "regex.match-limit", settings.regex.match);
    read.integer(*map, "regex.depth-limit", settings.regex.depth);
    read.integer(*map, "regex.milliseconds", settings.regex.milliseconds);
    uint64_t heap = uint64_t{settings.regex.heap_kib} << 10;
    read.size(*map, "regex.heap-limit", heap);
    settings.regex.heap_kib = static_cast<uint32_t>(heap >> 10);
  }
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// Names of types and verdicts, as postern.yaml and rules write them.
#include "engine/inspect/answer.h"

#include "engine/base/text.h"

namespace postern::inspect {

std::string_view type_name(Type type) {
  constexpr std::string_view kNames[] = {"clamd", "icap", "rspamd", "spamd"};
  return kNames[static_cast<size_t>(type)];
}

bool looks_for_viruses(Type type) { return type == Type::clamd || type == Type::icap; }

std::string_view virus_verdict_name(VirusVerdict verdict) {
  constexpr std::string_view kNames[] = {"clean", "encrypted", "unscannable", "infected"};
  return kNames[static_cast<size_t>(verdict)];
}

base::Result<Answer> of_what_was_sent(base::Result<Answer> answer, bool whole) {
  if (answer && !whole && answer->virus == VirusVerdict::clean) {
    answer->virus = VirusVerdict::unscannable;
    answer->name = "answered before it had the whole message";
  }
  return answer;
}

std::string shortened(std::string_view text, size_t most) { return base::escape_for_log(base::trim(text), most); }

}  // namespace postern::inspect

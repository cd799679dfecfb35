// SPDX-License-Identifier: Apache-2.0
// What an external engine is asked and what it says: the message as spans, and a verdict or a score. What an engine
// sends is read by bounded decoders that take nothing for an answer but a whole one of the form its protocol has.
#pragma once
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace postern::inspect {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

// Type is the protocol of an engine.
enum class Type : uint8_t { clamd, icap, rspamd, spamd };
std::string_view type_name(Type type);
// looks_for_viruses tells whether engines of this type have verdicts; the others have scores.
bool looks_for_viruses(Type type);

// VirusVerdict, in order of gravity: of several engines the gravest counts. `encrypted`: a part could not be looked
// into for want of a password; `unscannable`: the engine could not look at all of it for another reason.
enum class VirusVerdict : uint8_t { clean, encrypted, unscannable, infected };
std::string_view virus_verdict_name(VirusVerdict verdict);

// Answer is what one engine said of one message: `virus` and `name` of anti-virus engines, the rest of the others.
struct Answer {
  VirusVerdict virus = VirusVerdict::clean;
  std::string name;      // of what was found, or why it is unscannable
  int64_t score = 0;     // thousandths
  int64_t required = 0;  // score from which the engine itself calls it spam, thousandths
  std::string symbols;   // of the tests that hit, separated by commas
};

// kMostName bounds Answer::name and kMostSymbols Answer::symbols, in bytes.
inline constexpr size_t kMostName = 200;
inline constexpr size_t kMostSymbols = 2000;

// Subject is the message to look at, and how it came. `pieces` together are the whole message with CRLF line ends; they
// are sent as they are.
struct Subject {
  std::vector<std::string_view> pieces;
  uint64_t size = 0;  // of all pieces
  std::string client_ip;
  std::string client_name;
  std::string helo;
  std::string from;
  std::vector<std::string> recipients;
  std::string user;  // who logged in
  std::string queue_id;
  std::string hostname;  // ours
  int64_t time = 0;      // seconds since 1970
};

// of_what_was_sent is `answer`, but "clean" of a server that had not taken the whole message is "unscannable".
base::Result<Answer> of_what_was_sent(base::Result<Answer> answer, bool whole);

// shortened cuts `text`, which came from an engine, to `most` bytes and makes it one line of visible characters.
std::string shortened(std::string_view text, size_t most);

}  // namespace postern::inspect

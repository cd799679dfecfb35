// SPDX-License-Identifier: Apache-2.0
// Scanner: who is asked what is in a leaf of a message. engine/scan/client/pool answers by worker processes; a test may
// answer itself.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/scan/client/verdict.h"

namespace postern::scan {

// ScanLimits are the bounds of one scan, those of everything found in it together unless said otherwise. What is past
// one is unscannable by its Reason, what was found before stays.
struct ScanLimits {
  uint32_t depth = 5;                     // things in things; at most 50
  uint64_t size = 50ull << 20;            // bytes of one thing, decoded
  uint64_t total = 250ull << 20;          // bytes that come out of all containers together
  uint32_t members = 10000;               // things
  uint32_t ratio = 250;                   // bytes out by bytes in, from 10 MiB on; see engine/scan/worker/budget.cc
  uint64_t text = 16ull << 20;            // bytes of text
  std::chrono::milliseconds time{20000};  // CPU and wall time of the scan
};

// Job is one scan. Views must stay good during the call.
struct Job {
  std::string_view bytes;          // decoded
  std::string_view name;           // file name, may be empty
  std::string_view declared_mime;  // lower case, may be empty
  std::string_view charset;        // of the carrier's header, for text; may be empty
  ScanLimits limits;
  bool want_text = true;      // without it no text is made, and what only text costs is not done
  bool want_metadata = true;  // text of document properties, comments and revision marks too
  TypeSet skip;               // a leaf all of whose types are in it is typed, and not read
  bool is_message = false;    // bytes are a whole message (RFC 5322), whatever they look like
};

// ScanSettings is what a configuration says about every scan.
struct ScanSettings {
  ScanLimits limits;
  TypeSet skip;
  bool metadata = true;
};

class Scanner {
 public:
  virtual ~Scanner() = default;

  // scan answers one job, by the job's time limit at the latest, and never fails: what could not be told is a leaf with
  // a reason. Any thread; threads do not wait for each other's slow jobs.
  virtual Verdict scan(const Job& job) = 0;
};

}  // namespace postern::scan

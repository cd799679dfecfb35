// SPDX-License-Identifier: Apache-2.0
// Audit: the hash-chained record of every key use and officer action. A record is written before what it records
// happens; when it cannot be written, that must not happen. Records are lines of JSON with a sequence number, time and
// the SHA-256 of the record before; files are segments of a fixed size whose room, with a reserve for zeroising and
// officer actions, is taken from the disk when a segment begins. Officer actions are synced before append returns; key
// uses by a thread of its own at most one second later. Only one process may have the log open. Thread-safe.
//
// When something is wrong, key use is refused and what the officer does is recorded as long as it can be: no room for
// another segment (officer actions and zeroising go on in the reserve), a failed sync (final for that segment: what it
// holds may not be on disk, so nothing but zeroising is recorded before a new one could be begun). Such an episode has
// one alert and, when key use goes on, one record {"action":"resumed","reason":…,"refused":…}.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/error.h"

namespace postern::keystore {

struct AuditOptions {
  std::string directory;           // made when missing, 0700
  uint64_t segment = 16ull << 20;  // bytes of one file
  uint64_t reserve = 64ull << 10;  // of each, kept for officer actions and zeroising
  uint32_t keep = 0;  // segments kept; 0: all (a full disk then refuses key use); else the oldest is removed
};
// kLeastReserve and kLeastSegment bound AuditOptions from below: `segment` must also be four times `reserve`.
inline constexpr uint64_t kLeastReserve = 32ull << 10;
inline constexpr uint64_t kLeastSegment = 128ull << 10;

// Weight says what a record is about: `use` is refused first when room runs out; `officer` may use the reserve, and is
// synced; `zeroise` may use the reserve's last half too, and never fails the zeroising.
enum class Weight : uint8_t { use, officer, zeroise };

// AuditValue is one named value of a record.
using AuditValue = std::pair<std::string_view, std::string_view>;
using AuditValues = std::span<const AuditValue>;

class Audit {
 public:
  // open reads the last segment, checks its chain and goes on from it; what a power cut tore off at its end is replaced
  // by a record {"action":"torn","bytes":…,"sha256":…}. Cause::malformed where whole records do not follow each other:
  // somebody changed them.
  static base::Result<std::unique_ptr<Audit>> open(const AuditOptions& options);
  virtual ~Audit() = default;

  // append writes one record: `action` ("sign", "login", …) with its values. Values come from outside and are escaped.
  // Cause::unavailable when it cannot be written; the text says why. An officer action whose record was written but
  // could not be synced has this cause too.
  virtual base::Result<void> append(Weight weight, std::string_view action, AuditValues values) = 0;
  base::Result<void> append(Weight weight, std::string_view action, std::initializer_list<AuditValue> values) {
    return append(weight, action, AuditValues(values.begin(), values.size()));
  }

  // read returns whole lines from sequence number `from`, at most `most` bytes, and the number to go on with (`from`
  // where there is nothing more). Where `from` left the ring it begins with the oldest record. Waits for no writer.
  virtual base::Result<std::string> read(uint64_t from, size_t most, uint64_t& next) = 0;

  struct Head {
    uint64_t sequence = 0;  // of the last record
    uint64_t first = 0;     // of the oldest record still there
    std::string hash;       // hex, of the last record
    bool full = false;      // the last `use` was refused
  };
  virtual Head head() const = 0;

  // on_alert is called once per episode: old records left the ring ("records 1 to 8120 were removed"; at most once an
  // hour, then with all that went since), key use is refused, no room can be taken in advance. Set it before the first
  // append; it is called from appending threads and from the one that syncs, with no lock held.
  std::function<void(std::string_view text)> on_alert;
};

// verify_audit checks the lines of `text` (whole records, in order) after a record with hash `before` (hex; empty: the
// first line is taken as the beginning). Returns the hash of the last, or malformed naming the first record that is not
// as it was written. Pure: fipsconfig uses it on what it read itself.
base::Result<std::string> verify_audit(std::string_view text, std::string_view before, uint64_t& records);

}  // namespace postern::keystore

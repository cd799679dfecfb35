// SPDX-License-Identifier: Apache-2.0
// Protocol: what the process that asks and a scan worker say to each other. Bytes of things and encoded verdicts go
// through an arena, memory that both have; messages, each one datagram of a SOCK_SEQPACKET socket, say what is in it.
// The worker may be in the hands of whoever wrote the attachment: its answers are copied out of the arena first, and
// the decoders trust nothing. Pure functions; both ends are of one build, numbers are the machine's.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/scan/client/scanner.h"

namespace postern::scan {

inline constexpr uint16_t kScanProtocol = 1;
// vocabulary is a hash of the names of all types, reasons and protections. They are numbers in what is sent, so the two
// programs compare it before the first job: one of another version, as after half an upgrade, is refused rather than
// misunderstood.
uint64_t vocabulary();

// Kind of a message. From the one that asks: `job` (a JobHeader follows; the first piece is in the arena), `piece` (the
// next one is), `fetch` (the worker may overwrite the arena with its next piece). From the worker: `hello` (ready for a
// job; the program's first has its vocabulary() as the job's number, a copy's number of process is the total), `more`
// (the arena may be overwritten), `verdict` (the first piece is in the arena), `verdict_piece`.
enum class Kind : uint16_t { hello = 1, job, piece, more, verdict, verdict_piece, fetch, count_ };

// Message is the fixed part of every message. `total` is the size of the whole thing or verdict, `piece` of what is in
// the arena now.
struct Message {
  Kind kind = Kind::hello;
  uint64_t job = 0;  // number of the job, echoed
  uint64_t total = 0;
  uint64_t piece = 0;
};
inline constexpr size_t kMessageSize = 32;
inline constexpr size_t kMaxMessage = 8192;
std::string encode_message(const Message& message, std::string_view rest = {});
// decode_message reads the fixed part; nullopt unless it is one of our version with a known kind.
std::optional<Message> decode_message(std::string_view frame);

// A job's header is all of a Job but its bytes. Names too long are cut when encoded. The views of a decoded job point
// into `bytes`.
std::string encode_job(const Job& job);
base::Result<Job> decode_job(std::string_view bytes);

// kMaxVerdictHead bounds an encoded verdict without its texts. encode_verdict leaves out leaves that do not fit, and
// says so by the first leaf's reason (`members`). It gives the frame in pieces of any size to `sink`, after `begin` was
// told the size of all; false of one of them ends it.
inline constexpr uint64_t kMaxVerdictHead = 32ull << 20;
bool encode_verdict(Verdict& verdict, const std::function<bool(uint64_t)>& begin,
                    const std::function<bool(std::string_view)>& sink);
// decode_verdict reads a frame with at most `most_text` bytes of text. What it returns keeps every promise of
// verdict.h; text, names and MIME types that are no UTF-8 or hold control characters are made good.
base::Result<Verdict> decode_verdict(std::string_view frame, uint64_t most_text);

// ArenaHead begins the arena, the pieces come one page later. `memory_failed` is the worker's note that an allocation
// failed since it was last cleared: the cause of its death, as it says.
struct ArenaHead {
  std::atomic<uint32_t> memory_failed{0};
};
inline constexpr size_t kArenaHead = 4096;

}  // namespace postern::scan

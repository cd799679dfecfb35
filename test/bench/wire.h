// SPDX-License-Identifier: Apache-2.0
// The milter protocol as the MTA sees it: constants, packet building, the parsing of frames, and the rules a filter's
// answers have to keep. Version 6, as Postfix and Sendmail 8.14 and later speak it: every packet is a 32-bit length in
// network order, one command byte and its data; the length counts the command byte. No I/O here, no threads.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::bench {

// Commands of the MTA.
enum class Command : char {
  abort = 'A',
  body = 'B',
  connect = 'C',
  macros = 'D',
  end_of_body = 'E',
  helo = 'H',
  quit_new_connection = 'K',
  header = 'L',
  mail = 'M',
  end_of_header = 'N',
  negotiate = 'O',
  quit = 'Q',
  rcpt = 'R',
  data = 'T',
};

// Actions (SMFIF_*) a filter asks leave for.
inline constexpr uint32_t kAddHeaders = 0x001, kChangeBody = 0x002, kAddRecipient = 0x004, kDeleteRecipient = 0x008,
                          kChangeHeaders = 0x010, kQuarantine = 0x020, kChangeFrom = 0x040,
                          kAddRecipientArguments = 0x080, kSetSymbols = 0x100;

// Steps (SMFIP_*): kNo… is not sent at all, kSilent… gets no answer.
inline constexpr uint32_t kNoConnect = 0x1, kNoHelo = 0x2, kNoMail = 0x4, kNoRcpt = 0x8, kNoBody = 0x10,
                          kNoHeaders = 0x20, kNoEndOfHeader = 0x40, kSilentHeader = 0x80, kNoUnknown = 0x100,
                          kNoData = 0x200, kSkip = 0x400, kRejectedRcpt = 0x800, kSilentConnect = 0x1000,
                          kSilentHelo = 0x2000, kSilentMail = 0x4000, kSilentRcpt = 0x8000, kSilentData = 0x10000,
                          kSilentUnknown = 0x20000, kSilentEndOfHeader = 0x40000, kSilentBody = 0x80000,
                          kLeadingSpace = 0x100000;

inline constexpr uint32_t kAllActions = 0x1FF;
inline constexpr uint32_t kAllSteps = 0x1FFFFF;
inline constexpr uint32_t kVersion = 6;
inline constexpr size_t kMaxData = 65535;  // of one packet, without the command byte

// Stages of a macro list; the numbers are those of the protocol.
inline constexpr int kStages = 7;
enum class Stage : int { connect = 0, helo = 1, mail = 2, rcpt = 3, data = 4, end_of_message = 5, end_of_header = 6 };

// Negotiated is what filter and MTA agreed on.
struct Negotiated {
  uint32_t version = kVersion;
  uint32_t actions = 0;
  uint32_t steps = 0;
  std::map<int, std::vector<std::string>> symbols;  // macro lists by stage, where the filter gave one

  bool has(uint32_t step_bits) const { return (steps & step_bits) != 0; }
};

void put_u32(std::string& out, uint32_t value);
uint32_t get_u32(std::string_view bytes);
// append_packet writes length, command and data.
void append_packet(std::string& out, Command command, std::string_view data);
// append_text writes a NUL-terminated string.
void append_text(std::string& out, std::string_view text);

// Frame is one answer of the filter: its letter and data, views into the buffer it was read from.
struct Frame {
  char letter = 0;
  std::string_view data;
};

// next_frame takes one frame from the front of `bytes`. nullopt: more bytes are needed, or `violation` was set.
std::optional<Frame> next_frame(std::string_view& bytes, std::string& violation);

// parse_negotiation reads the filter's answer to what was offered; a violation says what the filter asked beyond it.
std::optional<Negotiated> parse_negotiation(const Frame& frame, uint32_t offered_actions, uint32_t offered_steps,
                                            std::string& violation);

// Answer is one checked frame: either final for the step, or a change to the message (end of message only).
struct Answer {
  enum class Kind : uint8_t { proceed, accept, reject, tempfail, discard, skip, progress, change } kind;
  char letter = 0;
  std::string header;  // name of an added, inserted or changed header field
};

// AnswerCheck holds the answers of one message to the protocol: what may come at which step, which changes were agreed
// upon, and how each has to look. One object per message.
class AnswerCheck {
 public:
  explicit AnswerCheck(const Negotiated& negotiated) : negotiated_(&negotiated) {}
  // check returns the answer, or nullopt with `violation` set. `asked` is the command that waits for an answer.
  std::optional<Answer> check(const Frame& frame, Command asked, std::string& violation);

 private:
  const Negotiated* negotiated_;
  bool body_begun_ = false;
  bool body_ended_ = false;
};

}  // namespace postern::bench

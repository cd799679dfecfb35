// SPDX-License-Identifier: Apache-2.0
// The z form of commands: what is sent and answered ends with a zero byte, so that no name can hold a line end.
#include "engine/inspect/clamd.h"

#include <array>
#include <deque>

#include "engine/base/text.h"

namespace postern::inspect {
namespace {

using base::Cause;
using base::fail;

constexpr std::string_view kInstream("zINSTREAM\0", 10);
constexpr std::string_view kPing("zPING\0", 6);
constexpr std::string_view kStream = "stream: ";
constexpr size_t kMostReply = 4096;
constexpr size_t kChunk = 1u << 20;

std::array<char, 4> big_endian(uint32_t size) {
  return {static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
          static_cast<char>(size)};
}

bool cut_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.remove_suffix(end.size());
  return true;
}

base::Error no_answer(std::string_view reply) {
  return {Cause::malformed, "no answer of clamd: '" + shortened(reply, kMostName) + "'"};
}

}  // namespace

base::Result<Answer> read_clamd_reply(std::string_view reply) {
  const std::string_view whole = reply;
  Answer answer;
  if (reply == "stream: OK") return answer;
  if (cut_end(reply, " FOUND")) {
    if (!reply.starts_with(kStream)) return std::unexpected(no_answer(whole));
    reply.remove_prefix(kStream.size());
    if (base::trim(reply).empty()) return std::unexpected(no_answer(whole));
    answer.name = shortened(reply, kMostName);
    answer.virus = VirusVerdict::infected;
    // With AlertEncrypted and AlertExceedsMax clamd says by such names that it did not see everything.
    if (reply.starts_with("Heuristics.Encrypted.")) answer.virus = VirusVerdict::encrypted;
    if (reply.starts_with("Heuristics.Limits.Exceeded")) answer.virus = VirusVerdict::unscannable;
    return answer;
  }
  if (cut_end(reply, " ERROR")) {
    if (reply.starts_with("INSTREAM size limit exceeded")) {
      answer.virus = VirusVerdict::unscannable;
      answer.name = "larger than clamd's StreamMaxLength";
      return answer;
    }
    return fail(Cause::unavailable, "clamd: " + shortened(reply, kMostName));
  }
  return std::unexpected(no_answer(whole));
}

base::Result<Answer> ask_clamd(Stream& stream, const Subject& subject) {
  std::vector<std::string_view> pieces{kInstream};
  std::deque<std::array<char, 4>> sizes;
  const auto size = [&](size_t bytes) {
    const std::array<char, 4>& written = sizes.emplace_back(big_endian(static_cast<uint32_t>(bytes)));
    pieces.emplace_back(written.data(), written.size());
  };
  for (std::string_view piece : subject.pieces) {
    for (; !piece.empty(); piece.remove_prefix(pieces.back().size())) {
      const std::string_view chunk = piece.substr(0, kChunk);
      size(chunk.size());
      pieces.push_back(chunk);
    }
  }
  size(0);
  const auto sent = stream.send(pieces);
  if (!sent) return std::unexpected(sent.error());
  auto reply = stream.read_until('\0', kMostReply);
  if (!reply) return std::unexpected(std::move(reply.error()));
  return of_what_was_sent(read_clamd_reply(*reply), *sent);
}

base::Result<void> ping_clamd(Stream& stream) {
  if (auto sent = stream.send({&kPing, 1}); !sent) return std::unexpected(std::move(sent.error()));
  auto reply = stream.read_until('\0', kMostReply);
  if (!reply) return std::unexpected(std::move(reply.error()));
  if (*reply != "PONG") return std::unexpected(no_answer(*reply));
  return {};
}

}  // namespace postern::inspect

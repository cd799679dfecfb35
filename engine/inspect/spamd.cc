// SPDX-License-Identifier: Apache-2.0
// An answer is "SPAMD/1.1 0 EX_OK", header lines among which "Spam: True ; 6.1 / 5.0", an empty line, and the names of
// the tests that hit.
#include "engine/inspect/spamd.h"

#include <charconv>

#include "engine/base/decimal.h"
#include "engine/base/text.h"

namespace postern::inspect {
namespace {

using base::Cause;
using base::fail;

constexpr size_t kMostReply = 256u << 10;
constexpr std::string_view kEmptyLine = "\r\n\r\n";
constexpr size_t kMostShown = 255;  // of a value in the Received field

std::unexpected<base::Error> no_answer(std::string_view why) {
  return fail(Cause::malformed, "no answer of spamd: " + std::string(why));
}

// header_value is what stands behind `name` among the lines of `head`; nullopt where it does not stand there.
std::optional<std::string_view> header_value(std::string_view head, std::string_view name) {
  for (std::string_view line : base::split(head, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !base::iequals(base::trim(line.substr(0, colon)), name)) continue;
    return base::trim(line.substr(colon + 1));
  }
  return std::nullopt;
}

std::optional<size_t> content_length(std::string_view head) {
  const auto text = header_value(head, "Content-length");
  size_t length = 0;
  if (!text || text->empty()) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), length);
  if (error != std::errc() || end != text->data() + text->size() || length > kMostReply) return std::nullopt;
  return length;
}

// status_line reads "SPAMD/1.1 0 EX_OK": the code, and what stands behind it.
std::optional<std::pair<int, std::string_view>> status_line(std::string_view reply) {
  const std::string_view line = base::trim(reply.substr(0, reply.find('\n')));
  if (!line.starts_with("SPAMD/")) return std::nullopt;
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  const std::string_view rest = base::trim(line.substr(blank));
  int code = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), code);
  if (error != std::errc() || (end != rest.data() + rest.size() && *end != ' ')) return std::nullopt;
  return std::pair(code, base::trim(rest.substr(static_cast<size_t>(end - rest.data()))));
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : base::one_line(text)) {
    const bool plain = static_cast<unsigned char>(c) > 0x20 && c != '(' && c != ')' && c != '\\' && c != ';';
    if (out.size() < kMostShown) out += plain ? c : '_';
  }
  return out;
}

}  // namespace

std::optional<size_t> spamd_reply_size(std::string_view reply) {
  const size_t end = reply.find(kEmptyLine);
  if (end == std::string_view::npos) return std::nullopt;
  const auto length = content_length(reply.substr(0, end));
  if (!length) return std::nullopt;
  return end + kEmptyLine.size() + *length;
}

base::Result<Answer> read_spamd_reply(std::string_view reply) {
  const auto status = status_line(reply);
  if (!status) return no_answer("'" + shortened(reply.substr(0, reply.find('\n')), kMostName) + "'");
  if (status->first != 0) {
    return fail(Cause::unavailable,
                "spamd: " + std::to_string(status->first) + " " + shortened(status->second, kMostName));
  }
  const size_t end = reply.find(kEmptyLine);
  if (end == std::string_view::npos) return no_answer("it is cut off");
  const std::string_view head = reply.substr(0, end);
  std::string_view body = reply.substr(end + kEmptyLine.size());
  if (header_value(head, "Content-length")) {
    const auto length = content_length(head);
    if (!length || *length > body.size()) return no_answer("it is cut off");
    body = body.substr(0, *length);
  }
  const auto spam = header_value(head, "Spam");
  if (!spam) return no_answer("it has no score");
  const size_t semicolon = spam->find(';');
  const size_t slash = semicolon == std::string_view::npos ? semicolon : spam->find('/', semicolon);
  if (slash == std::string_view::npos) return no_answer("it has no score");
  const auto score = base::read_thousandths(base::trim(spam->substr(semicolon + 1, slash - semicolon - 1)));
  const auto required = base::read_thousandths(base::trim(spam->substr(slash + 1)));
  if (!score || !required) return no_answer("its score is no number");
  Answer answer;
  answer.score = *score;
  answer.required = *required;
  answer.symbols = shortened(body, kMostSymbols);
  return answer;
}

base::Result<Answer> ask_spamd(Stream& stream, const Subject& subject) {
  // spamd sees no SMTP session: what it knows of the client it reads out of the topmost Received field, which the MTA
  // adds only after us.
  std::string trace;
  if (!subject.client_ip.empty()) {
    trace = "Received: from " + shown(subject.helo.empty() ? subject.client_name : subject.helo) + " (" +
            shown(subject.client_name) + " [" + shown(subject.client_ip) + "])\r\n\tby " + shown(subject.hostname) +
            (subject.user.empty() ? " with ESMTP" : " with ESMTPA") + " id " +
            (subject.queue_id.empty() ? "unknown" : shown(subject.queue_id)) + ";\r\n\t" +
            base::mail_date(subject.time, false) + "\r\n";
  }
  trace += "X-Envelope-From: <" + shown(subject.from) + ">\r\n";
  const std::string head =
      "SYMBOLS SPAMC/1.5\r\nContent-length: " + std::to_string(trace.size() + subject.size) + "\r\n\r\n";
  std::vector<std::string_view> pieces{head, trace};
  pieces.insert(pieces.end(), subject.pieces.begin(), subject.pieces.end());
  const auto sent = stream.send(pieces);
  if (!sent) return std::unexpected(sent.error());
  std::string reply;
  for (bool more = true; more;) {
    auto read = stream.read(reply);
    if (!read) return std::unexpected(std::move(read.error()));
    if (reply.size() > kMostReply) return no_answer("it is too long");
    const auto size = spamd_reply_size(reply);
    more = *read && (!size || reply.size() < *size);
  }
  // A score of a part says nothing of the whole.
  auto answer = read_spamd_reply(reply);
  if (answer && !*sent) return no_answer("it came before the whole message was sent");
  return answer;
}

base::Result<void> ping_spamd(Stream& stream) {
  constexpr std::string_view kPing = "PING SPAMC/1.2\r\n\r\n";
  if (auto sent = stream.send({&kPing, 1}); !sent) return std::unexpected(std::move(sent.error()));
  auto reply = stream.read_until('\n', kMostName);
  if (!reply) return std::unexpected(std::move(reply.error()));
  const auto status = status_line(*reply);
  if (!status || status->first != 0 || status->second != "PONG") {
    return no_answer("'" + shortened(*reply, kMostName) + "'");
  }
  return {};
}

}  // namespace postern::inspect

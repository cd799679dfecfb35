// SPDX-License-Identifier: Apache-2.0
// SMTP replies that libmilter takes: code and enhanced code of the verdict's class, one line, percent signs doubled.
#include "milter/reply.h"

#include "engine/base/text.h"

namespace postern::milter {
namespace {

// enhanced_fits tells whether `text` is an enhanced status code ("5.7.1") of class `digit`: 1.1-3.1-3 digits.
bool enhanced_fits(std::string_view text, char digit) {
  const auto parts = base::split(text, '.');
  if (parts.size() != 3 || parts[0] != std::string_view(&digit, 1)) return false;
  for (size_t i = 1; i < 3; ++i) {
    if (parts[i].empty() || parts[i].size() > 3) return false;
    for (const char c : parts[i]) {
      if (c < '0' || c > '9') return false;
    }
  }
  return true;
}

}  // namespace

SmtpReply make_reply(const Decision& decision) {
  const bool permanent = decision.verdict == Verdict::reject;
  if (!permanent && decision.verdict != Verdict::tempfail) return {};
  const rules::Reply& from = decision.reply;
  if (from.code == 0 && from.text.empty()) return {};
  SmtpReply reply;
  const int low = permanent ? 500 : 400;
  reply.code = std::to_string(from.code >= low && from.code < low + 100 ? from.code : (permanent ? 550 : 451));
  const char digit = permanent ? '5' : '4';
  reply.enhanced = enhanced_fits(from.enhanced, digit) ? from.enhanced : std::string(1, digit) + ".7.1";
  for (const char c : base::one_line(std::string_view(from.text).substr(0, kReplyText))) {
    const auto byte = static_cast<unsigned char>(c);
    reply.text += byte < 0x20 || byte >= 0x7f ? '?' : c;
    if (c == '%') reply.text += '%';
  }
  if (reply.text.empty()) reply.text = permanent ? "Refused" : "Try again later";
  return reply;
}

std::string reply_line(const Decision& decision) {
  if (decision.reply.code == 0) return {};
  std::string line = std::to_string(decision.reply.code);
  if (!decision.reply.enhanced.empty()) line += " " + decision.reply.enhanced;
  if (!decision.reply.text.empty()) line += " " + decision.reply.text;
  return line;
}

}  // namespace postern::milter

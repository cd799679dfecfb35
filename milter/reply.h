// SPDX-License-Identifier: Apache-2.0
// Reply: an SMTP answer made fit for the milter protocol. RFC 5321 section 4.2 and RFC 3463: the class of the code, of
// the enhanced code and of the milter verb must be the same; '%' is doubled because the MTA formats the text; one line,
// ASCII, bounded.
#pragma once
#include <string>

#include "milter/pipeline.h"

namespace postern::milter {

// kReplyText is the longest text of an answer, in bytes before '%' is doubled; libmilter takes 980.
inline constexpr size_t kReplyText = 400;

// SmtpReply is what set_reply gets. An empty code means: let the MTA use its own words for the verb.
struct SmtpReply {
  std::string code;
  std::string enhanced;
  std::string text;
};

// make_reply turns a decision's reply into what the protocol takes; a code or enhanced code that does not match the
// verdict's class is replaced by the class's default.
SmtpReply make_reply(const Decision& decision);

// reply_line writes "550 5.7.1 text" for logs and traces; empty when the decision has no reply.
std::string reply_line(const Decision& decision);

}  // namespace postern::milter

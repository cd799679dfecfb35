// SPDX-License-Identifier: Apache-2.0
// Mail text: the messages that filters make: notices of our own, with or without the message attached, and copies of
// the message as it is at that point. Whatever comes from the message stands in them as text or as an attachment; it
// never becomes a header field or a delimiter. RFC 2046, RFC 3834.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "rules/facts.h"

namespace postern::rules {

// Notice is a message of our own. `from` is an encoded From value; the others are UTF-8.
struct Notice {
  std::string from;
  std::vector<std::string> recipients;
  std::string subject;
  std::string text;
  bool attach = false;  // the message itself, or its header where it is too large
};

// notice_message writes the whole of it, CRLF lines.
std::string notice_message(const Notice& notice, Facts& facts);

// copy_message writes the message as edited so far, without what is meant for the MTA only. `subject`, UTF-8, replaces
// the Subject field where it is not nullptr.
std::string copy_message(Facts& facts, const std::string* subject);

}  // namespace postern::rules

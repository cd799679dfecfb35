// SPDX-License-Identifier: Apache-2.0
// OwnMail: one mail of our own on its way to the listener, with its mark.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/submit/mark.h"
#include "engine/submit/smtp.h"

namespace postern::submit {

// OwnMail is what is submitted. The view must outlive the call; CRLF lines. The mark's time is made for each attempt.
struct OwnMail {
  Mark mark;
  std::string from;  // "" is the null sender
  std::vector<std::string> recipients;
  std::string_view content;
};

// submit_own sends `mail` to all its recipients at once and, where the server refuses one of them, to each by itself,
// with a mark for him alone. Returns a result for each, in order; `reached` as in SmtpClient::send, of the first
// attempt. When the server goes away between recipients, those that are left are `later`. `taken`, where given, hears
// of each recipient that was served by himself, at once: after a crash he must not be served again.
std::vector<SmtpResult> submit_own(SmtpClient& client, const MarkKey& key, const OwnMail& mail,
                                   const std::atomic<bool>& stop, bool& reached,
                                   const std::function<void(size_t recipient)>& taken = {});

}  // namespace postern::submit

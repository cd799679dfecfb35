// SPDX-License-Identifier: Apache-2.0
// Any bytes for an ICAP response: whatever the pieces in which it comes, the same verdict, body and status.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/inspect/icap.h"

namespace {

std::string read(std::string_view text, size_t step) {
  using namespace postern;
  std::string body;
  inspect::IcapReply reply([&](std::string_view piece) { body += piece; }, 4096);
  for (size_t at = 0; at < text.size() && !reply.done(); at += step) {
    // What had come of the body before an error was found depends on the pieces.
    if (auto fed = reply.feed(text.substr(at, step)); !fed) return fed.error().text();
  }
  if (body.size() > 4096) std::abort();
  if (!reply.done()) return "unfinished " + body;
  const auto answer = inspect::icap_verdict(reply, true);
  return body + "\n" + std::to_string(reply.status()) + "\n" + std::to_string(reply.http_status()) + "\n" +
         (answer ? std::string(inspect::virus_verdict_name(answer->virus)) + answer->name : answer.error().text());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (size > 16'384) return 0;
  if (read(text, size + 1) != read(text, 1) || read(text, 13) != read(text, 64)) std::abort();
  return 0;
}

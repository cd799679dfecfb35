// SPDX-License-Identifier: Apache-2.0
// Any bytes for an answer of clamd: an answer or an error, each short and fit for one line of a log.
#include "engine/inspect/clamd.h"

#include <cstdint>
#include <cstdlib>

#include "engine/base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto answer = inspect::read_clamd_reply(text);
  const auto require = [](bool good) {
    if (!good) std::abort();
  };
  if (answer) {
    for (const std::string& shown : {answer->name, answer->symbols}) {
      require(shown.size() <= inspect::kMostSymbols + 3);
      require(shown.find_first_of("\r\n") == std::string::npos && base::is_valid_utf8(shown));
    }
  } else {
    require(answer.error().text().size() < 1000);
    require(answer.error().text().find_first_of("\r\n") == std::string::npos);
  }
  return 0;
}

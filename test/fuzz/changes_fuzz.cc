// SPDX-License-Identifier: Apache-2.0
// diff() on messages and edits made from the input: applied by either MTA, its script must give the edited message.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "test/support/changes_case.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (const std::string wrong = postern::test::check_changes(std::span(data, size)); !wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}

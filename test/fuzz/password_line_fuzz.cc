// SPDX-License-Identifier: Apache-2.0
// Any bytes as the line that holds the officer's password hash (only its reading: hashing takes a fifth of a second).
// What is taken is printable, bounded, and no longer taken when a byte is added.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "keystore/officer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::keystore;
  const std::string line(reinterpret_cast<const char*>(data), size);
  if (!is_password_line(line)) return 0;
  if (line.size() > 256) std::abort();
  for (const char c : line) {
    if (c <= 0x20 || c >= 0x7f) std::abort();
  }
  for (const char* more : {"$", "=", "A", "\n"}) {
    if (is_password_line(line + more) || is_password_line(more + line)) std::abort();
  }
  return 0;
}

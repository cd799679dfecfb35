// SPDX-License-Identifier: Apache-2.0
// Detection of types, the first two bytes choosing name and declared type: an answer, each type once, and a name.
#include <array>

#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::array<std::string_view, 8> kNames = {"",      "a",     "a.js",  "a.vcf",
                                                      "a.csv", "a.exe", "a.txt", "a.\u202exe"};
  constexpr std::array<std::string_view, 4> kDeclared = {"", "text/plain", "text/vcard", "application/octet-stream"};
  prepare_once();
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const TypeGuess guess = guess_types(bytes, kNames[data[0] % kNames.size()], kDeclared[data[1] % kDeclared.size()]);
  if (guess.types.empty() || guess.mime.empty()) std::abort();
  for (const FileType type : guess.types) {
    if (std::ranges::count(guess.types, type) != 1 || info(type).name.empty()) std::abort();
  }
  // A name is any bytes, too.
  guess_types({}, bytes, {});
  return 0;
}

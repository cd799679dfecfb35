// SPDX-License-Identifier: Apache-2.0
// Plain text in the charset that the first byte chooses, labelled by the carrier; the last is an unknown one. What must
// hold stands in scan_reader.h.
#include "engine/mime/charset.h"
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::vector<std::string_view> names = postern::mime::charset_names();
  const size_t choice = data[0] % (names.size() + 1);
  return read_as(data + 1, size - 1, {FileType::txt}, choice < names.size() ? names[choice] : "x-none-such");
}

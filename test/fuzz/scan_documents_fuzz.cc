// SPDX-License-Identifier: Apache-2.0
// OneNote, WordPerfect and Access. What must hold stands in scan_reader.h.
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return read_as(data, size, {FileType::one, FileType::wordperfect, FileType::mdb});
}

// SPDX-License-Identifier: Apache-2.0
// Help files, and what compress.exe packed, by libmspack. What must hold stands in scan_reader.h.
#include "test/fuzz/scan_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return postern::scan::worker::scan_bytes(data, size, "a.chm", "application/octet-stream");
}

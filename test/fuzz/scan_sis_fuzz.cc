// SPDX-License-Identifier: Apache-2.0
// Installation files of Symbian. What must hold stands in scan_reader.h.
#include "test/fuzz/scan_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return postern::scan::worker::scan_bytes(data, size, "a.sis", "application/octet-stream");
}

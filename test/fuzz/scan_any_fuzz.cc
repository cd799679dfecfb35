// SPDX-License-Identifier: Apache-2.0
// Any bytes as what they look like, and all that is found in them. What must hold stands in scan_reader.h.
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return scan_bytes(data, size, {}, {}); }

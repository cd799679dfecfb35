// SPDX-License-Identifier: Apache-2.0
// Data in text: data URIs, base64 put together from pieces, arrays of numbers, percent signs. What must hold stands in
// scan_reader.h.
#include "engine/scan/worker/embedded_data.h"
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  prepare_once();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Alone context(text);
  find_embedded(context, text, true);
  give_data_uri(context, text, "name");
  return 0;
}

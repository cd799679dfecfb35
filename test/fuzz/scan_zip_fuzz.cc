// SPDX-License-Identifier: Apache-2.0
// ZIP files, and the packages of OOXML and OpenDocument among them. What must hold stands in scan_reader.h.
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  prepare_once();
  std::vector<FileType> types = guess_types({reinterpret_cast<const char*>(data), size}, {}, {}).types;
  types.push_back(FileType::zip);
  return read_as(data, size, std::move(types));
}

// SPDX-License-Identifier: Apache-2.0
// libarchive: tar, 7-Zip, cabinet, cpio, ar, xar, RPM and LHA, each asked whatever the bytes look like. What must hold
// stands in scan_reader.h.
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return read_as(data, size,
                 {FileType::tar, FileType::type_7z, FileType::cab, FileType::cpio, FileType::ar, FileType::xar,
                  FileType::rpm, FileType::lha});
}

// SPDX-License-Identifier: Apache-2.0
// Compound files: Word, Excel, PowerPoint, Outlook, their macros and objects. What must hold stands in scan_reader.h.
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return read_as(data, size,
                 {FileType::doc, FileType::xls, FileType::ppt, FileType::msg, FileType::hwp, FileType::visio});
}

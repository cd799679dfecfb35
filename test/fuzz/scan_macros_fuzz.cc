// SPDX-License-Identifier: Apache-2.0
// VBA projects: the first byte tells how streams are packed, the next two how long the "dir" stream is, the rest is the
// stream of a module. What must hold stands in scan_reader.h.
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/office.h"
#include "engine/scan/worker/ole.h"
#include "test/fuzz/scan_reader.h"

using namespace postern::scan;
using namespace postern::scan::worker;

namespace {

// stored packs bytes without making them smaller, in chunks of up to 4096 (MS-OVBA 2.4.1).
std::string stored(std::string_view bytes) {
  std::string out = "\1";
  for (; !bytes.empty(); bytes.remove_prefix(std::min<size_t>(bytes.size(), 4096))) {
    const std::string_view chunk = bytes.substr(0, 4096);
    const size_t header = 0x3000 + chunk.size() - 1;
    out += {static_cast<char>(header & 0xff), static_cast<char>(header >> 8)};
    out += chunk;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  prepare_once();
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view dir = slice(input, 2, little16(input, 0));
  const std::string_view module = slice(input, 2ull + little16(input, 0));
  CompoundWriter writer;
  writer.stream(0, name16("dir"), (data[0] & 1) != 0 ? stored(dir) : std::string(dir));
  writer.stream(0, name16("M"), (data[0] & 2) != 0 ? stored(module) : std::string(module));
  const std::string bytes = writer.finish();
  Alone context(bytes);
  if (auto file = CompoundFile::open(bytes)) read_vba(context, *file, 0);
  return 0;
}

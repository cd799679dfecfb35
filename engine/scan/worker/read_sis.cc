// SPDX-License-Identifier: Apache-2.0
// Installation files of Symbian up to release 8 (SIS): a table of files, each with its place and whether it is packed
// (zlib). Release 9 has another format, which is known and not read. Layout: Symbian OS SDK, "SIS file format".
#include <algorithm>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/inflater.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kChunk = 64u << 10;
constexpr uint32_t kRelease6 = 0x10003a12;  // its second number; before, files are not packed
constexpr uint32_t kUnicode = 1;            // options
constexpr uint32_t kNotPacked = 8;

void inflate_file(std::string_view packed, uint64_t size, Unpack& unpack) {
  unpack.begin();
  Inflater inflater(packed, Inflater::Format::zlib);
  while (inflater.going()) {
    char* room = unpack.fill(kChunk);
    if (room == nullptr || !unpack.keep(inflater.next(room, kChunk))) break;
  }
  unpack.set_reason(inflater.reason());
  if (unpack.bytes().size() != size) unpack.set_reason(Reason::corrupt);
}

}  // namespace

void read_sis(Context& context) {
  const std::string_view bytes = context.bytes();
  if (little32(bytes, 8) != 0x10000419) return context.fail(Reason::unsupported);
  const bool release6 = little32(bytes, 4) == kRelease6;
  const uint32_t languages = little16(bytes, 18);
  const uint32_t options = little16(bytes, 36);
  const bool packed = release6 && (options & kNotPacked) == 0;
  Unpack unpack(context);
  uint64_t at = little32(bytes, 52);
  for (uint32_t left = little16(bytes, 20); left > 0; --left) {
    // Only records of files, one for all languages or one for each: conditions are not followed, so what stands behind
    // one would not be found.
    const uint32_t record = little32(bytes, at);
    if (at + 28 > bytes.size()) return context.fail(Reason::corrupt);
    if (record > 1) return context.fail(Reason::unsupported);
    const uint64_t forms = record == 0 ? 1 : std::max(languages, 1u);
    const std::string_view raw = slice(bytes, little32(bytes, at + 24), little32(bytes, at + 20));
    std::string name = (options & kUnicode) != 0 ? utf16(raw) : windows_1252(raw);
    name.erase(0, name.find_last_of("\\:") + 1);
    const uint64_t sizes = at + 28;
    const uint64_t places = sizes + 4 * forms;
    const uint64_t whole = places + 4 * forms;
    at = whole + (release6 ? 4 * forms + 8 : 0);
    if (at > bytes.size()) return context.fail(Reason::corrupt);
    for (uint64_t form = 0; form < forms; ++form) {
      const uint32_t size = little32(bytes, sizes + 4 * form);
      const std::string_view there = slice(bytes, little32(bytes, places + 4 * form), size);
      if (size == 0) continue;
      bool more = true;
      if (packed) {
        inflate_file(there, little32(bytes, whole + 4 * form), unpack);
        more = unpack.give(name);
      } else {
        more = unpack.give_view(there, name, there.size() < size ? Reason::corrupt : Reason::none);
      }
      if (!more) return;
    }
  }
}

}  // namespace postern::scan::worker

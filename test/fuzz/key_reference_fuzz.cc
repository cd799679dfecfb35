// SPDX-License-Identifier: Apache-2.0
// Key references from arbitrary bytes: what is read is named well, and written again it is the same bytes.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "keystore/protocol/protocol.h"
#include "keystore/provider/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto reference = keystore::read_reference(bytes);
  if (!reference) return 0;
  if (!keystore::is_object_name(reference->name)) std::abort();
  const std::string again = keystore::write_reference(reference->name, reference->spki);
  const auto same = keystore::read_reference(again);
  if (!same || same->name != reference->name || same->spki != reference->spki) std::abort();
  return 0;
}

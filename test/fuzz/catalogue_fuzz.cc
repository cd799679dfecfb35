// SPDX-License-Identifier: Apache-2.0
// Any bytes as the catalogue's text. What is taken keeps every bound, and is written as a text that gives the same
// catalogue and the same text again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "keystore/catalogue.h"
#include "keystore/protocol/protocol.h"

namespace {
void require(bool condition) {
  if (!condition) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::keystore;
  const auto catalogue = read_catalogue({reinterpret_cast<const char*>(data), size});
  if (!catalogue) return 0;
  require(catalogue->entries.size() <= kMaxEntries && catalogue->pending.size() <= kMaxPending);
  for (const auto& [name, entry] : catalogue->entries) {
    require(name == entry.name && is_object_name(name) && entry.chain.size() <= kMaxChain);
    require(entry.has_key ? !entry.ref.spki.empty() : entry.ref.spki.empty() && entry.escrow.empty());
  }
  const auto text = write_catalogue(*catalogue);
  require(text.has_value());
  const auto again = read_catalogue(*text);
  require(again.has_value() && again->generation == catalogue->generation);
  require(*write_catalogue(*again) == *text);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The reader of published DKIM records, and of the strings they arrive in: any bytes give a record or an error, and a
// record that was read never holds a key it does not show.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/auth/dkim_key.h"
#include "engine/auth/dns.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto record = postern::auth::parse_key_record(text);
  if (record) {
    if (record->key.size() > size) std::abort();
    postern::auth::holds_key(*record, record->key);
    postern::auth::holds_key(*record, text);
  }
  const auto strings = postern::auth::txt_strings(text);
  if (strings && strings->size() > size) std::abort();
  return 0;
}

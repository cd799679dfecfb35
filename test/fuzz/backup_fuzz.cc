// SPDX-License-Identifier: Apache-2.0
// Any bytes as a backup file and as what stands in one. An envelope that is taken is spelled in the one way it is
// written; a payload that is taken is written to one that is taken again and says the same.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string>

#include "keystore/backup_envelope.h"
#include "keystore/backup_payload.h"

namespace {

using namespace postern;

void require(bool condition, const std::source_location& where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "line %u: this does not hold\n", where.line());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto envelope = keystore::read_envelope(input)) {
    require(keystore::write_envelope(*envelope) == input);
    require(envelope->sealed.size() >= keystore::kEnvelopeTag);
  } else {
    require(!envelope.error().text().empty());
  }
  const auto content = keystore::read_payload(keystore::Secret(input));
  if (!content) return 0;
  const auto payload = keystore::write_payload(*content);
  require(payload.has_value());
  const auto again = keystore::read_payload(*payload);
  require(again.has_value());
  const auto same = keystore::write_payload(*again);
  require(same.has_value() && same->view() == payload->view());
  return 0;
}

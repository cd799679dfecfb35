// SPDX-License-Identifier: Apache-2.0
// Any bytes as an audit log, and any bytes as values of a record. A log that verifies does so in two parts as well, and
// every record of it can be read; a record made of whatever is one line that can be read and has the same action.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/base/text.h"
#include "keystore/audit.h"
#include "keystore/audit_record.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  using namespace postern::keystore;
  const std::string text(reinterpret_cast<const char*>(data), size);
  uint64_t records = 0;
  const auto whole = verify_audit(text, "", records);
  if (whole && records > 0) {
    require(records == static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')));
    for (const auto line : base::split(std::string_view(text).substr(0, text.size() - 1), '\n'))
      require(parse_record(line).has_value());
    const size_t half = text.find('\n', text.size() / 2);
    uint64_t first = 0;
    uint64_t second = 0;
    const auto before = verify_audit(std::string_view(text).substr(0, half + 1), "", first);
    require(before.has_value());
    const auto after = verify_audit(std::string_view(text).substr(half + 1), *before, second);
    require(after.has_value() && *after == *whole && first + second == records);
  }

  const std::string_view view = text;
  std::string values;
  const AuditValue two[] = {{view.substr(0, size / 3), view.substr(size / 3)}, {"b", view}};
  append_audit_values(values, two);
  std::string line;
  append_record(line, {7, 1'780'000'000'123, view.substr(0, 20), size % 2, kNoHash}, values);
  require(line.size() < record_room(view.substr(0, 20), values) && line.size() <= kMaxRecord);
  require(std::none_of(line.begin(), line.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; }));
  require(base::is_valid_utf8(line));
  const auto record = parse_record(line);
  require(record && record->sequence == 7 && record->segment == size % 2 && record->previous == kNoHash);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Checking the chain of audit records, and naming the one that was changed.
#include <fmt/format.h>

#include "keystore/audit.h"
#include "keystore/audit_record.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;

namespace {

std::string_view line_at(std::string_view text) { return text.substr(0, text.find('\n')); }

// blame tells which record is to be named when `line`, a well-formed one, does not hold the hash of the one before.
// When its own hash is what the following record holds, it is as it was written and the one before is not.
std::string blame(std::string_view line, std::string_view rest, const ChainReader& chain) {
  const auto record = parse_record(line);
  const auto after = parse_record(line_at(rest));
  const auto hash = RecordHash()(line);
  const bool intact = after && after->previous == std::string_view(hash.data(), hash.size());
  if (chain.count() == 0) return fmt::format("record {} does not follow the one before it", record->sequence);
  if (record->sequence != chain.sequence() + 1) {
    return fmt::format("record {} stands where record {} should be", record->sequence, chain.sequence() + 1);
  }
  if (intact) return fmt::format("record {} is not as it was written", chain.sequence());
  if (after) return fmt::format("record {} is not as it was written", record->sequence);
  return fmt::format("record {} or {} is not as it was written", chain.sequence(), record->sequence);
}

}  // namespace

Result<std::string> verify_audit(std::string_view text, std::string_view before, uint64_t& records) {
  ChainReader chain(before);
  records = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const uint64_t expected = chain.sequence() + 1;
    if (end == std::string_view::npos) {
      return fail(Cause::malformed, fmt::format("after {} records: the last line has no end", records));
    }
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (!chain.next(line)) {
      if (parse_record(line)) return fail(Cause::malformed, blame(line, text, chain));
      return fail(Cause::malformed, records == 0 ? std::string("the first line is no record")
                                                 : fmt::format("record {} is not as it was written", expected));
    }
    records = chain.count();
  }
  return chain.hash();
}

}  // namespace postern::keystore

// SPDX-License-Identifier: Apache-2.0
// What the tests of the audit log share: a small log, all of its text, and the check of its chain.
#pragma once
#include <string>

#include "engine/base/text.h"
#include "keystore/audit.h"
#include "test/unit/vault_support.h"

namespace postern::test {

// small_log has the smallest segments there are, in the folder "log" of `place`.
inline keystore::AuditOptions small_log(const TemporaryDirectory& place) {
  keystore::AuditOptions options;
  options.directory = place / "log";
  options.segment = keystore::kLeastSegment;
  options.reserve = keystore::kLeastReserve;
  return options;
}

// everything is the whole log, read in pages of `most` bytes.
inline std::string everything(keystore::Audit& log, size_t most = 48u << 10) {
  std::string out;
  uint64_t next = 0;
  for (uint64_t from = 1;; from = next) {
    const auto page = log.read(from, most, next);
    if (!page) {
      ADD_FAILURE() << page.error().text();
      return out;
    }
    if (page->empty()) return out;
    out += *page;
  }
}

// verify_all checks the chain of everything up to the head and returns how many records there are.
inline uint64_t verify_all(keystore::Audit& log) {
  uint64_t records = 0;
  const std::string text = everything(log);
  const auto hash = keystore::verify_audit(text, "", records);
  EXPECT_TRUE(succeeded(hash));
  const auto head = log.head();
  EXPECT_EQ(hash.value_or(""), head.hash);
  if (records != 0) {
    EXPECT_EQ(head.sequence - head.first + 1, records);
  }
  return records;
}

}  // namespace postern::test

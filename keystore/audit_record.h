// SPDX-License-Identifier: Apache-2.0
// AuditRecord: one line of the audit log, writer and strict reader beside each other.
//   {"seq":7,"time":"2026-01-02T03:04:05.678Z","action":"sign","segment":2,"key":"dkim-1",…,"prev":"64 hex digits"}
// seq, time and action come first, segment follows in the first record of a file only, prev is last and is the SHA-256
// of the line before without its line end. Every other value is a text. Pure, but for the digest context that
// RecordHash keeps: one thread at a time.
#pragma once
#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/handle.h"
#include "keystore/audit.h"

namespace postern::keystore {

// kMaxRecord bounds a line; what would be longer is cut where it was written.
inline constexpr size_t kMaxRecord = 8192;
inline constexpr size_t kHashText = 64;
// kNoHash is `prev` of the very first record.
inline constexpr std::string_view kNoHash = "0000000000000000000000000000000000000000000000000000000000000000";

// append_audit_values adds `,"name":"value"` for each value: made safe for terminals as in log lines, cut, and quoted.
void append_audit_values(std::string& out, AuditValues values);

// RecordHead is what a record has beside its values. `milliseconds` since 1970, UTC.
struct RecordHead {
  uint64_t sequence = 0;
  int64_t milliseconds = 0;
  std::string_view action;
  uint64_t segment = 0;  // 0: not the first of a file
  std::string_view previous;
};

// append_record writes one line without its end; `values` is what append_audit_values made.
void append_record(std::string& out, const RecordHead& head, std::string_view values);

// record_room is at least the length of the line that append_record would make, with its end.
size_t record_room(std::string_view action, std::string_view values);

// parse_record reads a line; nullopt when it is none that append_record writes. `milliseconds` is not filled in.
std::optional<RecordHead> parse_record(std::string_view line);

// RecordHash computes the SHA-256 of lines, as hexadecimal.
class RecordHash {
 public:
  RecordHash();
  std::array<char, kHashText> operator()(std::string_view line);

 private:
  base::Handle<EVP_MD_CTX, EVP_MD_CTX_free> context_;
};

// ChainReader goes through whole lines in order. next() takes one and tells whether it follows what came before.
class ChainReader {
 public:
  // With `before` empty the first line is taken as the beginning.
  explicit ChainReader(std::string_view before) : previous_(before) {}
  bool next(std::string_view line);

  uint64_t sequence() const { return sequence_; }  // of the last line taken; 0: none
  uint64_t first() const { return first_; }
  uint64_t count() const { return count_; }
  const std::string& hash() const { return previous_; }

 private:
  RecordHash hash_;
  std::string previous_;
  uint64_t first_ = 0;
  uint64_t sequence_ = 0;
  uint64_t count_ = 0;
};

}  // namespace postern::keystore

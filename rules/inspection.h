// SPDX-License-Identifier: Apache-2.0
// Inspection: the bytes of a message's leaves, and what content scanning found in them, each asked once and kept. One
// object per transaction, one thread. Internal to the evaluator.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/message.h"
#include "engine/mime/readings.h"
#include "engine/scan/client/scanner.h"

namespace postern::rules {

class Inspection {
 public:
  explicit Inspection(message::Message& message) : message_(message) {}

  // set gives who scans, and how; both must outlive the object. Without a scanner everything is
  // unscannable(unavailable). `text`: some rule looks at text.
  void set(scan::Scanner* scanner, const scan::ScanSettings* settings, bool text);

  // bytes returns the decoded bytes of leaf `part`, decoded once where limits.decoded_text has room for keeping them;
  // the view is good until the next call. `damaged`: not all of them may be right. Nothing, and damaged, where there is
  // no memory for them.
  std::string_view bytes(uint32_t part, bool& damaged);

  // of returns what is in leaf `part`. All scans of a message together take ScanLimits::time at most; where much of
  // that was spent in line for a worker, the message lacks one. They give limits.decoded_text of text at most.
  const scan::Verdict& of(uint32_t part);
  // of_bytes returns what is in something that is no part of the message: a uuencoded file in a text.
  scan::Verdict of_bytes(std::string_view bytes, std::string_view name, std::string_view declared_mime);

  // Reading is a leaf that only some mail readers see, and what is in it.
  struct Reading {
    const mime::OtherReading* leaf = nullptr;
    scan::Verdict verdict;
  };
  // readings decodes all leaves and returns what other mail readers see besides them; empty for a message that all read
  // alike. Not scanned where `scanned` is false: verdicts are empty then.
  const std::vector<Reading>& readings(bool scanned);
  // readings_complete tells whether those are all there are.
  bool readings_complete() {
    readings(false);
    return readings_known_->complete;
  }
  // decoding_defects are the defects that showed when leaves were decoded; after readings(), of all leaves.
  mime::Defects decoding_defects() const { return decoding_; }

  // verdicts returns those asked for so far, by part; nullptr for the others.
  const std::vector<std::unique_ptr<scan::Verdict>>& verdicts() const { return verdicts_; }

 private:
  scan::Verdict scan(const scan::Job& job);
  // scan_other_names adds what is found where one of a leaf's other names stands for another kind of file.
  void scan_other_names(scan::Job job, const std::vector<std::string>& names, scan::Verdict& verdict);
  // was_in_line tells whether so much time was spent waiting that what did not come to an end might have without.
  bool was_in_line() const { return waited_ > settings_->limits.time / 4; }

  message::Message& message_;
  scan::Scanner* scanner_ = nullptr;
  const scan::ScanSettings* settings_ = nullptr;
  bool text_ = false;
  std::chrono::milliseconds spent_{0};
  std::chrono::milliseconds waited_{0};  // of that, for workers
  uint64_t text_bytes_ = 0;              // in all verdicts
  std::vector<std::unique_ptr<scan::Verdict>> verdicts_;
  std::vector<std::unique_ptr<mime::Decoded>> decoded_;  // by part
  uint64_t decoded_bytes_ = 0;
  uint32_t last_part_ = UINT32_MAX;  // the part of last_, which is not in decoded_
  mime::Decoded last_;
  uint64_t last_taken_ = 0;    // memory that was asked for, for what comes and goes in last_
  std::vector<uint32_t> odd_;  // leaves that some reader may decode otherwise
  mime::Defects decoding_;
  std::optional<mime::OtherReadings> readings_known_;
  std::vector<Reading> readings_;
};

}  // namespace postern::rules

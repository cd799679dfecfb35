// SPDX-License-Identifier: Apache-2.0
// Leaves go to the scanner under the first of their names; what their other names would make of them is added here.
#include "rules/inspection.h"

#include <algorithm>

namespace postern::rules {

void Inspection::set(scan::Scanner* scanner, const scan::ScanSettings* settings, bool text) {
  scanner_ = scanner;
  settings_ = settings;
  text_ = text;
}

std::string_view Inspection::bytes(uint32_t part, bool& damaged) {
  const mime::Structure& tree = message_.structure();
  const mime::Part& leaf = tree.parts[part];
  if (decoded_.size() < tree.parts.size()) decoded_.resize(tree.parts.size());
  if (!decoded_[part] && last_part_ != part) {
    last_ = mime::decode_content(leaf, message_.received_body());
    last_part_ = part;
    if (decoded_bytes_ + last_.bytes.size() <= message_.limits().decoded_text) {
      decoded_bytes_ += last_.bytes.size();
      decoded_[part] = std::make_unique<mime::Decoded>(std::move(last_));
      last_part_ = UINT32_MAX;
    }
  }
  const mime::Decoded& decoded = decoded_[part] ? *decoded_[part] : last_;
  damaged = decoded.damaged || leaf.other_encoding || leaf.encoding == mime::TransferEncoding::unknown;
  return decoded.bytes;
}

const scan::Verdict& Inspection::of(uint32_t part) {
  const mime::Structure& tree = message_.structure();
  if (verdicts_.size() < tree.parts.size()) verdicts_.resize(tree.parts.size());
  std::unique_ptr<scan::Verdict>& verdict = verdicts_[part];
  if (verdict) return *verdict;
  const mime::Part& leaf = tree.parts[part];
  bool damaged = false;
  scan::Job job;
  job.bytes = bytes(part, damaged);
  if (!leaf.file_names.empty()) job.name = leaf.file_names.front();
  if (leaf.type_declared) job.declared_mime = leaf.type.value;
  job.charset = leaf.type.get("charset");
  verdict = std::make_unique<scan::Verdict>(scan(job));
  // Whoever shows another of the names opens the file by that one.
  scan::Leaf& first = verdict->leaves.front();
  for (size_t i = 1; i < leaf.file_names.size(); ++i) {
    const std::optional<scan::FileType> named = scan::type_of_extension(leaf.file_names[i]);
    if (named && info(*named).in(scan::Group::executable) && !first.is(*named)) first.types.push_back(*named);
  }
  if (damaged && first.scanned()) first.reason = scan::Reason::corrupt;
  return *verdict;
}

scan::Verdict Inspection::of_bytes(std::string_view bytes, std::string_view name, std::string_view declared_mime) {
  scan::Job job;
  job.bytes = bytes;
  job.name = name;
  job.declared_mime = declared_mime;
  return scan(job);
}

scan::Verdict Inspection::scan(const scan::Job& asked) {
  using std::chrono::milliseconds;
  if (scanner_ == nullptr) {
    return scan::unscannable(scan::Reason::unavailable, asked.name, asked.declared_mime, asked.bytes.size());
  }
  scan::Job job = asked;
  job.limits = settings_->limits;
  job.skip = settings_->skip;
  job.want_metadata = settings_->metadata;
  job.want_text = text_;
  job.limits.time -= std::min(spent_, job.limits.time);
  if (job.limits.time <= milliseconds(0)) {
    return scan::unscannable(scan::Reason::time, asked.name, asked.declared_mime, asked.bytes.size());
  }
  if (job.bytes.size() > job.limits.size) {
    return scan::unscannable(scan::Reason::size, asked.name, asked.declared_mime, asked.bytes.size());
  }
  const auto start = std::chrono::steady_clock::now();
  scan::Verdict verdict = scanner_->scan(job);
  spent_ += std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
  return verdict;
}

}  // namespace postern::rules

// SPDX-License-Identifier: Apache-2.0
// Leaves go to the scanner under the first of their names, and once more under each that stands for another kind of
// file; what their other names would make of them besides is added here.
#include "rules/inspection.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/base/text.h"

namespace postern::rules {
namespace {

// Whoever shows another of the names opens the file by that one.
void add_names(const std::vector<std::string>& names, scan::Leaf& leaf) {
  for (size_t i = 1; i < names.size() && leaf.types.size() < scan::kMaxTypes; ++i) {
    const std::optional<scan::FileType> named = scan::type_of_extension(names[i]);
    if (named && info(*named).in(scan::Group::executable) && !leaf.is(*named)) leaf.types.push_back(*named);
  }
}

// same tells whether nothing else was found under another name.
bool same(const scan::Verdict& one, const scan::Verdict& other) {
  return std::ranges::equal(one.leaves, other.leaves, [](const scan::Leaf& a, const scan::Leaf& b) {
    return a.types == b.types && a.marks == b.marks && a.protection == b.protection && a.reason == b.reason &&
           a.size == b.size && a.text == b.text;
  });
}

// kind is what a name's extension stands for, as who opens it takes it, without blanks and dots at its end: the name of
// a type, or the extension where it is nobody's; empty without one.
std::string kind(std::string_view name) {
  const size_t end = name.find_last_not_of(". \t");
  name = name.substr(0, end == std::string_view::npos ? 0 : end + 1);
  if (const std::optional<scan::FileType> type = scan::type_of_extension(name)) return std::string(info(*type).name);
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string() : base::lower(name.substr(dot + 1));
}

}  // namespace

void Inspection::scan_other_names(scan::Job job, const std::vector<std::string>& names, scan::Verdict& verdict) {
  constexpr size_t kMostKinds = 5;
  if (names.empty()) return;
  std::vector<std::string> had = {kind(names.front())};
  for (const std::string& name : names) {
    std::string other = kind(name);
    if (other.empty() || std::ranges::find(had, other) != had.end()) continue;
    scan::Leaf& first = verdict.leaves.front();
    if (had.size() >= kMostKinds || verdict.leaves.size() >= scan::kMaxLeaves) {
      if (scan::outweighs(scan::Reason::members, first.reason)) first.reason = scan::Reason::members;
      return;
    }
    had.push_back(std::move(other));
    job.name = name;
    scan::Verdict more = scan(job);
    if (same(verdict, more)) continue;
    const auto offset = static_cast<uint32_t>(verdict.leaves.size());
    for (scan::Leaf& leaf : more.leaves) leaf.parent += offset;
    more.leaves.front().parent = 0;
    verdict.leaves.insert(verdict.leaves.end(), std::make_move_iterator(more.leaves.begin()),
                          std::make_move_iterator(more.leaves.end()));
  }
}

void Inspection::set(scan::Scanner* scanner, const scan::ScanSettings* settings, bool text) {
  scanner_ = scanner;
  settings_ = settings;
  text_ = text;
}

std::string_view Inspection::bytes(uint32_t part, bool& damaged) {
  const mime::Structure& tree = message_.structure();
  const mime::Part& leaf = tree.parts[part];
  // As it stands: nothing to decode, to copy or to take memory for.
  if (leaf.encoding == mime::TransferEncoding::identity || leaf.encoding == mime::TransferEncoding::unknown) {
    damaged = leaf.other_encoding || leaf.encoding == mime::TransferEncoding::unknown;
    return leaf.content.of(message_.received_body());
  }
  if (decoded_.size() < tree.parts.size()) decoded_.resize(tree.parts.size());
  if (!decoded_[part] && last_part_ != part) {
    const uint64_t bound = mime::decoded_bound(leaf);
    if (!message_.take(bound - std::min(bound, last_taken_))) {
      last_ = {};
      last_part_ = UINT32_MAX;
      damaged = true;
      return {};
    }
    last_taken_ = std::max(bound, last_taken_);
    last_ = mime::decode_content(leaf, message_.received_body());
    last_part_ = part;
    if (last_.odd && std::ranges::find(odd_, part) == odd_.end()) odd_.push_back(part);
    if (mime::is_ambiguous_damage(leaf, last_)) decoding_.add(mime::Defect::damaged_encoding);
    if (decoded_bytes_ + last_.bytes.size() <= message_.limits().decoded_text) {
      decoded_bytes_ += last_.bytes.size();
      decoded_[part] = std::make_unique<mime::Decoded>(std::move(last_));
      last_part_ = UINT32_MAX;
      last_taken_ = 0;
    }
  }
  const mime::Decoded& decoded = decoded_[part] ? *decoded_[part] : last_;
  damaged = decoded.damaged || leaf.other_encoding;
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
  scan_other_names(job, leaf.file_names, *verdict);
  scan::Leaf& first = verdict->leaves.front();
  add_names(leaf.file_names, first);
  if (damaged && scan::outweighs(scan::Reason::corrupt, first.reason)) first.reason = scan::Reason::corrupt;
  return *verdict;
}

const std::vector<Inspection::Reading>& Inspection::readings(bool scanned) {
  const mime::Structure& tree = message_.structure();
  if (!readings_known_) {
    bool damaged = false;
    for (uint32_t part = 0; part < tree.parts.size(); ++part) {
      if (tree.parts[part].is_leaf()) bytes(part, damaged);
    }
    readings_known_ = message_.other_readings(odd_);
    for (const mime::OtherReading& leaf : readings_known_->list) readings_.push_back({&leaf, {}});
  }
  if (!scanned) return readings_;
  for (Reading& reading : readings_) {
    if (!reading.verdict.leaves.empty()) continue;
    scan::Job job;
    job.bytes = reading.leaf->bytes(message_.received_body());
    if (!reading.leaf->file_names.empty()) job.name = reading.leaf->file_names.front();
    job.declared_mime = reading.leaf->type;
    job.charset = reading.leaf->charset;
    reading.verdict = scan(job);
    scan_other_names(job, reading.leaf->file_names, reading.verdict);
    add_names(reading.leaf->file_names, reading.verdict.leaves.front());
  }
  return readings_;
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
  // For a message that is deferred in any case no worker's time is spent.
  if (!message_.lacking().empty()) {
    return scan::unscannable(scan::Reason::memory, asked.name, asked.declared_mime, asked.bytes.size());
  }
  scan::Job job = asked;
  job.limits = settings_->limits;
  job.skip = settings_->skip;
  job.want_metadata = settings_->metadata;
  job.want_text = text_;
  const uint64_t most_text = message_.limits().decoded_text;
  job.limits.text = std::min(job.limits.text, most_text - std::min(text_bytes_, most_text));
  job.limits.time -= std::min(spent_, job.limits.time);
  if (job.limits.time <= milliseconds(0)) {
    if (was_in_line()) message_.lack("scan.max-workers");
    return scan::unscannable(scan::Reason::time, asked.name, asked.declared_mime, asked.bytes.size());
  }
  if (job.bytes.size() > job.limits.size) {
    return scan::unscannable(scan::Reason::size, asked.name, asked.declared_mime, asked.bytes.size());
  }
  const auto start = std::chrono::steady_clock::now();
  scan::Verdict verdict = scanner_->scan(job);
  spent_ += std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
  waited_ += verdict.waited;
  const auto in_vain = [](const scan::Leaf& leaf) {
    return leaf.reason == scan::Reason::time || leaf.reason == scan::Reason::unavailable;
  };
  if (was_in_line() && std::ranges::any_of(verdict.leaves, in_vain)) message_.lack("scan.max-workers");
  uint64_t bytes = 0;
  for (const scan::Leaf& leaf : verdict.leaves) {
    text_bytes_ += leaf.text.size();
    bytes += sizeof leaf + leaf.path.size() + leaf.name.size() + leaf.text.size();
  }
  if (!message_.take(bytes)) {
    return scan::unscannable(scan::Reason::memory, asked.name, asked.declared_mime, asked.bytes.size());
  }
  return verdict;
}

}  // namespace postern::rules

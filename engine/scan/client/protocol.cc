// SPDX-License-Identifier: Apache-2.0
// Encoders and decoders of messages, job headers and verdicts. Each decoder must consume its input to the end.
#include "engine/scan/client/protocol.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace postern::scan {

using base::Cause;
using base::fail;
using base::Result;

namespace {

constexpr uint32_t kMessageMagic = 0x4d534e50;  // "PNSM"
constexpr uint32_t kVerdictMagic = 0x56534e50;  // "PNSV"
constexpr size_t kMaxCharset = 64;
constexpr size_t kSkipBytes = (static_cast<size_t>(FileType::count_) + 7) / 8;
constexpr uint32_t kMaxDepth = 50;
constexpr auto kMaxTime = std::chrono::hours(24);
// A leaf's numbers and lengths, without its strings: size, parent, marks, protection, reason, count of types, lengths
// of path, name, two MIME types and text.
constexpr size_t kLeafFixed = 8 + 4 + 2 + 1 + 1 + 1 + 4 * 2 + 4;
constexpr size_t kVerdictFixed = 4 + 2 + 4 + 8;

class Writer {
 public:
  template <class T>
  Writer& number(T value) {
    static_assert(std::is_integral_v<T>);
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof bytes);
    return *this;
  }
  // At most 65,535 bytes.
  Writer& text(std::string_view value) {
    number(static_cast<uint16_t>(value.size()));
    out_.append(value);
    return *this;
  }
  Writer& raw(std::string_view value) {
    out_.append(value);
    return *this;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// After the first fault every read gives zero values and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  T number() {
    T value{};
    const std::string_view bytes = take(sizeof value);
    if (ok_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string_view text(size_t most) {
    const auto size = number<uint16_t>();
    if (size > most) ok_ = false;
    return take(size);
  }
  std::string_view take(uint64_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  void require(bool condition) { ok_ = ok_ && condition; }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

uint64_t head_size(const Leaf& leaf) {
  return kLeafFixed + std::min(leaf.types.size(), kMaxTypes) + std::min(leaf.path.size(), kMaxPath) +
         std::min(leaf.name.size(), kMaxName) + std::min(leaf.declared_mime.size(), kMaxMime) +
         std::min(leaf.mime.size(), kMaxMime);
}

std::string encode_head(const Leaf& leaf, size_t index) {
  const size_t types = std::min(leaf.types.size(), kMaxTypes);
  Writer out;
  out.number(leaf.size)
      .number(index == 0 ? uint32_t{0} : leaf.parent)
      .number(leaf.marks)
      .number(static_cast<uint8_t>(leaf.protection))
      .number(static_cast<uint8_t>(leaf.reason))
      .number(static_cast<uint8_t>(types));
  for (size_t i = 0; i < types; ++i) out.number(static_cast<uint8_t>(leaf.types[i]));
  out.text(cut_text(leaf.path, kMaxPath))
      .text(cut_text(leaf.name, kMaxName))
      .text(cut_text(leaf.declared_mime, kMaxMime))
      .text(cut_text(leaf.mime, kMaxMime))
      .number(static_cast<uint32_t>(leaf.text.size()));
  return out.take();
}

// The text follows its leaf's head.
Leaf decode_leaf(Reader& in, uint32_t index, uint64_t& text_left) {
  Leaf leaf;
  leaf.size = in.number<uint64_t>();
  leaf.parent = in.number<uint32_t>();
  in.require(index == 0 ? leaf.parent == 0 : leaf.parent < index);
  leaf.marks = in.number<uint16_t>();
  in.require((leaf.marks & ~kAllMarks) == 0);
  const auto protection = in.number<uint8_t>();
  const auto reason = in.number<uint8_t>();
  const auto types = in.number<uint8_t>();
  in.require(protection < static_cast<uint8_t>(Protection::count_) && reason < static_cast<uint8_t>(Reason::count_));
  in.require(types > 0 && types <= kMaxTypes);
  for (uint8_t i = 0; in.ok() && i < types; ++i) {
    const auto type = in.number<uint8_t>();
    in.require(type < static_cast<uint8_t>(FileType::count_));
    if (in.ok()) leaf.types.push_back(static_cast<FileType>(type));
  }
  if (in.ok()) {
    leaf.protection = static_cast<Protection>(protection);
    leaf.reason = static_cast<Reason>(reason);
  }
  leaf.path = clean_name(in.text(kMaxPath), kMaxPath);
  leaf.name = clean_name(in.text(kMaxName), kMaxName);
  leaf.declared_mime = clean_name(in.text(kMaxMime), kMaxMime);
  leaf.mime = clean_name(in.text(kMaxMime), kMaxMime);
  const auto text = in.number<uint32_t>();
  in.require(text <= text_left);
  const std::string_view bytes = in.take(text);
  if (in.ok()) {
    text_left -= text;
    leaf.text = clean_text(bytes);
  }
  return leaf;
}

}  // namespace

uint64_t vocabulary() {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](std::string_view name) {
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  for (const FileTypeInfo& type : file_types()) add(type.name);
  for (size_t i = 0; i < static_cast<size_t>(Reason::count_); ++i) add(reason_name(static_cast<Reason>(i)));
  for (size_t i = 0; i < static_cast<size_t>(Protection::count_); ++i) {
    add(protection_name(static_cast<Protection>(i)));
  }
  add(std::to_string(kAllMarks));
  return hash;
}

std::string encode_message(const Message& message, std::string_view rest) {
  Writer out;
  out.number(kMessageMagic)
      .number(kScanProtocol)
      .number(static_cast<uint16_t>(message.kind))
      .number(message.job)
      .number(message.total)
      .number(message.piece)
      .raw(rest);
  return out.take();
}

std::optional<Message> decode_message(std::string_view frame) {
  if (frame.size() < kMessageSize || frame.size() > kMaxMessage) return std::nullopt;
  Reader in(frame.substr(0, kMessageSize));
  const auto magic = in.number<uint32_t>();
  const auto version = in.number<uint16_t>();
  const auto kind = in.number<uint16_t>();
  if (magic != kMessageMagic || version != kScanProtocol) return std::nullopt;
  if (kind == 0 || kind >= static_cast<uint16_t>(Kind::count_)) return std::nullopt;
  Message out;
  out.kind = static_cast<Kind>(kind);
  out.job = in.number<uint64_t>();
  out.total = in.number<uint64_t>();
  out.piece = in.number<uint64_t>();
  return out;
}

std::string encode_job(const Job& job) {
  std::string skip(kSkipBytes, '\0');
  for (size_t i = 0; i < job.skip.size(); ++i) {
    if (job.skip[i]) skip[i / 8] = static_cast<char>(skip[i / 8] | (1 << (i % 8)));
  }
  const uint8_t flags =
      static_cast<uint8_t>((job.want_text ? 1 : 0) | (job.want_metadata ? 2 : 0) | (job.is_message ? 4 : 0));
  Writer out;
  out.number(job.limits.depth)
      .number(job.limits.size)
      .number(job.limits.total)
      .number(job.limits.members)
      .number(job.limits.ratio)
      .number(job.limits.text)
      .number(static_cast<int64_t>(job.limits.time.count()))
      .number(flags)
      .raw(skip)
      .text(cut_text(job.name, kMaxName))
      .text(cut_text(job.declared_mime, kMaxMime))
      .text(cut_text(job.charset, kMaxCharset));
  return out.take();
}

Result<Job> decode_job(std::string_view bytes) {
  Reader in(bytes);
  Job job;
  job.limits.depth = in.number<uint32_t>();
  job.limits.size = in.number<uint64_t>();
  job.limits.total = in.number<uint64_t>();
  job.limits.members = in.number<uint32_t>();
  job.limits.ratio = in.number<uint32_t>();
  job.limits.text = in.number<uint64_t>();
  const auto time = in.number<int64_t>();
  in.require(job.limits.depth <= kMaxDepth && job.limits.ratio > 0);
  in.require(time >= 0 && time <= std::chrono::milliseconds(kMaxTime).count());
  if (in.ok()) job.limits.time = std::chrono::milliseconds(time);
  const auto flags = in.number<uint8_t>();
  in.require(flags < 8);
  job.want_text = (flags & 1) != 0;
  job.want_metadata = (flags & 2) != 0;
  job.is_message = (flags & 4) != 0;
  const std::string_view skip = in.take(kSkipBytes);
  for (size_t i = 0; in.ok() && i < job.skip.size(); ++i) {
    job.skip[i] = (static_cast<unsigned char>(skip[i / 8]) >> (i % 8) & 1) != 0;
  }
  job.name = in.text(kMaxName);
  job.declared_mime = in.text(kMaxMime);
  job.charset = in.text(kMaxCharset);
  if (!in.done()) return fail(Cause::malformed, "a job's header is not well formed");
  return job;
}

bool encode_verdict(Verdict& verdict, const std::function<bool(uint64_t)>& begin,
                    const std::function<bool(std::string_view)>& sink) {
  uint64_t heads = kVerdictFixed;
  uint64_t total = heads;
  size_t fit = 0;
  for (const Leaf& leaf : verdict.leaves) {
    heads += head_size(leaf);
    if (fit >= kMaxLeaves || heads > kMaxVerdictHead) break;
    ++fit;
    total += encode_head(leaf, fit - 1).size() + leaf.text.size();
  }
  if (fit < verdict.leaves.size()) {
    verdict.leaves.resize(fit);
    if (fit > 0 && outweighs(Reason::members, verdict.leaves[0].reason)) verdict.leaves[0].reason = Reason::members;
  }
  if (!begin(total)) return false;
  Writer out;
  out.number(kVerdictMagic).number(kScanProtocol).number(static_cast<uint32_t>(fit)).number(verdict.cpu_microseconds);
  if (!sink(out.take())) return false;
  for (size_t i = 0; i < fit; ++i) {
    if (!sink(encode_head(verdict.leaves[i], i)) || !sink(verdict.leaves[i].text)) return false;
  }
  return true;
}

Result<Verdict> decode_verdict(std::string_view frame, uint64_t most_text) {
  Reader in(frame);
  in.require(in.number<uint32_t>() == kVerdictMagic);
  in.require(in.number<uint16_t>() == kScanProtocol);
  const auto count = in.number<uint32_t>();
  in.require(count > 0 && count <= kMaxLeaves);
  Verdict verdict;
  verdict.cpu_microseconds = in.number<uint64_t>();
  uint64_t text_left = most_text;
  for (uint32_t i = 0; in.ok() && i < count; ++i) verdict.leaves.push_back(decode_leaf(in, i, text_left));
  if (!in.done()) return fail(Cause::malformed, "a worker's verdict is not well formed");
  return verdict;
}

}  // namespace postern::scan

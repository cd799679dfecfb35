// SPDX-License-Identifier: Apache-2.0
// Names of reasons, and questions about leaves.
#include "engine/scan/client/verdict.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"

namespace postern::scan {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Reason::count_)> kReasons = {
    "",        "corrupt", "password", "crash", "time",        "memory",  "depth",      "size",
    "members", "ratio",   "overlap",  "text",  "unsupported", "partial", "unavailable"};
constexpr std::array<std::string_view, static_cast<size_t>(Protection::count_)> kProtections = {"no", "yes", "partly",
                                                                                                "unknown"};

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::string_view reason_name(Reason reason) { return kReasons.at(static_cast<size_t>(reason)); }

bool is_limit(Reason reason) {
  switch (reason) {
    case Reason::crash:
    case Reason::time:
    case Reason::memory:
    case Reason::depth:
    case Reason::size:
    case Reason::members:
    case Reason::ratio:
    case Reason::unavailable:
      return true;
    default:
      return false;
  }
}

bool outweighs(Reason later, Reason first) {
  if (later == Reason::none) return false;
  const auto weight = [](Reason reason) {
    if (reason == Reason::none) return 0;
    if (reason == Reason::text) return 1;
    return is_limit(reason) ? 3 : 2;
  };
  return weight(later) > weight(first);
}

std::string_view protection_name(Protection protection) { return kProtections.at(static_cast<size_t>(protection)); }

bool Leaf::is(FileType type) const { return std::ranges::find(types, type) != types.end(); }

bool Leaf::in_group(Group group) const {
  return std::ranges::any_of(types, [&](FileType type) { return info(type).in(group); });
}

bool Verdict::complete() const {
  return std::ranges::all_of(leaves, [](const Leaf& leaf) { return leaf.scanned(); });
}

Reason Verdict::reason() const {
  const auto found = std::ranges::find_if(leaves, [](const Leaf& leaf) { return !leaf.scanned(); });
  return found == leaves.end() ? Reason::none : found->reason;
}

std::string_view cut_text(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && is_continuation(text[end])) --end;
  return text.substr(0, end);
}

std::string clean_text(std::string_view text) {
  if (base::is_valid_utf8(text)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    const size_t run = at;
    while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
    out.append(text, run, at - run);
    if (at == text.size()) break;
    const size_t most = std::min<size_t>(4, text.size() - at);
    size_t length = 1;
    while (length <= most && !base::is_valid_utf8(text.substr(at, length))) ++length;
    if (length > most) {
      out.push_back('?');
      at += 1;
      continue;
    }
    out.append(text.substr(at, length));
    at += length;
  }
  return out;
}

std::string clean_name(std::string_view raw, size_t most) {
  std::string out = clean_text(cut_text(raw, most));
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return out;
}

Verdict unscannable(Reason reason, std::string_view name, std::string_view declared_mime, uint64_t size) {
  Leaf leaf;
  leaf.name = clean_name(name, kMaxName);
  leaf.declared_mime = clean_name(declared_mime, kMaxMime);
  leaf.size = size;
  leaf.protection = Protection::unknown;
  leaf.reason = reason;
  leaf.types.push_back(FileType::unknown);
  Verdict verdict;
  verdict.leaves.push_back(std::move(leaf));
  return verdict;
}

}  // namespace postern::scan

// SPDX-License-Identifier: Apache-2.0
// Names of reasons, and questions about leaves.
#include "engine/scan/client/verdict.h"

#include <algorithm>
#include <array>

namespace postern::scan {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Reason::count_)> kReasons = {
    "",        "corrupt", "password", "crash", "time",        "memory",  "depth",      "size",
    "members", "ratio",   "overlap",  "text",  "unsupported", "partial", "unavailable"};
constexpr std::array<std::string_view, static_cast<size_t>(Protection::count_)> kProtections = {"no", "yes", "partly",
                                                                                                "unknown"};

}  // namespace

std::string_view reason_name(Reason reason) { return kReasons.at(static_cast<size_t>(reason)); }

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

Verdict unscannable(Reason reason, std::string_view name, std::string_view declared_mime, uint64_t size) {
  Leaf leaf;
  leaf.name = name.substr(0, kMaxName);
  leaf.declared_mime = declared_mime.substr(0, kMaxMime);
  leaf.size = size;
  leaf.protection = Protection::unknown;
  leaf.reason = reason;
  leaf.types.push_back(FileType::unknown);
  Verdict verdict;
  verdict.leaves.push_back(std::move(leaf));
  return verdict;
}

}  // namespace postern::scan

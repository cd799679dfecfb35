// SPDX-License-Identifier: Apache-2.0
// Look-ups by hash, one more for each domain above the address's own, and the smallest line number, so that a long
// table costs no more than a short one.
#include "milter/stages/address_table.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "engine/base/handle.h"
#include "engine/base/limits.h"
#include "engine/base/text.h"
#include "engine/message/address.h"
#include "engine/message/rewrite.h"

namespace postern::stages {
namespace {

using base::Cause;
using base::fail;
using FileHandle = base::Handle<std::FILE, std::fclose>;

bool is_domain(std::string_view text) { return message::is_one_address("x@" + std::string(text), false); }

// is_key tells whether `text` is a user, an address, "@domain" or "@.domain".
bool is_key(std::string_view text) {
  if (text.starts_with('@')) return is_domain(text.substr(text.starts_with("@.") ? 2 : 1));
  if (text.find('@') != std::string_view::npos) return message::is_one_address(text, false);
  return message::is_one_address(std::string(text) + "@x", false);
}

bool is_value(std::string_view text) {
  return text.starts_with('@') ? is_domain(text.substr(1)) : message::is_one_address(text, false);
}

}  // namespace

AddressTable AddressTable::read(std::string_view text, std::vector<Fault>& faults) {
  AddressTable table;
  uint32_t number = 0;
  size_t at = 0;
  constexpr size_t kMaxFaults = 100;
  size_t warnings = 0;
  // What is odd is told so often and no more; the lines after it count all the same.
  const auto warn = [&](uint32_t line, std::string what) {
    if (++warnings <= kMaxFaults) faults.push_back({line, std::move(what), false});
  };
  while (at < text.size() && faults.size() - std::min(warnings, kMaxFaults) < kMaxFaults) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = base::trim(text.substr(at, end - at));
    at = end + 1;
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const size_t blank = line.find_first_of(" \t");
    const std::string_view key = line.substr(0, blank);
    const std::string_view value =
        blank == std::string_view::npos ? std::string_view() : base::trim(line.substr(blank));
    if (!is_key(key)) {
      faults.push_back({number, base::quoted(key) + " is no user, address or @domain"});
      continue;
    }
    if (!is_value(value)) {
      faults.push_back({number, value.empty() ? std::string("an address or @domain is missing after the key")
                                              : base::quoted(value) + " is no address or @domain"});
      continue;
    }
    if (table.entries_.size() >= kMaxEntries) {
      faults.push_back({number, "more than " + std::to_string(kMaxEntries) + " entries"});
      break;
    }
    const std::string folded = base::lower(key);
    table.has_subdomains_ = table.has_subdomains_ || folded.starts_with("@.");
    const size_t sign = folded.find('@');
    if (sign != std::string::npos && sign > 0) {
      const auto earlier = table.entries_.find(folded.substr(sign));
      if (earlier != table.entries_.end()) {
        warn(number,
             "no address reaches this line: line " + std::to_string(earlier->second.line) + " takes all of its domain");
      }
    }
    const auto [entry, fresh] = table.entries_.emplace(folded, Entry{number, std::string(value)});
    if (!fresh) {
      warn(number, "the key stands in line " + std::to_string(entry->second.line) + " already, which wins");
    }
  }
  return table;
}

base::Result<AddressTable> AddressTable::load(const std::string& path, std::vector<Fault>& faults) {
  const FileHandle file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) return std::unexpected(base::system_error(path, errno));
  std::string text;
  char chunk[65536];
  size_t got = 0;
  while ((got = std::fread(chunk, 1, sizeof chunk, file.get())) > 0) {
    text.append(chunk, got);
    if (text.size() > kMaxBytes) return fail(Cause::limit, path + ": larger than 128 MiB");
  }
  if (std::ferror(file.get()) != 0) return std::unexpected(base::system_error(path, errno));
  return read(text, faults);
}

std::optional<std::string> AddressTable::find(std::string_view address) const {
  if (address.size() > base::kMaxAddress) return std::nullopt;
  const std::string folded = base::lower(address);
  const size_t sign = folded.rfind('@');
  const std::string local = folded.substr(0, sign);
  const Entry* best = nullptr;
  const auto look = [&](const std::string& key) {
    const auto found = entries_.find(key);
    if (found != entries_.end() && (best == nullptr || found->second.line < best->line)) best = &found->second;
  };
  look(folded);
  look(local);
  if (sign != std::string::npos) {
    look(folded.substr(sign));
    if (has_subdomains_) {
      for (size_t dot = folded.find('.', sign); dot != std::string::npos; dot = folded.find('.', dot + 1)) {
        look("@" + folded.substr(dot));
      }
    }
  }
  if (best == nullptr) return std::nullopt;
  if (best->value.front() != '@') return best->value;
  return std::string(address.substr(0, address.rfind('@'))) + best->value;
}

}  // namespace postern::stages

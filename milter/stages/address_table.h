// SPDX-License-Identifier: Apache-2.0
// AddressTable: a file of addresses and what they become, in the form of Sendmail's genericstable: on each line a key
// ("user", "user@domain" or "@domain"), white space, and an address or "@domain", which keeps the user; the key
// "@.domain" is every domain below it. '#' begins a comment line. The line that stands first wins. Keys compare without
// case. Immutable after load.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/error.h"

namespace postern::stages {

class AddressTable {
 public:
  static constexpr size_t kMaxEntries = 1'000'000;
  static constexpr size_t kMaxBytes = 128u << 20;

  // Fault is one line that is wrong, or to no effect.
  struct Fault {
    uint32_t line = 0;
    std::string text;
    bool error = true;
  };
  // read takes the table out of `text`; every fault is reported.
  static AddressTable read(std::string_view text, std::vector<Fault>& faults);
  // load reads the file at `path`; the error when it cannot be read.
  static base::Result<AddressTable> load(const std::string& path, std::vector<Fault>& faults);

  // find returns what `address` becomes, or nothing.
  std::optional<std::string> find(std::string_view address) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint32_t line;
    std::string value;
  };
  std::unordered_map<std::string, Entry> entries_;
  bool has_subdomains_ = false;
};

}  // namespace postern::stages

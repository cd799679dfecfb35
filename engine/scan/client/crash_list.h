// SPDX-License-Identifier: Apache-2.0
// CrashList: contents of which fresh workers died, by SHA-256 and size. One that did twice is listed: it is not parsed
// again for thirty days, also after a restart, so that a sender who repeats it cannot keep workers busy dying. Bounded:
// the oldest go first. Thread-safe.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/guarded.h"

namespace postern::scan {

class CrashList {
 public:
  static constexpr size_t kMost = 1024;  // listed
  static constexpr int64_t kKeepSeconds = 30 * 86400;

  // `path`: a file of our own, made when the first is listed; empty: remembered by this object only. What stands in the
  // file and is no entry is passed over.
  explicit CrashList(std::string path);

  bool lists(std::string_view bytes);
  // add counts a crash, the second lists it; `twice`: this is the second. True: listed by now. An error: it is listed,
  // and could not be written down.
  base::Result<bool> add(std::string_view bytes, bool twice);
  // forget takes back a crash of what is not listed.
  void forget(std::string_view bytes);
  size_t size();

 private:
  struct Entry {
    uint64_t size = 0;
    std::array<char, 32> digest{};
    int64_t time = 0;
    bool operator==(const Entry& other) const { return size == other.size && digest == other.digest; }
  };
  struct Entries {
    std::deque<Entry> listed;
    std::deque<Entry> once;
  };
  static Entry entry_of(std::string_view bytes);
  void load();
  base::Result<void> store(const std::deque<Entry>& listed) const;

  const std::string path_;
  base::Guarded<Entries> entries_;
};

// sha256_hex is the name of a content in logs.
std::string sha256_hex(std::string_view bytes);

}  // namespace postern::scan

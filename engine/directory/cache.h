// SPDX-License-Identifier: Apache-2.0
// Cache of answers, "there is none" among them, each for its time; errors are never kept. Bounded by entries and bytes:
// the one used longest ago goes first. Thread-safe.
#pragma once
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/directory/directory.h"

namespace postern::directory {

class Cache {
 public:
  Cache(uint32_t entries, std::chrono::milliseconds ttl, std::chrono::milliseconds negative_ttl);

  // find returns the answer kept under `key`, or nullptr when there is none or its time is over at `now`.
  std::shared_ptr<const Answer> find(std::string_view key, Clock::time_point now);
  void keep(std::string key, std::shared_ptr<const Answer> answer, Clock::time_point now);
  uint32_t size() const;

  static constexpr size_t kMaxAnswer = 16u << 10;  // larger answers are not kept
  static constexpr size_t kMaxBytes = 32u << 20;

 private:
  struct Item {
    std::string key;
    std::shared_ptr<const Answer> answer;
    Clock::time_point until;
    size_t bytes = 0;
  };
  using Items = std::list<Item>;
  void drop(Items::iterator item);

  const uint32_t entries_;
  const std::chrono::milliseconds ttl_;
  const std::chrono::milliseconds negative_ttl_;
  mutable std::mutex mutex_;
  Items items_;  // the one used last is first
  std::unordered_map<std::string_view, Items::iterator> index_;
  size_t bytes_ = 0;
};

}  // namespace postern::directory

// SPDX-License-Identifier: Apache-2.0
// A list in order of use and an index into it; one lock, held for a look-up only.
#include "engine/directory/cache.h"

#include <utility>

namespace postern::directory {
namespace {

size_t size_of(const Answer& answer) {
  size_t size = sizeof(Answer) + answer.dn.size();
  for (const auto& values : answer.values) {
    size += sizeof values;
    for (const std::string& value : values) size += sizeof value + value.size();
  }
  return size;
}

}  // namespace

Cache::Cache(uint32_t entries, std::chrono::milliseconds ttl, std::chrono::milliseconds negative_ttl)
    : entries_(entries), ttl_(ttl), negative_ttl_(negative_ttl) {}

std::shared_ptr<const Answer> Cache::find(std::string_view key, Clock::time_point now) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  if (found->second->until <= now) {
    drop(found->second);
    return nullptr;
  }
  items_.splice(items_.begin(), items_, found->second);
  return found->second->answer;
}

void Cache::keep(std::string key, std::shared_ptr<const Answer> answer, Clock::time_point now) {
  const auto ttl = answer->found ? ttl_ : negative_ttl_;
  const size_t bytes = size_of(*answer) + key.size() + sizeof(Item);
  if (entries_ == 0 || ttl.count() == 0 || bytes > kMaxAnswer) return;
  const std::lock_guard<std::mutex> guard(mutex_);
  if (const auto old = index_.find(key); old != index_.end()) drop(old->second);
  while (!items_.empty() && (items_.size() >= entries_ || bytes_ + bytes > kMaxBytes)) drop(std::prev(items_.end()));
  items_.push_front({std::move(key), std::move(answer), now + ttl, bytes});
  index_.emplace(items_.front().key, items_.begin());
  bytes_ += bytes;
}

uint32_t Cache::size() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return static_cast<uint32_t>(items_.size());
}

void Cache::drop(Items::iterator item) {
  bytes_ -= item->bytes;
  index_.erase(item->key);
  items_.erase(item);
}

}  // namespace postern::directory

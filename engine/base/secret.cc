// SPDX-License-Identifier: Apache-2.0
// Secret: pages of their own from mmap, so that nothing else shares them, no allocator keeps a copy, and locking and
// the exclusion from dumps concern these bytes alone.
#include "engine/base/secret.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <utility>

namespace postern::base {

namespace {

size_t whole_pages(size_t size) {
  static const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (size > SIZE_MAX - kPage) throw std::bad_alloc();
  return (size + kPage - 1) / kPage * kPage;
}

}  // namespace

Secret Secret::sized(size_t size) {
  Secret secret;
  if (size == 0) return secret;
  size_t mapped = whole_pages(size);
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Without the right to lock as much, a secret in swap is still better than no service.
  (void)mlock(memory, mapped);
  (void)madvise(memory, mapped, MADV_DONTDUMP);
  secret.data_ = static_cast<char*>(memory);
  secret.size_ = size;
  secret.mapped_ = mapped;
  return secret;
}

Secret::Secret(std::string_view bytes) {
  *this = sized(bytes.size());
  if (!bytes.empty()) memcpy(data_, bytes.data(), bytes.size());
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  mapped_ = std::exchange(other.mapped_, 0);
  return *this;
}

Secret::~Secret() { wipe(); }

void Secret::shrink(size_t size) {
  if (size >= size_) return;
  if (size == 0) return wipe();
  explicit_bzero(data_ + size, size_ - size);
  size_ = size;
}

void Secret::wipe() {
  if (data_ == nullptr) return;
  explicit_bzero(data_, mapped_);
  munmap(data_, mapped_);
  data_ = nullptr;
  size_ = 0;
  mapped_ = 0;
}

void wipe(std::string& text) {
  // Also what an earlier, longer content left behind the end.
  text.resize(text.capacity());
  explicit_bzero(text.data(), text.size());
  text.clear();
}

void wipe_view(std::string_view bytes) { explicit_bzero(const_cast<char*>(bytes.data()), bytes.size()); }

}  // namespace postern::base

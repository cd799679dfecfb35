// SPDX-License-Identifier: Apache-2.0
// Secret: bytes that are wiped when they go, kept out of swap and core dumps, and never copied by accident. Move only.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace postern::base {

class Secret {
 public:
  Secret() = default;
  // Takes a copy of `bytes` in memory of its own: whole pages, locked (where the limit allows) and excluded from dumps.
  explicit Secret(std::string_view bytes);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  // sized makes one of `size` zero bytes, to be filled through data().
  static Secret sized(size_t size);

  char* data() { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {data_, size_}; }
  // shrink cuts to `size`, wiping the rest.
  void shrink(size_t size);
  void wipe();

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;
};

// wipe overwrites a string that held a secret; wipe_view does the same for bytes owned by somebody else.
void wipe(std::string& text);
void wipe_view(std::string_view bytes);

}  // namespace postern::base

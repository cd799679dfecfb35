// SPDX-License-Identifier: Apache-2.0
// NameTable: what one of a fixed set of names stands for, found without a comparison with each. For the names of
// elements, of which a document has hundreds of thousands and most are of no interest.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern::scan::worker {

template <typename Value, size_t kCount>
class NameTable {
 public:
  struct Row {
    std::string_view name;
    Value value;
  };

  // No name may be empty.
  explicit consteval NameTable(const Row (&rows)[kCount]) {
    for (const Row& row : rows) {
      size_t at = slot(row.name);
      while (!slots_[at].name.empty()) at = (at + 1) % kSlots;
      slots_[at] = row;
    }
  }

  // find returns what `name` stands for, a Value of zero for all others.
  constexpr Value find(std::string_view name) const {
    for (size_t at = slot(name); !slots_[at].name.empty(); at = (at + 1) % kSlots) {
      if (slots_[at].name == name) return slots_[at].value;
    }
    return Value{};
  }

 private:
  // Mostly empty, so that most other names end at once.
  static constexpr size_t kSlots = std::bit_ceil(4 * kCount);

  static constexpr size_t slot(std::string_view name) {
    if (name.empty()) return 0;
    const auto first = static_cast<uint8_t>(name.front());
    const auto middle = static_cast<uint8_t>(name[name.size() / 2]);
    const auto last = static_cast<uint8_t>(name.back());
    return (size_t{first} * 37 + size_t{middle} * 11 + size_t{last} * 5 + name.size()) % kSlots;
  }

  Row slots_[kSlots] = {};
};

}  // namespace postern::scan::worker

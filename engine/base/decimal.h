// SPDX-License-Identifier: Apache-2.0
// Decimal numbers as whole thousandths, so that what people write and compare is exact: scores of spam filters.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::base {

// kMostThousandths is the largest number, with either sign: a million.
inline constexpr int64_t kMostThousandths = 1'000'000'000;

// read_thousandths reads "7", "-0.25", "+5.50": digits, at most one point with digits on both sides, what is beyond the
// third digit behind it is cut off. nullopt on anything else and past kMostThousandths.
std::optional<int64_t> read_thousandths(std::string_view text);
// format_thousandths writes the shortest text that read_thousandths reads back.
std::string format_thousandths(int64_t value);

}  // namespace postern::base

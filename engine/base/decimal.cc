// SPDX-License-Identifier: Apache-2.0
// No floating point and no locale takes part.
#include "engine/base/decimal.h"

namespace postern::base {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<int64_t> read_thousandths(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view rest = point == std::string_view::npos ? "0" : text.substr(point + 1);
  if (whole.empty() || rest.empty()) return std::nullopt;
  int64_t value = 0;
  for (const char c : whole) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + (c - '0');
    if (value > kMostThousandths / 1000) return std::nullopt;
  }
  value *= 1000;
  int64_t unit = 100;
  for (const char c : rest) {
    if (!is_digit(c)) return std::nullopt;
    value += unit * (c - '0');
    unit /= 10;
  }
  if (value > kMostThousandths) return std::nullopt;
  return negative ? -value : value;
}

std::string format_thousandths(int64_t value) {
  const uint64_t size = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string out = (value < 0 ? "-" : "") + std::to_string(size / 1000);
  std::string rest = std::to_string(1000 + size % 1000).substr(1);
  while (rest.ends_with('0')) rest.pop_back();
  return rest.empty() ? out : out + "." + rest;
}

}  // namespace postern::base

// SPDX-License-Identifier: Apache-2.0
// Numbers of spreadsheets as their cells show them: dates, times, currencies, masks such as 000-00-0000.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace postern::scan::worker {

// kMostStrings is how many shared strings of a workbook are kept: empty ones take memory, too.
inline constexpr size_t kMostStrings = 1u << 20;

// format_number writes `value` by a number format ("#,##0.00", "d.m.yyyy h:mm"); by "General" where the format is not
// understood.
std::string format_number(double value, std::string_view format, bool since_1904);

// rk_number decodes the short form that workbooks store numbers in.
double rk_number(uint32_t value);

// CellFormats is a workbook's table of formats.
class CellFormats {
 public:
  bool since_1904 = false;
  void add_format(uint32_t id, std::string format);
  // add_style is for the cell styles in their order.
  void add_style(uint32_t format) {
    if (styles_.size() < 70000) styles_.push_back(format);
  }
  std::string show(double value, uint32_t style) const;

 private:
  std::map<uint32_t, std::string> formats_;
  std::vector<uint32_t> styles_;
};

}  // namespace postern::scan::worker

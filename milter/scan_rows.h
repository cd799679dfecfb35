// SPDX-License-Identifier: Apache-2.0
// Scan rows: what content scanning found, one row a leaf, with its place in the message, as `postern scan` and
// `postern trace` print it and the log names it.
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/part.h"
#include "engine/scan/client/verdict.h"

namespace postern::milter {

// ScanRow is one leaf. The views are good as long as the verdict it came from.
struct ScanRow {
  std::string path;  // "1.2/book.xls!Ole10Native:calc.exe"
  const scan::Leaf* leaf = nullptr;
};

// rows_of_file makes the rows of a file called `name`; a message's own row is left out where it has parts.
std::vector<ScanRow> rows_of_file(const scan::Verdict& verdict, std::string_view name);
// rows_of_part adds the rows of leaf `part` of a message.
void add_rows_of_part(const scan::Verdict& verdict, const mime::Part& part, std::vector<ScanRow>& rows);

// row_json is a row as JSON; `text`: with the text.
nlohmann::json row_json(const ScanRow& row, bool text);

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// Formulas of spreadsheets: their string constants, and whether they start a program.
#pragma once
#include <string_view>
#include <vector>

namespace postern::scan::worker {

// formula_literals gives the string constants of a formula.
std::vector<std::string_view> formula_literals(std::string_view formula);

// is_dde tells whether a cell of a table of text starts a program when it is opened: "=cmd|'/C calc'!A0".
bool is_dde(std::string_view cell);
// is_dde_formula tells it of a formula in a document, where a name or string that looks so is none; calls_dde of one of
// OpenDocument: "of:=DDE("cmd";…)".
bool is_dde_formula(std::string_view formula);
bool calls_dde(std::string_view formula);

}  // namespace postern::scan::worker

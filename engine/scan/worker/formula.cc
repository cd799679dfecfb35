// SPDX-License-Identifier: Apache-2.0
// Formulas: what matters of them is found without parsing them.
#include "engine/scan/worker/formula.h"

#include <string>

#include "engine/base/text.h"

namespace postern::scan::worker {
namespace {

// bare is a formula without its string constants, quoted names and what is in brackets.
std::string bare(std::string_view formula) {
  constexpr std::string_view kOpening = "\"'[";
  constexpr std::string_view kClosing = "\"']";
  bool closed[] = {true, true, true};  // false where none is closed any more
  std::string out;
  for (size_t at = 0; at < formula.size(); ++at) {
    const size_t kind = kOpening.find(formula[at]);
    const size_t end =
        kind == std::string_view::npos || !closed[kind] ? std::string_view::npos : formula.find(kClosing[kind], at + 1);
    if (end != std::string_view::npos) {
      at = end;
      continue;
    }
    if (kind != std::string_view::npos) closed[kind] = false;
    out.push_back(formula[at]);
  }
  return out;
}

}  // namespace

std::vector<std::string_view> formula_literals(std::string_view formula) {
  std::vector<std::string_view> out;
  for (size_t at = formula.find('"'); at != std::string_view::npos && out.size() < 1000; at = formula.find('"', at)) {
    const size_t end = formula.find('"', at + 1);
    if (end == std::string_view::npos) break;
    if (end > at + 1) out.push_back(formula.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return out;
}

bool is_dde(std::string_view cell) {
  constexpr size_t kLongest = 1024;
  cell = cell.substr(0, kLongest);
  const size_t sign = cell.find_first_not_of(" \t\"'");
  if (sign == std::string_view::npos || std::string_view("=+-@").find(cell[sign]) == std::string_view::npos)
    return false;
  const size_t bar = cell.find('|', sign);
  return bar != std::string_view::npos && bar > sign + 1 && cell.find('!', bar) != std::string_view::npos;
}

bool is_dde_formula(std::string_view formula) {
  if (formula.find('|') == std::string_view::npos) return false;
  const std::string text = bare(formula);
  const size_t bar = text.find('|');
  return bar != std::string::npos && text.find('!', bar) != std::string::npos;
}

bool calls_dde(std::string_view formula) {
  if (base::lower(formula).find("dde") == std::string::npos) return false;
  const std::string text = base::lower(bare(formula));
  for (size_t at = text.find("dde"); at != std::string::npos; at = text.find("dde", at + 1)) {
    const size_t next = text.find_first_not_of(" \t\r\n", at + 3);
    const char before = at == 0 ? '=' : text[at - 1];
    const bool word = (before >= 'a' && before <= 'z') || (before >= '0' && before <= '9') || before == '_' ||
                      before == '.' || static_cast<unsigned char>(before) >= 0x80;
    if (next != std::string::npos && text[next] == '(' && !word) return true;
  }
  return false;
}

}  // namespace postern::scan::worker

// SPDX-License-Identifier: Apache-2.0
// Paths are made here and never used as paths of files.
#include "milter/scan_rows.h"

#include <nlohmann/json.hpp>

#include "engine/base/text.h"

namespace postern::milter {

using nlohmann::json;
using scan::Leaf;
using scan::Mark;

std::vector<ScanRow> rows_of_file(const scan::Verdict& verdict, std::string_view name) {
  std::vector<ScanRow> rows;
  const Leaf& first = verdict.leaves.front();
  const bool message = first.types.front() == scan::FileType::rfc822 && verdict.leaves.size() > 1 && first.scanned();
  for (size_t i = message ? 1 : 0; i < verdict.leaves.size(); ++i) {
    const Leaf& leaf = verdict.leaves[i];
    // Parts of a message are named by their numbers alone.
    const std::string path = leaf.path.starts_with('/') ? leaf.path.substr(1) : base::one_line(name) + leaf.path;
    rows.push_back({path, &leaf});
  }
  return rows;
}

void add_rows_of_part(const scan::Verdict& verdict, const mime::Part& part, std::vector<ScanRow>& rows) {
  std::string place = part.path;
  if (!part.file_names.empty()) place += "/" + base::one_line(part.file_names.front());
  for (const Leaf& leaf : verdict.leaves) rows.push_back({place + leaf.path, &leaf});
}

json row_json(const ScanRow& row, bool text) {
  const Leaf& leaf = *row.leaf;
  json types = json::array();
  json groups = json::array();
  for (const scan::FileType type : leaf.types) types.push_back(scan::info(type).name);
  for (const scan::GroupInfo& group : scan::groups()) {
    if (leaf.in_group(group.group)) groups.push_back(group.name);
  }
  json macros = json::array();
  for (const auto& [mark, name] : {std::pair{Mark::macro_vba, "vba"}, std::pair{Mark::macro_xlm, "xlm"},
                                   std::pair{Mark::macro_dde, "dde"}, std::pair{Mark::remote_template, "template"}}) {
    if (leaf.has(mark)) macros.push_back(name);
  }
  json out = {{"path", row.path},
              {"name", leaf.name},
              {"size", leaf.size},
              {"type", scan::info(leaf.types.front()).name},
              {"types", std::move(types)},
              {"group", std::move(groups)},
              {"mime", leaf.mime},
              {"declared_mime", leaf.declared_mime},
              {"protected", scan::protection_name(leaf.protection)},
              {"macros", std::move(macros)},
              {"active", leaf.has(Mark::active_content)},
              {"inconsistent", leaf.has(Mark::inconsistent)},
              {"embedded", leaf.has(Mark::embedded)},
              {"default_password", leaf.has(Mark::encrypted_default)},
              {"status", leaf.scanned() ? "scanned" : "unscannable"},
              {"reason", scan::reason_name(leaf.reason)},
              {"text_bytes", leaf.text.size()}};
  if (text) out["text"] = leaf.text;
  return out;
}

}  // namespace postern::milter

// SPDX-License-Identifier: Apache-2.0
// The files that postern.yaml names by path or pattern: rule files and dictionaries.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/option_reader.h"
#include "engine/config/yaml.h"

namespace postern::milter {

// FileKind is what the messages call one file, the pattern where the key is not given, and how many there may be.
struct FileKind {
  std::string_view what;
  std::string_view fallback;
  size_t most;
};

// find_files returns the files that `node` (a list of paths and patterns, or nullptr) names below `folder`, in order of
// file name; folders that only a pattern found are left out. `written` gets the patterns as absolute ones.
std::vector<std::string> find_files(const config::Node* node, const std::string& folder, const FileKind& kind,
                                    config::OptionReader& reader, std::vector<std::string>& written);

}  // namespace postern::milter

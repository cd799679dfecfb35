// SPDX-License-Identifier: Apache-2.0
// Patterns are the shell's (glob(3)); the folder of postern.yaml is a name, whatever characters it holds.
#include "milter/settings_files.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "engine/base/text.h"

namespace postern::milter {
namespace {

std::string escaped_for_glob(std::string_view folder) {
  std::string out;
  for (const char c : folder) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::vector<std::string> find_files(const config::Node* node, const std::string& folder, const FileKind& kind,
                                    config::OptionReader& reader, std::vector<std::string>& written) {
  std::vector<const config::Node*> patterns;
  config::Node fallback;
  fallback.kind = config::NodeKind::scalar;
  fallback.text = kind.fallback;
  if (node != nullptr && node->kind != config::NodeKind::null) {
    patterns = reader.items(*node);
  } else {
    patterns.push_back(&fallback);
  }
  written.clear();
  const std::string what(kind.what);
  std::vector<std::string> paths;
  std::set<std::string, std::less<>> seen;
  for (const config::Node* pattern : patterns) {
    if (pattern->text.empty()) {
      reader.error(*pattern, "a file name or pattern is missing here");
      continue;
    }
    const bool from_root = pattern->text.starts_with('/');
    written.push_back(from_root ? pattern->text : escaped_for_glob(folder) + "/" + pattern->text);
    const std::string& path = written.back();
    const bool magic = pattern->text.find_first_of("*?[") != std::string::npos;
    glob_t found{};
    const int status = ::glob(path.c_str(), 0, nullptr, &found);
    if (status == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) {
        struct stat info{};
        // Named, not found by a pattern: a folder there is a mistake, which reading it will say.
        if (magic && ::stat(found.gl_pathv[i], &info) == 0 && S_ISDIR(info.st_mode)) continue;
        if (seen.insert(found.gl_pathv[i]).second) paths.emplace_back(found.gl_pathv[i]);
      }
    } else if (!magic) {
      reader.error(*pattern, "there is no " + what + " file " + base::escape_for_log(path, 300));
    } else if (pattern != &fallback) {
      reader.warning(*pattern, "no file matches " + base::escape_for_log(path, 300));
    }
    ::globfree(&found);
    if (paths.size() <= kind.most) continue;
    reader.error(*pattern, "more than " + std::to_string(kind.most) + " " + what + " files");
    return {};
  }
  std::ranges::stable_sort(paths, {}, [](const std::string& path) { return path.substr(path.rfind('/') + 1); });
  return paths;
}

}  // namespace postern::milter

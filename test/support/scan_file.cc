// SPDX-License-Identifier: Apache-2.0
// scan-file [--text] [--message] [--pool=POSTERN-SCAN] FILE…, scan-file --types: scans files in this process, without a
// sandbox, or by workers of that program, one JSON object a leaf and line; or writes the table of types, name and MIME
// type a line. For developers of readers, and for tests that compare readers with other programs.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/scan/client/pool.h"
#include "engine/scan/worker/scan_job.h"

using namespace postern::scan;

int main(int argc, char** argv) {
  worker::prepare();
  std::unique_ptr<Pool> pool;
  bool text = false;
  bool message = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--types") {
      for (const FileTypeInfo& row : file_types()) {
        std::printf("%s\t%s\n", std::string(row.name).c_str(), std::string(row.mime).c_str());
      }
      continue;
    }
    if (argument == "--usage") {
      std::ifstream status("/proc/self/status");
      for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmHWM:")) std::fprintf(stderr, "%s\n", line.c_str());
      }
      continue;
    }
    if (argument == "--text" || argument == "--message") {
      (argument == "--text" ? text : message) = true;
      continue;
    }
    if (argument.starts_with("--pool=")) {
      PoolSettings settings;
      settings.program = argument.substr(7);
      settings.told = [](Trouble trouble, std::string_view what, std::string_view) {
        std::fprintf(stderr, "scan-file: %s: %s\n", std::string(trouble_name(trouble)).c_str(),
                     std::string(what).c_str());
      };
      auto started = Pool::start(settings);
      if (!started) {
        std::fprintf(stderr, "scan-file: %s\n", started.error().text().c_str());
        return 69;
      }
      pool = std::move(*started);
      continue;
    }
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    Job job;
    job.bytes = bytes;
    job.is_message = message;
    const size_t slash = argument.rfind('/');
    job.name = slash == std::string_view::npos ? argument : argument.substr(slash + 1);
    const Verdict verdict = pool ? pool->scan(job) : worker::scan_job(job);
    for (const Leaf& leaf : verdict.leaves) {
      nlohmann::json types = nlohmann::json::array();
      for (const FileType type : leaf.types) types.push_back(info(type).name);
      nlohmann::json row = {{"file", argument},
                            {"path", leaf.path},
                            {"name", leaf.name},
                            {"size", leaf.size},
                            {"types", types},
                            {"mime", leaf.mime},
                            {"protected", protection_name(leaf.protection)},
                            {"marks", leaf.marks},
                            {"reason", reason_name(leaf.reason)},
                            {"text_bytes", leaf.text.size()}};
      if (text) row["text"] = leaf.text;
      std::puts(row.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    }
  }
  return 0;
}

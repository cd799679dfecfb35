// SPDX-License-Identifier: Apache-2.0
// Pages of a mapped file come from the disk when they are touched, for which no right is needed: thirteen megabytes of
// maps cost a worker no memory.
#include "engine/scan/worker/poppler_files.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "engine/base/handle.h"
#include "engine/base/io.h"

namespace postern::scan::worker {
namespace {

constexpr const char* kFolder = "/usr/share/poppler";

std::map<std::string, std::string_view, std::less<>>& kept() {
  static std::map<std::string, std::string_view, std::less<>> files;
  return files;
}

}  // namespace

size_t keep_poppler_files() {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(kFolder, error), end; !error && at != end;
       at.increment(error)) {
    if (!at->is_regular_file(error)) continue;
    const std::string path = at->path().string();
    if (kept().contains(path)) continue;
    std::FILE* const file = std::fopen(path.c_str(), "re");
    if (file == nullptr) continue;
    struct stat about{};
    if (::fstat(::fileno(file), &about) == 0 && about.st_size > 0) {
      const auto size = static_cast<size_t>(about.st_size);
      void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, ::fileno(file), 0);
      if (mapped != MAP_FAILED) kept()[path] = std::string_view(static_cast<const char*>(mapped), size);
    }
    std::fclose(file);
  }
  return kept().size();
}

}  // namespace postern::scan::worker

// What libraries of this program call when they open a file by name.
extern "C" std::FILE* fopen(const char* path, const char* mode) {
  using namespace postern::scan::worker;
  if (path != nullptr && mode != nullptr && mode[0] == 'r') {
    const auto found = kept().find(std::string_view(path));
    if (found != kept().end()) {
      return ::fmemopen(const_cast<char*>(found->second.data()), found->second.size(), "r");
    }
  }
  using Open = std::FILE* (*)(const char*, const char*);
  static const Open real = reinterpret_cast<Open>(::dlsym(RTLD_NEXT, "fopen"));
  return real == nullptr ? nullptr : real(path, mode);
}

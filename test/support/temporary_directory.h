// SPDX-License-Identifier: Apache-2.0
// TemporaryDirectory: a new directory with mode 0700, removed with all in it when the object goes.
#pragma once
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace postern::test {

class TemporaryDirectory {
 public:
  // In memory for tests that sync thousands of times, where there is such a place.
  enum class Where { disk, memory };

  explicit TemporaryDirectory(Where where = Where::disk) {
    const bool memory = where == Where::memory && access("/dev/shm", W_OK) == 0;
    const std::filesystem::path parent = memory ? "/dev/shm" : std::filesystem::temp_directory_path();
    std::string pattern = parent / "postern-test-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) abort();
    path_ = std::filesystem::canonical(pattern);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace postern::test

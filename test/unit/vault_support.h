// SPDX-License-Identifier: Apache-2.0
// What the tests of fipsd's files share: a private temporary directory and whole files.
#pragma once
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace postern::test {

// TemporaryDirectory is a new directory with mode 0700, removed with all in it; in memory where there is such a place,
// because these tests sync thousands of times.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const bool memory = access("/dev/shm", W_OK) == 0;
    std::string pattern = (memory ? std::string("/dev/shm") : testing::TempDir()) + "/vault-XXXXXX";
    path_ = mkdtemp(pattern.data());
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

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// spill writes a file with mode 0600.
inline void spill(const std::string& path, std::string_view content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  chmod(path.c_str(), 0600);
}

// succeeded is for EXPECT_TRUE: it shows the error's text.
template <class T>
testing::AssertionResult succeeded(const base::Result<T>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << base::cause_name(result.error().cause()) << ": " << result.error().text();
}

template <class T>
testing::AssertionResult failed_with(base::Cause cause, const base::Result<T>& result) {
  if (result) return testing::AssertionFailure() << "it succeeded";
  if (result.error().cause() == cause) return testing::AssertionSuccess();
  return testing::AssertionFailure() << base::cause_name(result.error().cause()) << ": " << result.error().text();
}

}  // namespace postern::test

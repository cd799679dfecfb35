// SPDX-License-Identifier: Apache-2.0
// What the tests of fipsd's files share: a private temporary directory and whole files.
#pragma once
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "test/support/temporary_directory.h"

namespace postern::test {

// VaultDirectory is in memory: these tests sync thousands of times.
class VaultDirectory : public TemporaryDirectory {
 public:
  VaultDirectory() : TemporaryDirectory(Where::memory) {}
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

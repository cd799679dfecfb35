// SPDX-License-Identifier: Apache-2.0
// What the tests of submission share: a folder of their own, and files read whole.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace postern::submit {

// Folder is a temporary directory that goes with the object.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "postern-submit-XXXXXX";
    path = ::mkdtemp(name.data()) == nullptr ? std::string() : name;
    EXPECT_FALSE(path.empty());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace postern::submit

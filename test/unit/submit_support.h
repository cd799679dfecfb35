// SPDX-License-Identifier: Apache-2.0
// What the tests of submission share: a directory of their own, and files read whole.
#pragma once
#include <fstream>
#include <iterator>
#include <string>

#include "test/support/temporary_directory.h"

namespace postern::submit {

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace postern::submit

// SPDX-License-Identifier: Apache-2.0
// Reading whole files.
#include "milter/cli/input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/handle.h"

namespace postern::cli {

// A message file may be a little larger than any limit a configuration sets, so that the limit itself can be traced.
namespace {

constexpr size_t kMostInput = 1ull << 30;

}  // namespace

base::Result<std::string> read_input(const std::string& path) {
  base::UniqueFd file(path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(base::system_error(path, errno));
  std::string out;
  for (;;) {
    constexpr size_t kChunk = 1 << 18;
    const size_t before = out.size();
    out.resize(before + kChunk);
    const ssize_t got = ::read(file.get(), out.data() + before, kChunk);
    if (got < 0 && errno == EINTR) {
      out.resize(before);
      continue;
    }
    if (got < 0) return std::unexpected(base::system_error(path, errno));
    out.resize(before + static_cast<size_t>(got));
    if (got == 0) return out;
    if (out.size() > kMostInput) return base::fail(base::Cause::limit, path + ": larger than 1 GiB");
  }
}

}  // namespace postern::cli

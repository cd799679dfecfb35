// SPDX-License-Identifier: Apache-2.0
// A call that writes nothing and says nothing is an error, too: it must not be asked for ever.
#include "engine/base/io.h"

#include <unistd.h>

#include <cerrno>

namespace postern::base {

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = EIO;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace postern::base

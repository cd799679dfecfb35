// SPDX-License-Identifier: Apache-2.0
// Writing to descriptors, and waiting for them.
#pragma once
#include <chrono>
#include <string_view>

namespace postern::base {

// write_all writes all of `bytes`, in as many calls as it takes; false: it could not, and errno says why.
bool write_all(int fd, std::string_view bytes);

// wait_for waits until `fd` can be read (or written) or `deadline` passes; false then.
bool wait_for(int fd, bool write, std::chrono::steady_clock::time_point deadline);

}  // namespace postern::base

// SPDX-License-Identifier: Apache-2.0
// Writing to descriptors.
#pragma once
#include <string_view>

namespace postern::base {

// write_all writes all of `bytes`, in as many calls as it takes; false: it could not, and errno says why.
bool write_all(int fd, std::string_view bytes);

}  // namespace postern::base

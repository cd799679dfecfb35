// SPDX-License-Identifier: Apache-2.0
// Mbox: appends messages to a mailbox file in mboxrd form: a "From " line, LF line ends, lines that begin like one
// quoted with '>', an empty line. The file is locked by fcntl as mail readers do, and synced before append() returns.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace postern::submit {

// append_mbox adds `message` (CRLF or LF) with this sender and Unix time to the file at `path`, made with mode 0600
// where it is not there; a symbolic link or anything but a file is refused. `tag` names the message among those of its
// file: when the file ends with this tag's message whole, nothing is added, and what a crash left of it is cut off
// first. All or nothing: after a failure the file is as it was. `unavailable` at once while another program has it
// locked.
base::Result<void> append_mbox(const std::string& path, std::string_view tag, std::string_view sender, int64_t time,
                               std::string_view message);

}  // namespace postern::submit

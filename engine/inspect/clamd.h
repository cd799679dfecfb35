// SPDX-License-Identifier: Apache-2.0
// clamd, ClamAV's daemon: INSTREAM and PING of its protocol, clamd(8).
#pragma once
#include <string_view>

#include "engine/inspect/stream.h"

namespace postern::inspect {

// ask_clamd sends the message and reads the verdict. Errors: unavailable, malformed (no answer of clamd's form).
base::Result<Answer> ask_clamd(Stream& stream, const Subject& subject);
base::Result<void> ping_clamd(Stream& stream);

// read_clamd_reply reads an answer to INSTREAM, without its final zero byte. That the message is larger than clamd
// takes, or than it looks at, is `unscannable`; unavailable: clamd says that something is wrong with it.
base::Result<Answer> read_clamd_reply(std::string_view reply);

}  // namespace postern::inspect

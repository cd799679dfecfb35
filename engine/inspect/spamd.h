// SPDX-License-Identifier: Apache-2.0
// spamd, SpamAssassin's daemon: SYMBOLS and PING of the SPAMC protocol (spamd/PROTOCOL in its source).
#pragma once
#include <optional>
#include <string_view>

#include "engine/inspect/stream.h"

namespace postern::inspect {

// ask_spamd sends the message, below a Received field that says whom it came from, and reads its score. Errors:
// unavailable, malformed.
base::Result<Answer> ask_spamd(Stream& stream, const Subject& subject);
base::Result<void> ping_spamd(Stream& stream);

// read_spamd_reply reads a whole answer to SYMBOLS. unavailable: spamd says that something went wrong.
base::Result<Answer> read_spamd_reply(std::string_view reply);
// spamd_reply_size is how long the answer that begins with `reply` is, where that can be told already.
std::optional<size_t> spamd_reply_size(std::string_view reply);

}  // namespace postern::inspect

// SPDX-License-Identifier: Apache-2.0
// rspamd's normal worker: POST /checkv2 and GET /ping over HTTP, by libcurl, which makes the connection, too.
#pragma once
#include <string_view>

#include "engine/base/connect.h"
#include "engine/inspect/answer.h"

namespace postern::inspect {

// Reach is where rspamd is, and how long connecting and all of it may take.
struct Reach {
  base::Endpoint endpoint;
  std::chrono::milliseconds connect_timeout;
  Deadline deadline;
};

// ask_rspamd sends the message and what is known of its way, and reads its score; `shown` becomes true when there was a
// connection. Errors: unavailable, malformed.
base::Result<Answer> ask_rspamd(const Reach& reach, const Subject& subject, bool& shown);
base::Result<void> ping_rspamd(const Reach& reach);

// read_rspamd_reply reads the JSON object that /checkv2 answers. unavailable: rspamd says that something went wrong.
base::Result<Answer> read_rspamd_reply(std::string_view json);

}  // namespace postern::inspect

// SPDX-License-Identifier: Apache-2.0
// Sockets to servers: names looked up and connections made, each before a deadline.
#pragma once
#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "engine/directory/directory.h"

namespace postern::directory {

// connect_socket returns a connected, non-blocking socket to `server`; each of its addresses is tried in turn.
base::Result<base::UniqueFd> connect_socket(const ServerUrl& server, Deadline deadline);

}  // namespace postern::directory

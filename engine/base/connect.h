// SPDX-License-Identifier: Apache-2.0
// Sockets to servers: names looked up and connections made, each before a deadline.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/handle.h"

namespace postern::base {

// Endpoint is where a server listens: a Unix socket, or a port of a host.
struct Endpoint {
  std::string path;  // of the Unix socket; empty: `host` and `port`
  std::string host;  // name or address
  uint16_t port = 0;
};

// read_endpoint reads "unix:PATH", "HOST:PORT" or "[ADDRESS]:PORT"; malformed otherwise.
Result<Endpoint> read_endpoint(std::string_view text);

// connect_to returns a connected, non-blocking socket; each address of a host is tried in turn. unavailable when there
// was no answer before `deadline`.
Result<UniqueFd> connect_to(const Endpoint& endpoint, std::chrono::steady_clock::time_point deadline);

}  // namespace postern::base

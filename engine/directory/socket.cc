// SPDX-License-Identifier: Apache-2.0
// An LDAP server's URL as the address that base::connect_to knows.
#include "engine/directory/socket.h"

#include "engine/base/connect.h"

namespace postern::directory {

base::Result<base::UniqueFd> connect_socket(const ServerUrl& server, Deadline deadline) {
  const bool local = server.kind == ServerUrl::Kind::ldapi;
  return base::connect_to(local ? base::Endpoint{server.host, {}, 0} : base::Endpoint{{}, server.host, server.port},
                          deadline);
}

}  // namespace postern::directory

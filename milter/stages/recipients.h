// SPDX-License-Identifier: Apache-2.0
// Recipients and directories: whether there is such a recipient, and where mail for it goes instead (mailRoutingAddress
// and mailHost of draft-lachman-laser-ldap-mail-routing). All recipients of a message are looked up before the first
// one changes. These know neither the MTA nor the log.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/message.h"
#include "milter/stages/address_table.h"
#include "milter/stages/lookup.h"

namespace postern::stages {

// Acceptance says which recipients there are.
struct Acceptance {
  std::vector<QueryUse> queries;    // empty: all
  bool accept_unavailable = false;  // a recipient that no directory can tell about just now is accepted, not deferred
};

// is_recipient tells whether a query has an entry for `address`; yes also for an address that no query is asked about.
// `sender` is the envelope sender, which is {f}.
base::Result<bool> is_recipient(const Acceptance& acceptance, const Profiles& directories, const std::string& address,
                                const std::string& sender, directory::Deadline deadline);

// Routing says where mail for recipients goes instead: a table (a domain map, for instance) answers first, then
// queries.
struct Routing {
  std::string table_file;  // absolute; empty: none
  std::shared_ptr<const AddressTable> table;
  std::vector<QueryUse> queries;
  bool empty() const { return table == nullptr && queries.empty(); }
};

// Target is where one recipient's mail goes.
struct Target {
  std::vector<std::string> addresses;  // empty: the address stays
  std::string host;                    // the next hop; empty: as the MTA finds it
};

// route_of looks one recipient up. malformed: the answer cannot stand in an envelope.
base::Result<Target> route_of(const Routing& routing, const Profiles& directories, const std::string& address,
                              bool smtputf8, directory::Deadline deadline);

// Routed is one recipient that changed.
struct Routed {
  std::string from;
  std::vector<std::string> to;
};

struct RouteReport {
  std::optional<base::Error> error;  // then nothing was changed
  std::vector<Routed> changes;
  std::string host;  // of all recipients; empty: none has one
};

// route changes the envelope recipients of `message`. A message whose recipients have different hosts, or more
// recipients than limits.recipients afterwards, is an error: it has one next hop.
RouteReport route(message::Message& message, const Routing& routing, const Profiles& directories,
                  directory::Deadline deadline);

}  // namespace postern::stages

// SPDX-License-Identifier: Apache-2.0
// Outbox requests: what `postern outbox` and `postern status` ask the daemon about its outbox, over the control socket.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "milter/service.h"

namespace postern::milter {

// kMostListed is how many mails a list looks at.
inline constexpr size_t kMostListed = 10'000;

// outbox_summary is {"waiting", "failed", "oldest", "last_error"} — `oldest` the creation of the oldest that
// waits, in seconds since 1970, or null — or {"error"}; null where there is no store.
nlohmann::ordered_json outbox_summary(Service& service);

// outbox_request answers {"command":"outbox","action":"list"} with {"mails": [{"id", "kind", "state", "mid",
// "cause_mid", "from", "to", "size", "attempts", "created", "next", "host", "last_error"}]}, and "retry" and "drop"
// with {"changed": [ids], "missing": [ids]}; those take "ids": [numbers] or "failed": true. `uid` is who asks.
nlohmann::ordered_json outbox_request(Service& service, const nlohmann::ordered_json& request, unsigned uid);

}  // namespace postern::milter

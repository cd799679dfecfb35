// SPDX-License-Identifier: Apache-2.0
// Steps on entries of quarantines, each inside a transaction of the caller's, that keep entry, hold, usage, outbox and
// content consistent. Private to the store.
#pragma once
#include "engine/store/impl.h"

namespace postern::store {

base::Result<void> insert_entry(Database& database, const Batch& batch, const Entry& entry, const std::string& content,
                                int64_t kept, int64_t now);

// lock_usage takes the rows of `usage` of all quarantines of a batch, in the order in which every transaction takes
// them, so that none waits for another in a ring.
base::Result<void> lock_usage(Database& database, const Batch& batch);

// make_room sees to it that `entry` fits into its quarantines: where one is full, what is nearest to its end there ends
// early by the quarantine's default action and is in `expired`; unavailable when that does not help.
base::Result<void> make_room(Database& database, const Entry& entry, const Policies& policies, int64_t now,
                             Dropped& dropped, std::vector<Ended>& expired);

// end_entry deletes a held entry: no quarantine holds it any more and it is not delivered.
base::Result<void> end_entry(Database& database, int64_t id, std::string_view by, int64_t now, Dropped& dropped);

// let_go releases an entry from one quarantine, or from all that hold it where `quarantine` is empty. When none holds
// it any more it goes into the outbox. Returns whether it did.
base::Result<bool> let_go(Database& database, int64_t id, std::string_view quarantine, std::string_view by,
                          int64_t now);

}  // namespace postern::store

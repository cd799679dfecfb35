// SPDX-License-Identifier: Apache-2.0
// Reports: the JSON texts of fipsd's answers (PROTOCOL.md), and which status an error becomes.
#pragma once
#include <string>
#include <string_view>

#include "keystore/server.h"
#include "keystore/vault.h"

namespace postern::keystore {

inline constexpr std::string_view kZeroisedWord =
    "fipsd was zeroised: all keys and certificates are destroyed; run fipsconfig init";

// status_json is the answer to `status`; what only the officer needs to know is left out where `whole` is false.
std::string status_json(Vault& vault, const Server::Counters& counters, uint64_t uptime_seconds, bool officer_session,
                        bool whole);
// entry_json is one object of `list`, and the answer to generate_key and import_key.
std::string entry_json(const KeyEntry& entry);
// login_json is the answer to login and initialise: warnings for the officer. `failures`: attempts that failed before.
std::string login_json(const Vault& vault, uint32_t failures);
std::string self_test_json(const SelfTestRound& round);
std::string backup_json(const Vault::BackupMade& made);

// status_for maps an error of the vault to a status: by its cause, and by the vault's condition where that is the
// cause.
Status status_for(Vault& vault, const base::Error& error);

// note_refused logs a request that policy refused, at most ten a second.
void note_refused(const Peer& peer, std::string_view verb, std::string_view key, const base::Error& error);

}  // namespace postern::keystore

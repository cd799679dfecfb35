// SPDX-License-Identifier: Apache-2.0
// The table of log lines.
#include "keystore/events.h"

namespace postern::keystore {
namespace {

using base::Level;

constexpr base::LogId kEvents[] = {
    {"fipsd-started", Level::info,
     "fipsd {version} started, state {state}, {keys} keys, token {token}, FIPS policy {fips}"},
    {"fipsd-stopping", Level::info, "fipsd stopping"},
    {"fipsd-stopped", Level::info, "fipsd stopped"},
    {"fipsd-condition", Level::info, "fipsd is now {state}"},
    {"fipsd-reload-done", Level::info, "fipsd configuration read again{notes}"},
    {"fipsd-reload-failed", Level::error, "fipsd configuration not changed: {diagnostics}"},
    {"fipsd-initialised", Level::info, "Token initialised and officer password set by uid {uid} pid {pid}"},
    {"fipsd-login", Level::info,
     "Officer login {result} uid {uid} gid {gid} pid {pid} address {address}, {left} attempts left"},
    {"fipsd-officer-ended", Level::info, "Officer session of uid {uid} pid {pid} ended: {reason}"},
    {"fipsd-password-changed", Level::info, "Officer password changed by uid {uid} pid {pid}"},
    {"fipsd-key-made", Level::info, "Key '{key}' {how}: {type}, uses {uses}"},
    {"fipsd-key-destroyed", Level::info, "Key '{key}' destroyed by uid {uid} pid {pid}"},
    {"fipsd-certificate-stored", Level::info, "Certificate '{name}' stored: {subject}, valid until {until}"},
    {"fipsd-certificate-dropped", Level::info, "Certificate '{name}' dropped"},
    {"fipsd-distrust-changed", Level::info, "Distrust list: {entry} {how}"},
    {"fipsd-backup-made", Level::info, "Backup of {keys} keys made by uid {uid} pid {pid}"},
    {"fipsd-restored", Level::info, "{keys} keys restored from a backup of {created}"},
    {"fipsd-zeroising", Level::error, "Zeroising: {reason}"},
    {"fipsd-zeroised", Level::error, "Zeroised in {milliseconds} ms: all keys and certificates are destroyed"},
    {"fipsd-zeroise-waiting", Level::error, "Zeroising cannot be finished yet, keys are already unusable: {reason}"},
    {"fipsd-self-test-failed", Level::error, "Self-test {test} failed: {detail}. No key is used until the tests pass"},
    {"fipsd-token-lost", Level::error, "The token does not answer: {reason}"},
    {"fipsd-token-back", Level::info, "The token answers again"},
    {"fipsd-key-mismatch", Level::error, "Key '{key}' is not in the token as it was made: {reason}"},
    {"fipsd-request-denied", Level::warning,
     "{verb} of key '{key}' refused to socket {socket} uid {uid} pid {pid}: {reason}"},
    {"fipsd-peer-refused", Level::warning, "Connection on socket {socket} from uid {uid} pid {pid} ended: {reason}"},
    {"fipsd-audit-alert", Level::error, "Audit log: {text}"},
    {"fipsd-audit-anchor", Level::info, "Audit log at record {sequence}, hash {hash}"},
    {"fipsd-certificate-expires", Level::warning, "Certificate '{name}' expires on {until}, in {days} days"},
};
static_assert(std::size(kEvents) == static_cast<size_t>(Event::count_));

}  // namespace

const base::LogId& event(Event event) { return kEvents[static_cast<size_t>(event)]; }
std::span<const base::LogId> events() { return kEvents; }

}  // namespace postern::keystore

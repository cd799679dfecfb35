// SPDX-License-Identifier: Apache-2.0
// The table of posternd's log lines. Shapes follow the mail logs administrators of the reference product know: ICID is
// a connection, MID a message, RID a recipient's place in the envelope.
#include "milter/events.h"

#include <cstddef>
#include <iterator>

namespace postern::milter {
namespace {

using base::Level;

constexpr base::LogId kEvents[] = {
    {"started", Level::info,
     "posternd {version} started, generation {generation}, {filters} filters, listening on {socket}"},
    {"stopping", Level::info, "posternd stops: {inflight} messages in flight get {seconds} s to finish"},
    {"stopped", Level::info, "posternd stopped"},
    {"not-drained", Level::warning, "posternd stops with {inflight} messages unfinished; the MTA answers them 4xx"},
    {"milter-ended", Level::error, "libmilter ended by itself; posternd exits so that it is started again"},
    {"watchdog-failed", Level::error, "posternd does not answer on its own milter socket: {reason}"},
    {"reload-done", Level::info, "Reload done: generation {generation}, {filters} filters from {files} files"},
    {"reload-failed", Level::error, "Reload failed, generation {generation} stays: {diagnostics}"},
    {"log-reopened", Level::info, "Log reopened"},
    {"log-target-failed", Level::error, "Log target not changed: {reason}"},
    {"control-failed", Level::warning, "Control socket: {reason}"},
    {"control-request", Level::info, "Control request '{command}' from uid {uid}"},
    {"connection-new", Level::info,
     "New SMTP ICID {icid} interface {interface} address {address} reverse dns host {host}"},
    {"connection-close", Level::debug, "ICID {icid} close"},
    {"connection-refused", Level::error,
     "ICID {icid} refused: the MTA does not offer {missing}, which the loaded rules need; its mail is deferred"},
    {"connection-denied", Level::info, "ICID {icid} {verdict} by {by}: {reply}"},
    {"connection-stale", Level::info,
     "ICID {icid} answered 421: it negotiated generation {negotiated}, generation {generation} needs {missing}"},
    {"connection-draining", Level::info, "ICID {icid} answered 421: posternd stops"},
    {"message-start", Level::debug, "Start MID {mid} ICID {icid}"},
    {"message-from", Level::info, "MID {mid} ICID {icid} From: <{from}>"},
    {"message-to", Level::info, "MID {mid} ICID {icid} RID {rid} To: <{to}>"},
    {"message-id", Level::debug, "MID {mid} Message-ID '{message_id}'"},
    {"message-subject", Level::debug, "MID {mid} Subject '{subject}'"},
    {"message-flow", Level::debug, "MID {mid} matched all recipients for flow {flow}"},
    {"message-ready", Level::info, "MID {mid} ready {bytes} bytes from <{from}>"},
    {"message-done", Level::info, "Message finished MID {mid} done"},
    {"message-dropped", Level::info, "Message aborted MID {mid} Dropped by {by}"},
    {"message-refused", Level::info, "Message aborted MID {mid} Refused by {by}: {reply}"},
    {"message-deferred", Level::info, "Message aborted MID {mid} Deferred by {by}: {reply}"},
    {"message-quarantined", Level::info, "MID {mid} quarantined by {by}: {reason}"},
    {"message-kept", Level::info, "MID {mid} {copy} kept in quarantine {quarantine} by filter '{filter}'"},
    {"message-kept-again", Level::warning,
     "MID {mid} is MID {again}, which its sender never heard of, sent again: what was kept then stays"},
    {"keep-failed", Level::error, "MID {mid} deferred, what is to be kept of it could not be: {reason}"},
    {"quarantine-released", Level::info, "MID {mid} released from quarantine \"{quarantine}\" ({why})"},
    {"quarantine-deleted", Level::info, "MID {mid} deleted from quarantine \"{quarantine}\" ({why})"},
    {"quarantine-frozen", Level::warning,
     "The clock jumped by {seconds} s: nothing in quarantine expires for a day, unless posternd is started again"},
    {"store-failed", Level::error, "Store: {reason}"},
    {"tracking-failed", Level::error, "Messages are not tracked: {reason}"},
    {"tracking-good", Level::info, "Messages are tracked again; {count} lines are missing"},
    {"message-aborted", Level::info, "Message aborted MID {mid} Given up by the MTA or its client"},
    {"message-oversize", Level::warning, "MID {mid} is larger than {limit}: {bytes} bytes, answered 552 5.3.4"},
    {"message-over-memory", Level::warning,
     "MID {mid} answered 451 4.3.2: {used} of {bound} bytes for messages in flight are in use"},
    {"message-failed", Level::error, "MID {mid} deferred, it could not be processed: {reason}"},
    {"message-slow", Level::warning, "MID {mid} deferred: {seconds} s of work are over the limit"},
    {"recipient-refused", Level::info, "MID {mid} ICID {icid} To: <{to}> refused by {by}: {reply}"},
    {"recipient-late", Level::info,
     "MID {mid} ICID {icid} To: <{to}> refused by {by}; the mail did not come by SMTP, so this holds for all of it at "
     "end of message"},
    {"mail-generated", Level::info, "MID {own} generated based on MID {mid} by {kind} filter '{filter}' to <{to}>"},
    {"mail-submitted", Level::info, "MID {mid} submitted, {kind} based on MID {cause}: {reply}"},
    {"mail-archived", Level::info, "MID {mid} archived in '{archive}'"},
    {"mail-delayed", Level::warning,
     "MID {mid} ({kind}, outbox {id}) not submitted, tried again in {seconds} s: {reason}"},
    {"mail-failed", Level::error, "MID {mid} ({kind}, outbox {id}) kept as failed: {reason}"},
    {"mail-returned", Level::info, "MID {mid} is MID {own}, made by {kind}"},
    {"mark-refused", Level::warning, "MID {mid} carries a mark of our own mail that is not ours: {reason}"},
    {"submit-down", Level::error, "Mail of our own waits: {server} does not take it: {reason}"},
    {"submit-up", Level::info, "{server} takes mail of our own again"},
    {"outbox-failed", Level::error, "The outbox cannot be read or written: {reason}"},
    {"outbox-good", Level::info, "The outbox can be read and written again"},
    {"outbox-changed", Level::info, "Outbox {id} {what} by uid {uid}"},
    {"alert-sent", Level::info, "Alert '{profile}' sent by {way}: {text}"},
    {"alert-failed", Level::warning, "Alert '{profile}' not sent by {way}, tried again in {seconds} s: {reason}"},
    {"alerts-dropped", Level::warning, "{count} alerts were dropped: more came than could be sent"},
    {"filter-match", Level::info, "MID {mid} filter '{filter}' matched: {actions}"},
    {"filter-observed", Level::info, "MID {mid} filter '{filter}' would have matched: {actions}"},
    {"filter-unknown", Level::warning, "MID {mid} filter '{filter}' unknown ({reason}): {detail}"},
    {"filter-log-entry", Level::info, "MID {mid} log-entry {text}"},
    {"filter-tag", Level::info, "MID {mid} tag {tag}"},
    {"recipient-unchecked", Level::warning, "MID {mid} To: <{to}> accepted without a directory's answer: {reason}"},
    {"recipient-routed", Level::info, "MID {mid} To: <{to}> routed to {targets}"},
    {"message-routed", Level::info, "MID {mid} routed to the host {host}"},
    {"route-failed", Level::warning, "MID {mid} not routed, nothing was changed: {reason}"},
    {"masquerade-done", Level::info, "MID {mid} masqueraded {place} <{from}> to <{to}>"},
    {"masquerade-left", Level::warning, "MID {mid} {field} left alone, readers may differ about it: {reason}"},
    {"masquerade-failed", Level::warning, "MID {mid} not masqueraded, nothing was changed: {reason}"},
    {"ldap-server-down", Level::warning, "LDAP profile {profile} server {server} does not answer: {reason}"},
    {"ldap-server-up", Level::info, "LDAP profile {profile} server {server} answers again"},
    {"ldap-outage", Level::error, "LDAP profile {profile} has no server that answers: {reason}"},
    {"ldap-recovery", Level::warning, "LDAP profile {profile} is answered again, by {server}"},
    {"ldap-bad-answer", Level::warning, "LDAP profile {profile} server {server} gave an answer of no use: {reason}"},
    {"message-signed", Level::info, "MID {mid} DKIM: signed by profile '{profile}', {signature}"},
    {"message-not-signed", Level::info, "MID {mid} DKIM: not signed by profile '{profile}': {reason}"},
    {"message-recoded", Level::debug, "MID {mid} DKIM: {parts} parts were encoded so that no server need do it"},
    {"message-not-recoded", Level::info, "MID {mid} DKIM: signed although servers may change the body: {reason}"},
    {"eight-bit-header-signed", Level::debug, "MID {mid} DKIM: signed with 8-bit bytes in the header"},
    {"sign-unavailable", Level::warning,
     "MID {mid} {consequence}: fipsd does not answer profile '{profile}': {reason}"},
    {"sign-denied", Level::error,
     "MID {mid} {consequence}: fipsd does not let us sign by profile '{profile}': {reason}"},
    {"sign-key-missing", Level::error,
     "MID {mid} {consequence}: fipsd has no such key for profile '{profile}': {reason}"},
    {"sign-misconfigured", Level::error,
     "MID {mid} {consequence}: profile '{profile}' cannot sign until an administrator acts: {reason}"},
    {"sign-failed", Level::error, "MID {mid} {consequence}: signing by profile '{profile}' failed: {reason}"},
    {"mta-call-failed", Level::error, "MID {mid} deferred: the MTA refused {operation}"},
    {"callback-failed", Level::error,
     "ICID {icid} callback {callback} failed, answered with a temporary error: {reason}"},
};
static_assert(std::size(kEvents) == static_cast<size_t>(Event::count_));

}  // namespace

const base::LogId& event(Event event) { return kEvents[static_cast<size_t>(event)]; }

std::span<const base::LogId> events() { return kEvents; }

}  // namespace postern::milter
